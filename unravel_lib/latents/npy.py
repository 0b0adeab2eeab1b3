"""Latents files: `.npy`, float32, C order, shape (1, dims, frames). Checked, read, and written atomically."""

import contextlib
import hashlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.descriptors import Descriptors
from unravel_lib.errors import InputError, UsageError, check_suffix
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.output import EMBEDDINGS
from unravel_lib.files.sidecar import (
    EncodingSidecar,
    Sidecar,
    atomic_write_with_sidecar,
    descriptors_path,
    has_descriptors,
)
from unravel_lib.latents import Frames, Latents
from unravel_lib.text import size_text

MAX_BYTES = 1 << 30  # of latents in memory: 16 dims are 5 MB an hour
MAX_DIMS = 1024  # codecs have up to 128, DAC's continuous latents 1024; tables and pictures grow with dims * dims
HEADER_BYTES = 1 << 16  # of a .npy that are read at most; latents have 128
BLOCK_VALUES = 1 << 22  # values checked at a time, 16 MiB of float32; content keys of longer latents depend on it
EXPECTED = "float32 latents as encoder.py writes them"


def load_latents(path: str | Path) -> Latents:
    """Read a latents file as an array of shape (dims, frames) in its own real dtype.

    Takes (1, dims, frames) and (dims, frames), any real dtype and byte order, C or Fortran order. Convert blocks to
    float32 or float64 as you use them.

    Raises
    ------
    InputError
        Not a readable `.npy`, pickled objects, another shape, empty, complex, or NaN or Inf inside; larger than 1 GiB;
        or written to while it was read.
    """
    path = Path(path)
    with open_input(path) as file:
        before = os.fstat(file.fileno())
        (dims, n_frames), in_fortran_order, dtype = _header(path, file, before.st_size)
        values: npt.NDArray[Any] = np.empty(dims * n_frames, dtype)
        n_bytes, now = file.readinto(values.view(np.uint8).data), os.fstat(file.fileno())
    if n_bytes != values.nbytes or (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise changed(path)
    array: Latents = values.reshape((dims, n_frames), order="F" if in_fortran_order else "C")
    refuse_not_finite(path, array)
    return array


def changed(path: Path) -> InputError:
    """Make the error for a file that changed while it was read."""
    return InputError("was changed by another program while it was read", path=path, remedy="run this again")


def _header(path: Path, file: BufferedReader, n_bytes: int) -> tuple[tuple[int, int], bool, np.dtype[Any]]:
    """Read dims and frames, whether the order is Fortran's, and dtype; leave the file where its values begin."""
    stream = io.BytesIO(file.read(HEADER_BYTES))
    found = "is damaged or not a .npy file" if n_bytes else "is empty (0 bytes)"
    damaged = InputError(found, path=path, expected=EXPECTED)
    try:
        old = np.lib.format.read_magic(stream) == (1, 0)
        with warnings.catch_warnings(action="ignore"):  # of NumPy, for files that Python 2 wrote
            read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
            shape, in_fortran_order, dtype = read(stream)  # evaluated as a literal, never as code
    except Exception as error:  # NumPy raises a dozen kinds for invalid headers
        raise damaged from error
    if dtype.kind not in "fiu":
        raise InputError(f"holds {dtype} values", path=path, expected="real numbers (float32)")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > n_bytes - stream.tell():
        raise damaged
    inner = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if len(inner) != 2:
        raise InputError(f"has shape {shape}", path=path, expected="(1, dims, frames) or (dims, frames)")
    check_size(path, *inner, dtype)
    file.seek(stream.tell())
    return inner, in_fortran_order, dtype


def check_size(path: Path, dims: int, n_frames: int, dtype: npt.DTypeLike) -> None:
    """Raise InputError where a file holds no latents, has too many dims, or would take more than 1 GiB of memory."""
    n_bytes = dims * n_frames * max(4, np.dtype(dtype).itemsize)
    if n_bytes == 0:
        raise InputError(f"is empty ({dims} dims, {n_frames} frames)", path=path, expected="at least one frame")
    if dims > MAX_DIMS:
        raise InputError(f"has {dims} dims, at most {MAX_DIMS} make sense", path=path, remedy="are axes swapped?")
    if n_bytes > MAX_BYTES:
        found, expected = f"holds {size_text(n_bytes)} of latents", f"at most {size_text(MAX_BYTES)}"
        raise InputError(found, path=path, expected=expected, remedy="cut it into pieces")


def refuse_not_finite(path: Path, array: Latents) -> None:
    """Raise InputError if a (dims, frames) array read from `path` holds NaN, Inf, or what is Inf as float32."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf and is refused as such
        finite = np.isfinite(array.astype(np.float32, copy=False))
    if not finite.all():
        dim, frame = np.argwhere(~finite)[0]
        raise InputError(f"holds {array[dim, frame]} at dim {dim}, frame {frame}", path=path, expected="finite values")


def blocks(array: Latents) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks [dims, n] of float32, C order, that cover a (dims, frames) array in order, about 16 MiB each."""
    step = max(1, BLOCK_VALUES // array.shape[0])
    for start in range(0, array.shape[1], step):
        yield np.ascontiguousarray(array[:, start : start + step], "<f4")


def content_key(array: Latents) -> str:
    """Return the SHA-256 of the values as float32 and of the shape, so that equal latents have equal keys."""
    digest = hashlib.sha256(repr(tuple(array.shape)).encode())
    for block in blocks(array):
        digest.update(block.data)
    return digest.hexdigest()


def load_descriptors(latents: Path, sidecar: Sidecar | None, frames: int) -> Descriptors | None:
    """Read the descriptors beside latents, float32 [3, frames]; None where the sidecar names none that are there."""
    if not has_descriptors(latents, sidecar):
        return None
    path = descriptors_path(latents)
    array = load_latents(path)
    if array.shape != (3, frames):
        raise InputError(f"has shape {array.shape}", path=path, expected=f"(3, {frames})", remedy="encode it again")
    return array.astype(np.float32)


def save_latents(
    path: str | Path,
    latents: npt.ArrayLike,
    sidecar: Sidecar | None = None,
    overwrite: bool = True,
    descriptors: Descriptors | None = None,
) -> None:
    """Write latents of shape (dims, frames) as `.npy`, float32, shape (1, dims, frames), atomically.

    A `sidecar` is written with them; `overwrite` as in `atomic_write_with_sidecar`. `descriptors`, float32 [3, frames],
    are written beside an encoding, whose sidecar gets their hash.

    Raises
    ------
    UsageError
        Not two-dimensional, or not finite.
    OutputError
        The file cannot be written.
    """
    check_suffix(path, ".npy")
    path, array = Path(path), narrowed(latents, "<f4", path=path)
    with contextlib.ExitStack() as files:
        if descriptors is not None and isinstance(sidecar, EncodingSidecar):
            beside = files.enter_context(atomic_write(descriptors_path(path)))
            _write(beside, descriptors)
            sidecar = replace(sidecar, descriptors_sha256=sha256_of(beside))
        _write(files.enter_context(atomic_write_with_sidecar(path, sidecar, overwrite)), array[np.newaxis])


def _write(path: Path, array: npt.NDArray[np.floating[Any]]) -> None:
    """Write an array in NumPy's format; np.save hides the cause where the disk is full."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": array.shape})
        file.write(np.ascontiguousarray(array, "<f4").data)


def narrowed(values: npt.ArrayLike, dtype: str, **of: Any) -> npt.NDArray[np.floating[Any]]:
    """Return latents or frames in the dtype of a file, C order; `of` is the path or the option that errors name.

    Raises
    ------
    UsageError
        They are no real numbers of two axes, or one is not finite, or too large for 32 bits.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "fiu" or given.ndim != 2 or given.size == 0:
        found = f"has shape {given.shape} and type {given.dtype}"
        raise UsageError(found, expected="real numbers of two axes, dims and frames", **of)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(given, dtype=dtype)
    if not np.isfinite(array).all():
        found, remedy = "has values that are not finite or too large for 32 bits", "check the code that made them"
        raise UsageError(found, remedy=remedy, **of)
    return array


@dataclass(frozen=True)
class Npy:
    """A latents file as a format for results: its names and sizes, and how frames [frames, dims] are written."""

    dims: int
    noun: ClassVar[str] = "latents file"
    suffix: ClassVar[str] = f"{EMBEDDINGS}.npy"  # latents files and latent audio of the same name share no sidecar
    hold: ClassVar[None] = None
    player: ClassVar[str] = ""

    def n_bytes(self, n_frames: int) -> int:
        """Return the size of a file of so many frames."""
        return 128 + n_frames * 4 * self.dims  # NumPy pads its header to a multiple of 64

    def write(self, path: Path, frames: Frames, sidecar: Sidecar | None = None) -> None:
        """Write frames atomically, neither clipped nor scaled; raises as `save_latents` does."""
        save_latents(path, frames.T, sidecar)
