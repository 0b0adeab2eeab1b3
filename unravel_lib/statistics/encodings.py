"""Latents files read piece by piece: a block of frames, one dim of all files, or single frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.latents.npy import RealArray, changed, open_latents, read_values
from unravel_lib.text import printable

BLOCK_VALUES = 1 << 20  # values read at a time: 4 MiB of float32
EVERYTHING = slice(None)


@dataclass(frozen=True)
class Encoding:
    """One latents file of shape [dims, frames], closed between two reads: thousands of them need no open file.

    Nothing is memory-mapped: a mapped file that another program cuts short ends the process.

    Attributes
    ----------
    path : Path
    shape : (dims, frames)
    dtype : as stored, any real type and byte order
    offset : where the values begin, in bytes; None where they are not stored dim after dim
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None

    @classmethod
    def of(cls, path: Path) -> "Encoding":
        """Read the header of a latents file. Raises InputError as `open_latents` does."""
        array = open_latents(path)
        offset = array.offset if isinstance(array, np.memmap) and array.flags.c_contiguous else None
        return cls(path, (array.shape[0], array.shape[1]), array.dtype, offset)

    def read(self, dims: slice = EVERYTHING, frames: slice = EVERYTHING) -> RealArray:
        """Some neighbouring dims and frames, [dims, frames].

        Raises
        ------
        InputError
            The file cannot be read any more, or was changed since its header was read.
        """
        first, last, _ = dims.indices(self.shape[0])
        start, stop, _ = frames.indices(self.shape[1])
        if self.offset is None:
            array = open_latents(self.path)
            if (array.shape, array.dtype) != (self.shape, self.dtype):
                raise changed(self.path)
            return read_values(self.path, array)[first:last, start:stop]
        result: RealArray = np.empty((last - first, stop - start), self.dtype)
        try:
            with open(self.path, "rb") as file:
                for row, values in enumerate(result, first):
                    file.seek(self.offset + (row * self.shape[1] + start) * self.dtype.itemsize)
                    if file.readinto(values.data.cast("B")) != values.nbytes:
                        raise changed(self.path)
        except OSError as error:
            raise InputError(f"{printable(self.path)} cannot be read: {error.strerror}") from error
        return result

    def blocks(self) -> Iterator[RealArray]:
        """The whole file in order, [dims, n], about BLOCK_VALUES values each."""
        step = max(1, BLOCK_VALUES // self.shape[0])
        for start in range(0, self.shape[1], step):
            yield self.read(frames=slice(start, start + step))


def total_frames(encodings: Sequence[Encoding]) -> int:
    """Frames of all files together."""
    return sum(encoding.shape[1] for encoding in encodings)


def read_dim(encodings: Sequence[Encoding], dim: int) -> npt.NDArray[np.floating[Any]]:
    """One dim of all files, one file after the other, [frames]: float32 where that is exact, else float64."""
    exact = all(np.can_cast(encoding.dtype, np.float32) for encoding in encodings)
    result: npt.NDArray[np.floating[Any]] = np.empty(total_frames(encodings), np.float32 if exact else np.float64)
    start = 0
    for encoding in encodings:
        stop = start + encoding.shape[1]
        result[start:stop] = encoding.read(slice(dim, dim + 1))[0]
        start = stop
    return result


def frames_at(encodings: Sequence[Encoding], index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The frames at the given places of all files, one file after the other: float64 [len(index), dims]."""
    result = np.empty((len(index), encodings[0].shape[0]))
    start = 0
    for encoding in encodings:
        for block in encoding.blocks():
            here = np.flatnonzero((index >= start) & (index < start + block.shape[1]))
            result[here] = block[:, index[here] - start].T
            start += block.shape[1]
    return result
