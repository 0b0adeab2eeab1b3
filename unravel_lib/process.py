"""Settings of the whole process: how it keeps memory, and how many threads numpy starts."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h> of glibc
MOST = 2**31 - 1


def tune() -> None:
    """Make the process fast at what these scripts do; to be called before numpy is imported.

    Freed memory is kept (glibc only). The tensors of a model take tens of MiB; glibc would give each back to the
    system and ask for it anew, and the system clears every page at its first touch: up to half of the time of a model
    on a CPU. The peak of memory stays what it was. Source: mallopt(3); M_MMAP_MAX = 0 takes large blocks from the
    heap, M_TRIM_THRESHOLD keeps the heap's end.

    numpy's linear algebra runs in one thread: ours read and sum in parallel, and waiting threads of OpenBLAS spin.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, Windows, musl
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, MOST)
