"""Long arrays as a sequence of loops, never all in memory: counted, and re-blocked for writing."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents import Frames as Frames

BLOCK_VALUES = 1 << 20  # values that are written at a time: 8 MiB of float64


@dataclass(frozen=True, eq=False)
class Repeat:
    """The same loop [frames, dims] several times in a row, without using memory; its length is that of all together.

    >>> len(Repeat(np.zeros((4, 8)), times=1000))
    4000
    """

    loop: Frames
    times: int

    def __len__(self) -> int:
        return len(self.loop) * self.times


Loop = Frames | Repeat


def count_frames(loops: Iterable[Loop], limit: float = math.inf) -> int:
    """Count the frames of all loops together; stop counting once `limit` is passed."""
    total = 0
    for loop in loops:
        total += len(loop)
        if total > limit:
            break
    return total


def reblock(loops: Iterable[Loop], dims: int, block_values: int = BLOCK_VALUES) -> Iterator[Frames]:
    """Join loops of any size to blocks of about 8 MiB.

    Parameters
    ----------
    loops : iterable of float64 [frames, dims] or Repeat
        In order.
    dims : int
        Of every loop.
    block_values : int
        Values in a block; all but the last have ``block_values // dims`` frames, at least 1.

    Yields
    ------
    float64 [n, dims]
        A block; the next one overwrites it.

    Raises
    ------
    UsageError
        NaN or Inf inside.
    """
    size = max(1, block_values // dims)
    buffer, filled = np.empty((size, dims)), 0
    for array in _arrays(loops, size):
        done = 0
        while done < len(array):
            n = min(len(array) - done, size - filled)
            buffer[filled : filled + n] = array[done : done + n]
            filled, done = filled + n, done + n
            if filled == size:
                yield _finite(buffer)
                filled = 0
    if filled:
        yield _finite(buffer[:filled])


def _arrays(loops: Iterable[Loop], size: int) -> Iterator[Frames]:
    """Yield the loops one after the other; short repeated ones joined to arrays of at most `size` frames."""
    for loop in loops:
        if isinstance(loop, Repeat):
            joined = max(1, min(loop.times, size // max(1, len(loop.loop))))
            array = np.tile(loop.loop, (joined, 1))
            yield from itertools.repeat(array, loop.times // joined)
            yield array[: loop.times % joined * len(loop.loop)]
        else:
            yield loop


def _finite(block: Frames) -> Frames:
    if not np.isfinite(block).all():
        raise UsageError(
            "the pattern, or a transform, made values that are not finite (NaN or Inf): check its options and its code"
        )
    return block
