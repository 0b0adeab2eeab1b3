"""The process as a whole: which memory it keeps, how many threads numpy starts, and a fast exit."""

import atexit
import contextlib
import ctypes
import os
import sys
from typing import NoReturn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h> of glibc
LARGEST_KEPT_BLOCK = 1 << 25  # bytes, the most that glibc allows
MAX_INT = 2**31 - 1
KERNELS = 256  # compiled kernels that are kept; a call of RAVE takes about 60 for each length of signal


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
