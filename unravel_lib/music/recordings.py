"""The recordings behind the statistics, one by one: their frames, and in what order a ring visits them."""

import functools
from typing import TYPE_CHECKING

import numpy as np

from unravel_lib.latents.blocks import Frames
from unravel_lib.statistics.encodings import Encoding
from unravel_lib.statistics.summary import Array, Statistics

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

MAX_VALUES = 1 << 25  # kept in memory, 256 MiB and as much for the trees; a recording that is read may add to that
STRETCH = 64  # frames of a ring in the style of one recording


class Recordings:
    """Recorded frames in units of each dim's standard deviation; a recording is read when it is asked for, and kept.

    Attributes
    ----------
    scale : float64 [dims]
        Standard deviation of each dim over all recordings, 1 where a dim never moves.
    lengths : int64 [recordings]
        Frames of each recording.
    """

    def __init__(self, encodings: tuple[Encoding, ...], std: Array) -> None:
        self.scale: Array = np.where(std > 0, std, 1.0)
        self.lengths = np.array([encoding.shape[1] for encoding in encodings])
        self._encodings = encodings
        self._frames: dict[int, Frames] = {}
        self._moments: dict[int, cKDTree] = {}

    @classmethod
    def of(cls, statistics: Statistics) -> "Recordings":
        """The recordings that were measured; the same object for the same statistics, so that nothing is read twice."""
        return _recordings(statistics.encodings, statistics.std.tobytes())

    def frames(self, number: int) -> Frames:
        """Frames of one recording in units of `scale`, float64 [frames, dims]."""
        if number not in self._frames:
            if sum(frames.size for frames in self._frames.values()) > MAX_VALUES:
                self._frames.clear()
                self._moments.clear()
            self._frames[number] = np.ascontiguousarray(self._encodings[number].read().T / self.scale)
        return self._frames[number]

    def moments(self, number: int) -> "cKDTree":
        """A k-d tree of one recording's pairs of frames (i, i + 1) that a third one follows, as vectors [2 dims]."""
        from scipy.spatial import cKDTree

        if number not in self._moments:
            frames = self.frames(number)
            self._moments[number] = cKDTree(np.hstack([frames[:-2], frames[1:-1]]))
        return self._moments[number]

    def itinerary(self, rng: np.random.Generator, n_frames: int, min_frames: int) -> list[tuple[int, int]]:
        """Cut a ring into stretches of about 64 frames, each in the style of one recording: (recording, frames) pairs.

        Each recording occurs as often as its share of all frames says (systematic sampling), in random order.
        Recordings of fewer than `min_frames` frames are left out.

        Raises
        ------
        ValueError
            All of them are shorter.
        """
        usable = np.flatnonzero(self.lengths >= min_frames)
        if not usable.size:
            raise ValueError(f"needs a recording of at least {min_frames} frames, the longest has {self.lengths.max()}")
        n = max(1, round(n_frames / STRETCH))
        ends = np.cumsum(self.lengths[usable]) / self.lengths[usable].sum()
        places = (rng.random() + np.arange(n)) / n
        chosen = usable[np.minimum(np.searchsorted(ends, places, side="right"), len(usable) - 1)]
        rng.shuffle(chosen)
        borders = np.linspace(0, n_frames, n + 1).astype(np.int64)
        return list(zip(chosen.tolist(), np.diff(borders).tolist(), strict=True))


@functools.lru_cache(maxsize=2)
def _recordings(encodings: tuple[Encoding, ...], std: bytes) -> Recordings:
    return Recordings(encodings, np.frombuffer(std))
