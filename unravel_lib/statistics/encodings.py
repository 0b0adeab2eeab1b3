"""Latents read piece by piece: a block of frames, one dim of all recordings, or single frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.latents.blocks import Frames
from unravel_lib.latents.npy import Latents, changed, load_latents, open_latents, read_values, refuse_not_finite
from unravel_lib.text import printable

BLOCK_VALUES = 1 << 20  # values read at a time: 4 MiB of float32
EVERYTHING = slice(None)


@dataclass(frozen=True, eq=False)
class Encoding:
    """The latents of one recording, [dims, frames]: a file, closed between two reads, or an array in memory.

    A file is open only while it is read, so there may be thousands. Nothing is memory-mapped: a mapped file that
    another program cuts short ends the process.

    Attributes
    ----------
    path : Path; of an array the word "array"
    shape : (dims, frames)
    dtype : as stored, any real type and byte order
    offset : where the values begin in the file, in bytes; None where they are not stored dim after dim
    values : of an array
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None
    values: Latents | None = field(default=None, repr=False)

    @classmethod
    def of(cls, latents: str | Path | npt.ArrayLike) -> "Encoding":
        """Read the header of a latents file, or take an array [dims, frames].

        Raises
        ------
        InputError
            As `open_latents`; or an array of another shape or of other than real numbers.
        """
        if not isinstance(latents, (str, Path)):
            values = np.asarray(latents)
            if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
                raise InputError(f"an array of shape {values.shape} and type {values.dtype}, expected (dims, frames)")
            return cls(Path("array"), (values.shape[0], values.shape[1]), values.dtype, None, values)
        path = Path(latents)
        array = open_latents(path)
        offset = array.offset if isinstance(array, np.memmap) and array.flags.c_contiguous else None
        return cls(path, (array.shape[0], array.shape[1]), array.dtype, offset)

    def read(self, dims: slice = EVERYTHING, frames: slice = EVERYTHING) -> Latents:
        """Return a slice of dims and frames, [dims, frames].

        Raises
        ------
        InputError
            The file cannot be read any more, or was changed since its header was read.
        """
        first, last, _ = dims.indices(self.shape[0])
        start, stop, _ = frames.indices(self.shape[1])
        if self.values is not None:
            return self.values[first:last, start:stop]
        if self.offset is None:
            array = open_latents(self.path)
            if (array.shape, array.dtype) != (self.shape, self.dtype):
                raise changed(self.path)
            return read_values(self.path, array)[first:last, start:stop]
        result: Latents = np.empty((last - first, stop - start), self.dtype)
        try:
            with open(self.path, "rb") as file:
                for row, values in enumerate(result, first):
                    file.seek(self.offset + (row * self.shape[1] + start) * self.dtype.itemsize)
                    if file.readinto(values.data.cast("B")) != values.nbytes:
                        raise changed(self.path)
        except OSError as error:
            raise InputError(f"{printable(self.path)} cannot be read: {error.strerror}") from error
        return result

    def refuse_not_finite(self) -> None:
        """Raise InputError, with dim and frame, if a value is NaN, Inf or beyond float32."""
        if self.values is not None:
            refuse_not_finite(self.path, self.values)
        else:
            load_latents(self.path)

    def blocks(self) -> Iterator[Latents]:
        """Yield the whole file in order, [dims, n], about BLOCK_VALUES values each."""
        step = max(1, BLOCK_VALUES // self.shape[0])
        for start in range(0, self.shape[1], step):
            yield self.read(frames=slice(start, start + step))


def total_frames(encodings: Sequence[Encoding]) -> int:
    """Return the number of frames of all files together."""
    return sum(encoding.shape[1] for encoding in encodings)


def read_dim(encodings: Sequence[Encoding], dim: int) -> npt.NDArray[np.floating[Any]]:
    """Return one dim of all files, one file after the other, [frames]: float32 where that is exact, else float64."""
    exact = all(np.can_cast(encoding.dtype, np.float32) for encoding in encodings)
    result: npt.NDArray[np.floating[Any]] = np.empty(total_frames(encodings), np.float32 if exact else np.float64)
    start = 0
    for encoding in encodings:
        stop = start + encoding.shape[1]
        result[start:stop] = encoding.read(slice(dim, dim + 1))[0]
        start = stop
    return result


def frames_at(encodings: Sequence[Encoding], index: npt.NDArray[np.int64]) -> Frames:
    """Return the frames at the given indices of all files, one file after the other: float64 [len(index), dims]."""
    result = np.empty((len(index), encodings[0].shape[0]))
    start = 0
    for encoding in encodings:
        for block in encoding.blocks():
            here = np.flatnonzero((index >= start) & (index < start + block.shape[1]))
            result[here] = block[:, index[here] - start].T
            start += block.shape[1]
    return result
