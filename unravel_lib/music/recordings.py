"""The recordings behind the statistics, one by one: their frames, and in what order a ring visits them."""

from typing import TYPE_CHECKING

import numpy as np

from unravel_lib.latents import Frames, Latents
from unravel_lib.statistics.measure import Array, Statistics

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

STRETCH = 64  # frames of a ring in the style of one recording


class Recordings:
    """Recorded frames in units of each dim's standard deviation.

    Attributes
    ----------
    scale : float64 [dims]
        Standard deviation of each dim over all recordings, 1 where a dim never moves.
    lengths : int64 [recordings]
        Frames of each recording.
    """

    def __init__(self, encodings: tuple[Latents, ...], std: Array) -> None:
        self.scale: Array = np.where(std > 0, std, 1.0)
        self.lengths = np.array([encoding.shape[1] for encoding in encodings])
        self._encodings, self._std = encodings, std
        self._frames: dict[int, Frames] = {}
        self._moments: dict[int, cKDTree] = {}

    @classmethod
    def of(cls, statistics: Statistics) -> "Recordings":
        """The recordings that were measured; the same object for the same statistics, so that trees are kept."""
        if not any(one._encodings is statistics.encodings and one._std is statistics.std for one in _last):
            _last[:] = [cls(statistics.encodings, statistics.std)]
        return _last[0]

    def frames(self, number: int) -> Frames:
        """Frames of one recording in units of `scale`, float64 [frames, dims]."""
        if number not in self._frames:
            self._frames[number] = np.ascontiguousarray(self._encodings[number].T / self.scale)
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


_last: list[Recordings] = []  # those that were asked for last
