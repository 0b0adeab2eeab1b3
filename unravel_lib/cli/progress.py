"""Progress of a run: a bar on a terminal, elsewhere a log line every 30 seconds."""

import contextlib
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
    size : of an input, in `unit`, or a guess in proportion to it, which the sizes of inputs that are found out correct;
        not called in runs that are too short to show anything
    """

    def __init__(self, inputs: Sequence[Input], size: Callable[[Input], float], unit: str) -> None:
        self._inputs, self._size, self._unit = inputs, size, unit
        self._within, self._found = 0.0, 0.0  # how much of the current input is done, and its size; 0: unknown
        self._sizes_found: list[float] = []  # of the inputs before
        self._counted, self._known, self._guessed, self._passed = 0, 0.0, 0.0, 0.0  # see `_count`
        self._due = time.monotonic() + LINE_SECONDS
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> "Progress[Input]":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._all, unit=self._unit, bar_format=BAR, file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __iter__(self) -> Iterator[Input]:
        for path in self._inputs:
            yield path
            self._sizes_found.append(self._found)
            self._within, self._found = 0.0, 0.0
            self._show()

    def update(self, amount: float, size: float = 0.0) -> None:
        """Count `amount` of the current input as done; `size` is how much it is, if that is known by now."""
        self._within += amount
        self._found = size or self._found
        self._show()

    @cached_property
    def _sizes(self) -> list[float]:
        return [*map(self._size, self._inputs), 0.0]

    @cached_property
    def _all(self) -> float:
        return sum(self._sizes)

    def _count(self) -> tuple[float, float]:
        """Return how much is done, and how much there is, as far as sizes are known."""
        for index in range(self._counted, len(self._sizes_found)):
            found, guess = self._sizes_found[index], self._sizes[index]
            self._known, self._guessed = self._known + found, self._guessed + (guess if found else 0.0)
            self._passed += 0.0 if found else guess
        self._counted = len(self._sizes_found)
        guess = self._sizes[self._counted]
        guessed = self._guessed + (guess if self._found else 0.0)
        ratio = (self._known + self._found) / guessed if guessed else 1.0
        size, before = self._found or ratio * guess, self._known + ratio * self._passed
        left = ratio * (self._all - self._guessed - self._passed - guess)
        return before + min(self._within, size), before + size + left

    def _show(self) -> None:
        if self._bar is None and time.monotonic() < self._due:
            return
        done, total = self._count()
        if self._bar is not None:
            self._bar.n, self._bar.total = done, total
            self._bar.update(0)  # redraws it if it is due
            return
        self._due = time.monotonic() + LINE_SECONDS
        files = f", {self._counted} of {len(self._inputs)} files" if len(self._inputs) > 1 else ""
        log.info("%.0f of %.0f %s%s", done, total, self._unit, files)


def beside_bar(stream: TextIO) -> contextlib.AbstractContextManager[Any]:
    """Clear a progress bar from the terminal while the block writes to `stream`, and redraw it below."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None or not stream.isatty():
        return contextlib.nullcontext()
    return tqdm.tqdm.external_write_mode(file=stream)  # type: ignore[no-any-return]
