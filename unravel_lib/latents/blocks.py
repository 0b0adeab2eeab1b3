"""Pieces of a long array: repeated, counted, packed into blocks for writing, sampled. Knows no patterns, no files."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError

Array = npt.NDArray[np.float64]
BLOCK_VALUES = 1 << 20  # values that are measured or written in one go: 8 MiB of float64
SAMPLED = 1999  # frames that a picture over time is drawn from: a prime, so that it never falls in step with a loop


def repeat(piece: Array, times: int) -> Array:
    """The same piece [frames, dims] `times` times in a row, as [times, frames, dims], without using memory."""
    return np.broadcast_to(piece, (times, *piece.shape))


def count_frames(pieces: Iterable[Array], limit: float = math.inf) -> int:
    """How many frames the pieces make together; stops counting once `limit` is passed."""
    n_frames = 0
    for piece in pieces:
        n_frames += math.prod(piece.shape[:-1])
        if n_frames > limit:
            break
    return n_frames


def reblock(pieces: Iterable[Array], dims: int, block_values: int = BLOCK_VALUES) -> Iterator[Array]:
    """The pieces as blocks float64 [n, dims] of about 8 MiB, whatever size they come in; a block is reused.

    Raises
    ------
    UsageError
        NaN or Inf inside.
    """
    size = max(1, block_values // dims)
    buffer, filled = np.empty((size, dims)), 0
    for piece in pieces:
        for part in _parts(piece, size):
            done = 0
            while done < len(part):
                n = min(len(part) - done, size - filled)
                buffer[filled : filled + n] = part[done : done + n]
                filled, done = filled + n, done + n
                if filled == size:
                    yield _finite(buffer)
                    filled = 0
    if filled:
        yield _finite(buffer[:filled])


def _parts(piece: Array, size: int) -> Iterator[Array]:
    """A piece as [n, dims] arrays; of a repetition no more than about `size` frames exist at a time."""
    if piece.ndim == 2:
        yield piece
        return
    times, n_frames, dims = piece.shape
    step = max(1, size // max(1, n_frames))
    for start in range(0, times, step):
        yield piece[start : start + step].reshape(-1, dims)


def _finite(block: Array) -> Array:
    if not np.isfinite(block).all():
        raise UsageError("the pattern made values that are not finite (NaN or Inf): check its options and its code")
    return block


class Sampler:
    """Keeps an evenly spaced, bounded choice of the frames that pass by, to draw a picture of them."""

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames
        n = min(SAMPLED, n_frames)
        self._wanted = np.arange(n) * n_frames // n
        self._seen = 0
        self._kept: list[Array] = []

    def __call__(self, block: Array) -> None:
        """Look at the next block, float64 [n, dims]."""
        first, last = np.searchsorted(self._wanted, [self._seen, self._seen + len(block)])
        self._kept.append(block[self._wanted[first:last] - self._seen])
        self._seen += len(block)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Which frames were kept."""
        return self._wanted

    @property
    def frames(self) -> Array:
        """The kept frames, float64 [n, dims]."""
        return np.concatenate(self._kept)
