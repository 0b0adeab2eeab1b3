"""Run a script: its messages as lines on stderr, its errors as one line, its exit code as documented."""

import atexit
import contextlib
import ctypes
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

from unravel_lib.cli import signals
from unravel_lib.cli.batch import NOTHING_DONE, SOME_FAILED
from unravel_lib.cli.terminal import Lines, error_line, make_streams_safe, silence_stdout
from unravel_lib.errors import UsageError

INTERRUPTED = 130
RESUME = "the same command with --skip_existing goes on"  # after a stop, where the script has that flag

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
LARGEST_KEPT_BLOCK = 1 << 25  # bytes, the most that glibc allows
MAX_INT = 2**31 - 1
KERNELS = 256  # compiled kernels that are kept; a call of RAVE takes about 60 for each length of signal

log = logging.getLogger("unravel_lib")


def run(main: Callable[[list[str]], int], argv: list[str] | None = None, remedy: str | None = None) -> NoReturn:
    """Run a script's `main(argv) -> exit code`; print what fails as one line and exit as documented.

    0 all done; 1 some inputs failed, the rest is written; 2 nothing could be done; 130 after Ctrl-C; 143 after SIGTERM,
    129 after the terminal was closed. A traceback is shown with `--debug` only. `remedy` is added to the
    message of a stopped run.
    """
    words = sys.argv[1:] if argv is None else argv
    debug = "--debug" in words
    make_streams_safe()
    log.handlers[:] = [Lines()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns if its cache cannot be written
    warnings.showwarning = lambda message, *_, **__: log.debug("%s", message)  # of libraries, for their callers
    try:
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread, or no thread can be started
            signals.install(remedy)
        tune()
        code = main(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has closed it
        silence_stdout()
        code = SOME_FAILED
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  this is where every error becomes one line
        if debug:
            traceback.print_exc()
        code = _log_end(error)
    signals.begin_exit()
    if argv is None and "torch" in sys.modules:  # its clean-up takes 0.3 s and frees only memory
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _log_end(error: BaseException) -> int:
    """Log why a run ended; returns its exit code."""
    stopped = signals.code()  # a library may have replaced it by another exception
    if stopped is None and isinstance(error, Exception):
        log.error("%s", error_line(error))
        if isinstance(error, UsageError) and error.detail:
            log.info("%s", error.detail)
        return NOTHING_DONE
    code = INTERRUPTED if stopped is None else stopped
    log.error("%s", signals.stop_text(code))
    return code


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
