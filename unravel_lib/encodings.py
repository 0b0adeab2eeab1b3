"""Latents files as things to read piece by piece: any number of files of any size, in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.files import shown
from unravel_lib.latents import RealArray, load_latents, open_latents

BLOCK_VALUES = 1 << 20  # values looked at in one go: 8 MiB of float64
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Encoding:
    """One latents file of shape (dims, frames); `encoding[dims, frames]` copies that piece of it into memory.

    Reads like an array, but between two reads no file is open and no page is mapped: a process may hold about a
    thousand open files, and mapped pages count as its memory.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, path: Path) -> "Encoding":
        """Look at the header of a latents file. Raises InputError as `open_latents` does."""
        array = open_latents(path)
        return cls(path, (array.shape[0], array.shape[1]), array.dtype)

    def __getitem__(self, key: Any) -> RealArray:
        array = open_latents(self.path)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise InputError(f"{shown(self.path)} was changed by another program while it was read: run this again")
        return np.array(array[key])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> RealArray:
        return self[:, :].astype(self.dtype if dtype is None else dtype, copy=False)


def checked_blocks(encoding: Encoding) -> Iterator[npt.NDArray[np.float64]]:
    """Cover an encoding by float64 blocks [dims, n] in order; NaN, Inf and values beyond float32 raise InputError."""
    dims, frames = encoding.shape
    step = max(1, BLOCK_VALUES // dims)
    for start in range(0, frames, step):
        block = encoding[:, start : start + step].astype(np.float64)
        if not max(abs(block.min()), abs(block.max())) <= FLOAT32_MAX:  # also true for NaN
            load_latents(encoding.path)  # knows where it is and says it
        yield block


def frames_at(encodings: Sequence[Encoding], index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The frames at the given places in all encodings, one file after the other: float64 [len(index), dims]."""
    result = np.empty((len(index), encodings[0].shape[0]))
    start = 0
    for encoding in encodings:
        frames = encoding.shape[1]
        here = np.flatnonzero((index >= start) & (index < start + frames))
        if here.size:
            result[here] = encoding[:, index[here] - start].T
        start += frames
    return result


def total_frames(encodings: Sequence[Encoding]) -> int:
    """Frames of all files together."""
    return sum(encoding.shape[1] for encoding in encodings)


def column_type(encodings: Sequence[Encoding]) -> np.dtype[np.floating[Any]]:
    """float32 where that holds the values of every file exactly, else float64."""
    exact = all(np.can_cast(encoding.dtype, np.float32) for encoding in encodings)
    return np.dtype(np.float32 if exact else np.float64)
