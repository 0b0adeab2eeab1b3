"""What a run prints: each error as one line, messages above a progress bar, whatever stdout and stderr are."""

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TextIO, TypeVar

from unravel_lib.errors import UnravelError
from unravel_lib.text import printable, unexpected_error

if TYPE_CHECKING:
    from tqdm import tqdm

LIBRARY_WITHOUT_MEMORY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")  # of glibc
LINE_SECONDS = 30.0  # between two lines of progress where stderr is no terminal
BAR = "{l_bar}{bar}| {n:.0f}/{total} {unit} [{elapsed}<{remaining}]"

Input = TypeVar("Input")

log = logging.getLogger("unravel_lib")


def written(message: UnravelError) -> str:
    """Return an error or a warning that has fields as one line, with flags."""
    return message.sentence(lambda option: f"--{option}")


def error_line(error: Exception, path: Path | None = None) -> str:
    """Return why a run ended, or why one of many inputs failed, as one line."""
    if isinstance(error, UnravelError):
        return written(error)
    place = "" if path is None else f"{printable(path)}: "
    if isinstance(error, OSError) and error.strerror:
        return (f"{printable(error.filename)}: " if isinstance(error.filename, str) else place) + error.strerror
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("unravel_lib"):
        return (
            f"{printable(error.name)} is not installed in this Python ({printable(sys.executable)}): activate the "
            "environment with `. .venv/bin/activate`, or install it with `pip install -r requirements.txt`"
        )
    text = str(error)
    lacks = isinstance(error, ImportError) and any(sign in text for sign in LIBRARY_WITHOUT_MEMORY)
    if lacks or isinstance(error, MemoryError):
        why = f"{printable(text)}: " if text else ""
        return f"{place}out of memory: {why}close other programs, take fewer files, or raise the limit (ulimit -v)"
    return f"{place}this should not happen: {unexpected_error(error)}: --debug shows where; please report it"


class Lines(logging.Handler):
    """The library's messages as plain lines on stderr, printed above a progress bar; each warning once."""

    def __init__(self) -> None:
        super().__init__()
        self._warnings: set[str] = set()  # the processes of `--jobs` have some in common

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        text = written(record.msg) if isinstance(record.msg, UnravelError) else record.getMessage()
        if record.levelno != logging.INFO:
            text = f"{record.levelname.lower()}: {printable(text.replace(chr(10), ' '))}"
        if record.levelno == logging.WARNING:
            if text in self._warnings:
                return
            self._warnings.add(text)
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else record.exc_text
        text += f"\n{trace}" if trace else ""
        with beside_bar(sys.stderr):
            print(text, file=sys.stderr)


class Progress(Generic[Input]):
    """Progress over inputs: a bar on a terminal, elsewhere a log line every 30 seconds.

    Iterate over it to work on them, within its `with` block; `update` it within an input.

    Parameters
    ----------
    unit : what they are, in the plural
    """

    def __init__(self, inputs: Sequence[Input], unit: str) -> None:
        self._inputs, self._unit = inputs, unit
        self._finished, self._share = 0, 0.0  # inputs, and how much of the current one
        self._due = time.monotonic() + LINE_SECONDS
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> "Progress[Input]":
        if sys.stderr.isatty():
            from tqdm import tqdm

            total = len(self._inputs)
            self._bar = tqdm(total=total, unit=self._unit, bar_format=BAR, file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __iter__(self) -> Iterator[Input]:
        for one in self._inputs:
            yield one
            self._finished, self._share = self._finished + 1, 0.0
            self._show()

    def update(self, amount: float, size: float) -> None:
        """Count `amount` of the current input as done, of `size` in all; 0: unknown."""
        self._share = min(self._share + amount / size, 1.0) if size else 0.0
        self._show()

    def _show(self) -> None:
        done, total = self._finished + self._share, len(self._inputs)
        if self._bar is not None:
            self._bar.n = done
            self._bar.update(0)  # redraws it if it is due
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            log.info("%.0f %%: %d of %d %s", 100 * done / total, self._finished, total, self._unit)


def beside_bar(stream: TextIO) -> contextlib.AbstractContextManager[Any]:
    """Clear a progress bar from the terminal while the block writes to `stream`, and redraw it below."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None or not stream.isatty():
        return contextlib.nullcontext()
    return tqdm.tqdm.external_write_mode(file=stream)  # type: ignore[no-any-return]


class _Lossy(io.FileIO):
    """A file descriptor for messages: what cannot be written, as on a full disk, is lost."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def make_streams_safe() -> None:
    """Escape what stdout and stderr cannot print; no message that stderr does not take ends the run.

    Output goes to the null device where a stream is closed.
    """
    for name in ("stdout", "stderr"):
        stream: io.TextIOWrapper | None = getattr(sys, name)
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  for the rest of the process
        elif name == "stderr" and stream is sys.__stderr__:
            lossy = io.BufferedWriter(_Lossy(stream.fileno(), "w", closefd=False))
            sys.stderr = io.TextIOWrapper(lossy, stream.encoding, "backslashreplace", line_buffering=True)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Redirect stdout to the null device, so that Python does not fail to flush it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())
