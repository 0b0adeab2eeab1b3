"""What a picture shows of a long array: lowest and highest values, the loops and their borders, some of its frames.

Collected block by block while the array is written, in memory that does not grow with its length.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from unravel_lib.latents.blocks import Frames, Loop, Repeat

Positions = npt.NDArray[np.int64]

COLUMNS = 880  # of the picture of a whole file: pixels
LOOP_COLUMNS = 150  # of that of one loop
SAMPLED = 1999  # frames that are kept: a prime, so that it has no factor in common with a loop
MAX_ITEMS = 1000  # borders of loops that are kept


class Envelope:
    """The lowest and the highest value of each dim in equal parts of an array, so that no spike is lost.

    Parameters
    ----------
    n_frames : int
        How many frames all blocks have together.
    dims : int
    columns : int
        How many parts; one per frame where there are fewer frames.

    Attributes
    ----------
    low, high : float64 [columns, dims]
    """

    def __init__(self, n_frames: int, dims: int, columns: int = COLUMNS) -> None:
        columns = min(columns, n_frames)
        self.n_frames = n_frames
        self.edges: Positions = np.arange(columns + 1, dtype=np.int64) * n_frames // columns
        self.low: Frames = np.full((columns, dims), np.inf)
        self.high: Frames = np.full((columns, dims), -np.inf)
        self._seen = 0

    def __call__(self, block: Frames) -> None:
        """Take in the next block, [n, dims] with n > 0."""
        first = np.searchsorted(self.edges, self._seen, side="right") - 1
        last = np.searchsorted(self.edges, self._seen + len(block))
        starts = np.maximum(self.edges[first:last] - self._seen, 0)
        low, high = self.low[first:last], self.high[first:last]
        np.minimum(low, np.minimum.reduceat(block, starts), out=low)
        np.maximum(high, np.maximum.reduceat(block, starts), out=high)
        self._seen += len(block)


class Overview:
    """What a picture shows of a file.

    Parameters
    ----------
    n_frames : int
        How many frames the file has.
    dims : int

    Attributes
    ----------
    envelope : Envelope
        Of the whole file.
    n_loops : int
        How many loops it is made of, each repetition counted.
    first, last : Envelope or None
        Of the first and of the last loop.
    """

    def __init__(self, n_frames: int, dims: int) -> None:
        self.n_frames, self.dims = n_frames, dims
        self.envelope = Envelope(n_frames, dims)
        self.n_loops = 0
        self.first: Envelope | None = None
        self.last: Envelope | None = None
        kept = min(SAMPLED, n_frames)
        self._positions = np.arange(kept) * n_frames // kept  # of the frames that are kept
        self._kept: list[Frames] = []
        self._seen = 0
        self._items: list[tuple[int, int, int]] = []  # start, frames in a loop, times

    def follow(self, loops: Iterable[Loop]) -> Iterator[Loop]:
        """Pass the loops of the file on, and note where they begin."""
        start = 0
        for item in loops:
            loop, times = (item.loop, item.times) if isinstance(item, Repeat) else (item, 1)
            if len(loop) and times:
                if len(self._items) <= MAX_ITEMS:
                    self._items.append((start, len(loop), times))
                if start == 0:
                    self.first = self._picture_of(loop)
                if start + len(item) == self.n_frames:
                    self.last = self._picture_of(loop)
                start += len(item)
                self.n_loops += times
            yield item

    def _picture_of(self, loop: Frames) -> Envelope:
        envelope = Envelope(len(loop), self.dims, LOOP_COLUMNS)
        envelope(loop)
        return envelope

    def __call__(self, block: Frames) -> None:
        """Take in the next block of the file, [n, dims]."""
        self.envelope(block)
        first, last = np.searchsorted(self._positions, [self._seen, self._seen + len(block)])
        self._kept.append(block[self._positions[first:last] - self._seen])
        self._seen += len(block)

    @property
    def sample(self) -> Frames:
        """At most SAMPLED frames of the file, evenly spaced, float64 [n, dims]."""
        return np.concatenate(self._kept)

    def borders(self, most: int) -> Positions:
        """Return the frames at which loops begin, but for the first.

        Of every repetition; where these are more than `most`, of every new loop; where these are too, none.
        """
        if self.n_loops - 1 <= most:
            starts = [start + length * np.arange(times) for start, length, times in self._items]
        else:
            starts = [np.array([start]) for start, _, _ in self._items]
        if not starts or len(starts) - 1 > most:
            return np.empty(0, np.int64)
        return np.concatenate(starts)[1:]
