"""Progress of a run: a bar on a terminal, elsewhere a log line every 30 seconds."""

import contextlib
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TextIO, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_SECONDS = 30.0  # between two lines where stderr is no terminal
BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}]"

log = logging.getLogger("unravel_lib")


Input = TypeVar("Input")


class Progress(Generic[Input]):
    """Progress over inputs of different sizes; iterate over it to work on them, `update` it within an input.

    An input counts in full once it is done, whether it was worked on, skipped or failed, and never for more.

    Parameters
    ----------
    size : of an input, in `unit`; not called in runs that are too short to show anything
    """

    def __init__(self, inputs: Sequence[Input], size: Callable[[Input], float], unit: str) -> None:
        self._inputs, self._size, self._unit = inputs, size, unit
        self._index, self._within = 0, 0.0  # the current input, and how much of it is done
        self._due = time.monotonic() + LINE_SECONDS
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> "Progress[Input]":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._starts[-1], unit=self._unit, bar_format=BAR, file=sys.stderr, dynamic_ncols=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __iter__(self) -> Iterator[Input]:
        for path in self._inputs:
            yield path
            self._index, self._within = self._index + 1, 0.0
            self._show()

    def update(self, amount: float) -> None:
        """Count `amount` of the current input as done."""
        self._within += amount
        self._show()

    @cached_property
    def _starts(self) -> list[float]:
        """The sum of the sizes before each input, and of all."""
        return [*itertools.accumulate(map(self._size, self._inputs), initial=0.0)]

    def _show(self) -> None:
        if self._bar is None and time.monotonic() < self._due:
            return
        total, end = self._starts[-1], self._starts[min(self._index + 1, len(self._inputs))]
        done = min(self._starts[self._index] + self._within, end)
        if self._bar is not None:
            self._bar.n = done
            self._bar.update(0)  # redraws it if it is due
            return
        self._due = time.monotonic() + LINE_SECONDS
        files = f", {self._index} of {len(self._inputs)} files" if len(self._inputs) > 1 else ""
        log.info("%.0f of %.0f %s%s", done, total, self._unit, files)


def beside_bar(stream: TextIO) -> contextlib.AbstractContextManager[Any]:
    """Clear a progress bar from the terminal while the block writes to `stream`, and redraw it below."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None or not stream.isatty():
        return contextlib.nullcontext()
    return tqdm.tqdm.external_write_mode(file=stream)  # type: ignore[no-any-return]
