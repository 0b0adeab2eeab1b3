"""Latents files: `.npy`, float32, C order, shape (1, dims, frames). Checked, read, and written atomically."""

import hashlib
import os
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import Sidecar, atomic_write_with_sidecar
from unravel_lib.text import printable

Latents = np.ndarray[tuple[Any, ...], np.dtype[np.floating[Any] | np.integer[Any]]]  # [dims, frames], any real dtype

BLOCK_VALUES = 1 << 22  # values checked at a time, 16 MiB of float32; content keys of longer latents depend on it
WANTED = "expected float32 latents as encoder.py writes them"
PICKLED = "holds pickled Python objects, which are never loaded"
# What NumPy raises for invalid headers, found by fuzzing.
HEADER_ERRORS = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
MAX_DIMS = 1024  # codecs have up to 128, DAC's continuous latents 1024; tables and pictures grow with dims * dims


def load_latents(path: Path) -> Latents:
    """Read a latents file as an array of shape (dims, frames) in its own real dtype.

    Takes (1, dims, frames) and (dims, frames), any real dtype and byte order, C or Fortran order. The values are in
    memory, so nothing that happens to the file changes them. Convert blocks to float32 or float64 as you use them.

    Raises
    ------
    InputError
        Not a readable `.npy`, pickled objects, another shape, empty, complex, or NaN or Inf inside; larger than the
        memory; or written to while it was read.
    """
    before = _state(path)
    mapped = open_latents(path)  # the mapping itself is never read: if the file shrinks, that ends the process
    array = read_values(path, mapped)
    if _state(path) != before:
        raise changed(path)
    refuse_not_finite(path, array)
    return array


def changed(path: Path) -> InputError:
    """Make the error for a file that changed while it was read."""
    return InputError(f"{printable(path)} was changed by another program while it was read: run this again")


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_values(path: Path, mapped: Latents) -> Latents:
    """Read the values of a mapped array [dims, frames] from its file."""
    if not isinstance(mapped, np.memmap):
        return mapped
    free = _free_memory()
    if mapped.nbytes > free:
        raise InputError(
            f"{printable(path)} needs {mapped.nbytes >> 20:,} MiB of memory, {free >> 20:,} are free: cut it into "
            "pieces"
        )
    values = np.empty(mapped.size, mapped.dtype)
    try:
        with open(path, "rb") as file:
            file.seek(mapped.offset)
            n_bytes = file.readinto(values.view(np.uint8).data)
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if n_bytes != values.nbytes:
        raise changed(path)
    return values.reshape(mapped.shape, order="C" if mapped.flags.c_contiguous else "F")


def _free_memory() -> int:
    """Return the bytes of free memory; `sys.maxsize` where the system does not report them."""
    try:
        text = Path("/proc/meminfo").read_text()
        return 1024 * int(text.split("MemAvailable:")[1].split()[0])
    except (OSError, LookupError, ValueError):
        return sys.maxsize


def refuse_not_finite(path: Path, array: Latents) -> None:
    """Raise InputError if a (dims, frames) array read from `path` holds NaN, Inf, or what is Inf as float32."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf and is refused as such
        for start, block in blocks(array):
            finite = np.isfinite(block.astype(np.float32))
            if not finite.all():
                dim, frame = np.argwhere(~finite)[0]
                bad = block[dim, frame]
                raise InputError(
                    f"{printable(path)} holds {bad} at dim {dim}, frame {start + frame}: expected finite values"
                )


def open_latents(path: Path) -> Latents:
    """Map a latents file (dims, frames) into memory; raises as `load_latents` does, but does not check the values."""
    array = _open(path)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{printable(path)} holds {array.dtype} values, expected real numbers (float32)")
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise InputError(f"{printable(path)} has shape {array.shape}, expected (1, dims, frames) or (dims, frames)")
    if array.size == 0:
        raise InputError(f"{printable(path)} is empty (shape {array.shape}), expected at least one frame")
    if array.shape[0] > MAX_DIMS:
        raise InputError(
            f"{printable(path)} has {array.shape[0]} dims, at most {MAX_DIMS} make sense: are axes swapped?"
        )
    return array


def _open(path: Path) -> Latents:
    try:
        with open(path, "rb") as file:
            head = file.read(4)
        if not head:
            raise InputError(f"{printable(path)} is empty (0 bytes), expected a .npy file")
        if head == b"PK\x03\x04":
            raise InputError(f"{printable(path)} is a zip archive (.npz?), {WANTED}")
        if head[:1] == b"\x80":
            raise InputError(f"{printable(path)} {PICKLED}: {WANTED}")
        # reads the header only, never as code, and refuses a file shorter than its header states
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror or 'not a .npy file'}") from error
    except HEADER_ERRORS as error:
        why = PICKLED if "Python objects" in str(error) else "is damaged or not a .npy file"
        raise InputError(f"{printable(path)} {why}: {WANTED}") from error


def blocks(array: Latents) -> Iterator[tuple[int, Latents]]:
    """Yield (first frame, block [dims, n]) pairs that cover a (dims, frames) array in order, about 16 MiB each."""
    step = max(1, BLOCK_VALUES // array.shape[0])
    for start in range(0, array.shape[1], step):
        yield start, array[:, start : start + step]


def content_key(array: Latents) -> str:
    """Return the SHA-256 of the values as float32 and of the shape, so that equal latents have equal keys."""
    digest = hashlib.sha256(repr(tuple(array.shape)).encode())
    for _, block in blocks(array):
        digest.update(np.ascontiguousarray(block, dtype="<f4").data)
    return digest.hexdigest()


def save_latents(
    path: str | Path, latents: npt.ArrayLike, sidecar: Sidecar | None = None, overwrite: bool = True
) -> None:
    """Write latents of shape (dims, frames) as `.npy`, float32, shape (1, dims, frames), atomically.

    A `sidecar` is written with them; `overwrite` as in `atomic_write_with_sidecar`.

    Raises
    ------
    ValueError
        Not two-dimensional, or not finite: a bug of the caller, never written.
    OutputError
        The file cannot be written.
    """
    array = np.ascontiguousarray(latents, dtype=np.float32)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"latents must have shape (dims, frames), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("latents must be finite")
    with atomic_write_with_sidecar(Path(path), sidecar, overwrite) as part, open(part, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1, *array.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.astype("<f4", copy=False).data)  # np.save hides the cause where the disk is full
