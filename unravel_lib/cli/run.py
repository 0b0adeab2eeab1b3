"""Run a script: its messages as lines on stderr, its errors as one line, its exit code as documented."""

import atexit
import contextlib
import ctypes
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from unravel_lib.cli import signals
from unravel_lib.cli.batch import NOTHING_DONE, SOME_FAILED, silence_stdout
from unravel_lib.cli.messages import error_line, written
from unravel_lib.cli.progress import beside_bar
from unravel_lib.errors import UnravelError, UsageError
from unravel_lib.text import printable

INTERRUPTED = 130
RESUME = "the same command with --skip_existing goes on"  # after a stop, where the script has that flag

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
LARGEST_KEPT_BLOCK = 1 << 25  # bytes, the most that glibc allows
MAX_INT = 2**31 - 1
KERNELS = 256  # compiled kernels that are kept; a call of RAVE takes about 60 for each length of signal

log = logging.getLogger("unravel_lib")


class _Lines(logging.Handler):
    """The library's messages as plain lines on stderr, printed above a progress bar; each warning once."""

    def __init__(self) -> None:
        super().__init__()
        self._warnings: set[str] = set()  # the processes of `--jobs` have some in common

    def emit(self, record: logging.LogRecord) -> None:
        text = written(record.msg) if isinstance(record.msg, UnravelError) else record.getMessage()
        if record.levelno != logging.INFO:
            text = f"{record.levelname.lower()}: {printable(text.replace(chr(10), ' '))}"
        if record.levelno == logging.WARNING:
            if text in self._warnings:
                return
            self._warnings.add(text)
        trace = record.exc_text or ("".join(traceback.format_exception(*record.exc_info)) if record.exc_info else "")
        text += f"\n{trace.rstrip()}" if trace else ""
        with beside_bar(sys.stderr):
            print(text, file=sys.stderr)


def run(main: Callable[[list[str]], int], argv: list[str] | None = None, remedy: str | None = None) -> NoReturn:
    """Run a script's `main(argv) -> exit code`; print what fails as one line and exit as documented.

    0 all done; 1 some inputs failed, the rest is written; 2 nothing could be done; 130 after Ctrl-C; 143 after SIGTERM,
    129 after the terminal was closed. A traceback is shown with `--debug` only. `remedy` is added to the
    message of a stopped run.
    """
    whole_process = argv is None
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    _make_streams_safe()
    log.handlers[:] = [_Lines()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns if its cache cannot be written
    warnings.showwarning = lambda message, *_, **__: log.debug("%s", message)  # of libraries, for their callers
    try:
        with contextlib.suppress(ValueError):  # not in the main thread
            signals.install(remedy)
        tune()
        code = main(argv)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        code = stop.code if isinstance(stop, signals.Stopped) else INTERRUPTED
        log.error("%s", signals.stop_text(code))
    except BrokenPipeError:  # the reader of stdout has closed it
        silence_stdout()
        code = SOME_FAILED
    except Exception as error:  # noqa: BLE001  this is where every error becomes one line
        if debug:
            traceback.print_exc()
        stopped = signals.code()  # a library may have replaced it by another exception
        log.error("%s", error_line(error) if stopped is None else signals.stop_text(stopped))
        if stopped is None and isinstance(error, UsageError) and error.detail:
            log.info("%s", error.detail)
        code = NOTHING_DONE if stopped is None else stopped
    signals.begin_exit()
    if whole_process:
        exit_fast(code)
    sys.exit(code)


class _Lossy(io.FileIO):
    """A file descriptor for messages: what cannot be written, as on a full disk, is lost."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _make_streams_safe() -> None:
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


def tune() -> None:
    """Tune memory and threads for these scripts; to be called before numpy and torch are imported.

    Freed memory is kept (with glibc, so on most Linux systems). The tensors of a model take up to tens of MiB. glibc
    returns such blocks to the system when they are freed and requests them again, and the system clears every page at
    its first use: up to half of the time of a model on a CPU. Source: mallopt(3).

    PyTorch's CPU kernels (oneDNN) are compiled for each length of signal; only the last ones are kept.

    numpy's linear algebra runs in one thread: PyTorch's threads share the work, and waiting ones of OpenBLAS spin.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc: macOS, Windows, musl
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK)
        mallopt(M_TRIM_THRESHOLD, MAX_INT)


def exit_fast(code: int) -> NoReturn:
    """End the process with this exit code, without the clean-up of PyTorch, which takes 0.3 s and frees only memory."""
    if "torch" in sys.modules:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
