"""Latents files as things to read piece by piece: any number of files of any size, in bounded memory."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.latents.blocks import BLOCK_VALUES
from unravel_lib.latents.npy import RealArray, changed, open_latents, read_values
from unravel_lib.text import printable

SMALL_BYTES = 1 << 26  # a file up to this size may be read as a whole
MOST_THREADS = 4  # more would mean more memory, and wait for the disk

Floats = npt.NDArray[np.floating[Any]]
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Encoding:
    """One latents file of shape (dims, frames); `encoding[dims, frames]` copies that piece of it into memory.

    Reads like an array, but between two reads no file is open: a process may hold about a thousand. Nothing is mapped:
    a mapped file that another program cuts short ends the process.
    """

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None  # where the values begin in the file, if they lie dim after dim

    @classmethod
    def of(cls, path: Path) -> "Encoding":
        """Look at the header of a latents file. Raises InputError as `open_latents` does."""
        array = open_latents(path)
        offset = array.offset if isinstance(array, np.memmap) and array.flags.c_contiguous else None
        return cls(path, (array.shape[0], array.shape[1]), array.dtype, offset)

    def __getitem__(self, key: Any) -> RealArray:
        array = open_latents(self.path)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise changed(self.path)
        return np.array(read_values(self.path, array)[key])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> RealArray:
        return self[:, :].astype(self.dtype if dtype is None else dtype, copy=False)

    def piece(self, dims: slice, frames: slice) -> RealArray:
        """The same as `encoding[dims, frames]`, without reading the rest of the file; steps of 1 only."""
        rows, places = (range(*key.indices(size)) for key, size in zip((dims, frames), self.shape, strict=True))
        result: RealArray = np.empty((len(rows), len(places)), self.dtype)
        self.read_into(result, rows.start, places.start)
        return result

    def read_into(self, target: RealArray, dim: int, frame: int) -> None:
        """Fill `target` [dims, frames] from here, beginning at `dim` and `frame`, without a copy in between."""
        dims, frames = slice(dim, dim + target.shape[0]), slice(frame, frame + target.shape[1])
        if self.offset is None:
            target[:] = self[dims, frames]
            return
        if target.dtype != self.dtype:
            target[:] = self.piece(dims, frames)
            return
        with self._opened() as file:
            for row, values in enumerate(target, dim):
                file.seek(self.offset + (row * self.shape[1] + frame) * self.dtype.itemsize)
                if file.readinto(values.data.cast("B")) != values.nbytes:
                    raise changed(self.path)

    def frames(self, index: npt.NDArray[np.int64]) -> RealArray:
        """Single frames [dims, len(index)] from anywhere in the file."""
        dims, frames = self.shape
        size = self.dtype.itemsize
        if self.offset is None or dims * frames * size <= SMALL_BYTES:
            return self[:, index]
        with self._opened(buffering=0) as file:
            values = []
            for place in (np.arange(dims)[:, np.newaxis] * frames + index).ravel().tolist():
                file.seek(self.offset + place * size)
                values.append(file.read(size))
        if len(data := b"".join(values)) != dims * len(index) * size:
            raise changed(self.path)
        return np.frombuffer(data, self.dtype).reshape(dims, -1)

    @contextlib.contextmanager
    def _opened(self, buffering: int = -1) -> Iterator[Any]:
        try:
            with open(self.path, "rb", buffering) as file:
                yield file
        except OSError as error:
            raise InputError(f"{printable(self.path)} cannot be read: {error.strerror}") from error


def block_borders(encoding: Encoding) -> list[tuple[int, int]]:
    """(first frame, end) pairs that cover an encoding in order, about BLOCK_VALUES values each."""
    dims, frames = encoding.shape
    step = max(1, BLOCK_VALUES // dims)
    return [(start, min(start + step, frames)) for start in range(0, frames, step)]


def in_threads(
    work: Callable[[Task], Result], tasks: Sequence[Task] | npt.NDArray[Any], most: int = MOST_THREADS
) -> Iterator[Result]:
    """The results of `work` on each task, in order; a few, at most `most`, are worked on at a time."""
    if len(tasks) == 1:
        yield work(tasks[0])
        return
    with ThreadPoolExecutor(min(most, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, tasks)


def frames_at(encodings: Sequence[Encoding], index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The frames at the given places in all encodings, one file after the other: float64 [len(index), dims]."""
    result = np.empty((len(index), encodings[0].shape[0]))
    start = 0
    for encoding in encodings:
        frames = encoding.shape[1]
        here = np.flatnonzero((index >= start) & (index < start + frames))
        if here.size:
            result[here] = encoding.frames(index[here] - start).T
        start += frames
    return result


def total_frames(encodings: Sequence[Encoding]) -> int:
    """Frames of all files together."""
    return sum(encoding.shape[1] for encoding in encodings)


def column_type(encodings: Sequence[Encoding]) -> np.dtype[np.floating[Any]]:
    """float32 where that holds the values of every file exactly, else float64."""
    exact = all(np.can_cast(encoding.dtype, np.float32) for encoding in encodings)
    return np.dtype(np.float32 if exact else np.float64)


def read_dims(encodings: Sequence[Encoding], dims: range, out: Floats | None = None) -> Floats:
    """Some dims of all files, one file after the other: [dims, total frames], as `column_type`; into `out` if given."""
    result = np.empty((len(dims), total_frames(encodings)), column_type(encodings)) if out is None else out
    start = 0
    for encoding in encodings:
        stop = start + encoding.shape[1]
        encoding.read_into(result[:, start:stop], dims.start, 0)
        start = stop
    return result


def chunks(encodings: Sequence[Encoding], dim: int, size: int) -> Iterator[tuple[int, Floats]]:
    """(place of the first value, at most `size` values) of one dim, one file after the other."""
    place, kind = 0, column_type(encodings)
    for encoding in encodings:
        for start in range(0, encoding.shape[1], size):
            values = encoding.piece(slice(dim, dim + 1), slice(start, start + size))[0].astype(kind, copy=False)
            yield place, values
            place += len(values)
