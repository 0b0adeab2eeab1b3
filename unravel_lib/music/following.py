"""Distributions that follow the recordings: from frame to frame as recorded, with jumps between moments that are alike.

A path through the recordings is drawn first. At each step it goes on to the next recorded frame, or it jumps to a
moment at which the recording was much like what was drawn last. From the path a ring of frames is made:

    recorded   ... 17 18 19 20 ...        ... 52 53 54 55 ...      19 and 53 are alike
    path           17 18 19 ------------------> 54 55 ...

`oracle` plays the recorded frames of the path. `retrace` keeps a part of the distance to the recording at each step, so
that after a jump the frames lie between those of the two moments: frames that nobody has recorded.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from unravel_lib.latents import Frames, Latents
from unravel_lib.music.catalogue import distribution
from unravel_lib.statistics.measure import Array, Statistics

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Index = npt.NDArray[np.int64]

SPARE = 768  # frames of the path beyond the ring, to choose the place where it closes
APART = 2  # a jump lands more than so many frames from where the path would have gone on
APPROXIMATION = 3.0  # the moments found may be 1 + this times as far as the nearest ones: 40 times as fast
MAX_KEEP = 0.99  # 1 would never forget where it began
SEAM = 4  # frames in which an excerpt is faded into its beginning
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


class Rules(NamedTuple):
    """How a path goes on: the arguments of `retrace` and `oracle`, in their words."""

    follow: float
    near: int
    keep: float
    longest: int


@distribution(needs_frames=True, spreads_by_iqr="never")
def retrace(
    statistics: Statistics,
    rng: np.random.Generator,
    n_frames: int,
    follow: float = 0.7,
    near: int = 8,
    keep: float = 0.85,
) -> Frames:
    """New frames that move as the recordings do, attacks and decays included; a closed ring.

    Parameters
    ----------
    follow : probability, 0 to 1, to go on in the recording instead of jumping
    near : a jump goes to one of so many nearest moments
    keep : share of the distance to the recording that is kept at each step, 0 to 0.99

    Notes
    -----
    Local analogues with residual, after Lall & Sharma, "A nearest neighbor bootstrap for resampling hydrologic time
    series" (1996), made continuous and circular: x[t] = X[m + 1] + keep (x[t - 1] - X[m]), where m is the recorded
    moment, so x[t] = keep x[t - 1] + e[t] with e[t] = X[m + 1] - keep X[m]; this is solved on the circle by FFT.
    """
    _refuse_outside("keep", keep, 0, MAX_KEEP)
    ring = _ring(Recordings.of(statistics), rng, n_frames, Rules(follow, near, keep, longest=n_frames + SPARE))
    return np.clip(ring, statistics.minimum, statistics.maximum)


@distribution(needs_frames=True, spreads_by_iqr="never")
def oracle(
    statistics: Statistics,
    rng: np.random.Generator,
    n_frames: int,
    follow: float = 0.85,
    near: int = 8,
    longest: int = 24,
) -> Frames:
    """Recorded frames in runs, joined where they are alike; copies by design; a closed ring.

    Parameters
    ----------
    follow : probability, 0 to 1, to go on in the recording instead of jumping
    near : a jump goes to one of so many nearest moments
    longest : frames in a run at most

    Notes
    -----
    After the Audio Oracle, Dubnov, Assayag & Cont, "Audio Oracle: a new algorithm for fast learning of audio
    structures" (2007), with distances instead of a factor oracle's thresholds.
    """
    return _ring(Recordings.of(statistics), rng, n_frames, Rules(follow, near, 0.0, longest))


@distribution(needs_frames=True, spreads_by_iqr="never")
def excerpt(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Frames in a row from a random place of a recording, its end faded into its beginning: a phrase as a loop."""
    recordings = Recordings.of(statistics)
    seam = min(SEAM, n_frames // 2)
    places = np.maximum(recordings.lengths - n_frames - seam + 1, 0)  # where an excerpt and the frames before it fit
    if not places.any():
        longest = recordings.lengths.max() - seam
        raise ValueError(f"{n_frames} frames are longer than every recording, the longest gives {max(0, longest)}")
    place = int(rng.integers(places.sum()))
    number = int(np.searchsorted(np.cumsum(places), place, side="right"))
    start = place - int(places[:number].sum()) + seam
    frames = recordings.frames(number)
    ring = frames[start : start + n_frames].copy()
    fade = (np.arange(1, seam + 1) / (seam + 1))[:, np.newaxis]
    ring[n_frames - seam :] = (1 - fade) * ring[n_frames - seam :] + fade * frames[start - seam : start]
    return ring * recordings.scale


def _ring(recordings: Recordings, rng: np.random.Generator, n_frames: int, rules: Rules) -> Frames:
    """A closed ring [n_frames, dims] of x[t] = keep x[t - 1] + e[t], with e from a path through the recordings."""
    _refuse_outside("follow", rules.follow, 0, 1)
    _refuse_outside("near", rules.near, 1, np.inf)
    _refuse_outside("longest", rules.longest, 1, np.inf)
    drawn, e = _path(recordings, rng, n_frames + SPARE, rules)
    starts = np.arange(1, SPARE + 1)
    jumps = ((drawn[starts - 1] - drawn[starts - 1 + n_frames]) ** 2).sum(axis=1)
    start = starts[np.argmin(jumps)]  # where the frame before the ring is most like its last one
    turns = np.exp(-2j * np.pi * np.arange(n_frames // 2 + 1) / n_frames)
    spectrum = np.fft.rfft(e[start : start + n_frames], axis=0) / (1 - rules.keep * turns)[:, np.newaxis]
    ring: Frames = np.fft.irfft(spectrum, n_frames, axis=0) if rules.keep else e[start : start + n_frames]
    return ring * recordings.scale


def _path(recordings: Recordings, rng: np.random.Generator, n_frames: int, rules: Rules) -> tuple[Frames, Frames]:
    """Draw a path: the frames x[t] = X[m + 1] + keep (x[t - 1] - X[m]), and e[t] = x[t] - keep x[t - 1].

    At the end of a recording the path goes on at its beginning, as a sound that is struck again.
    """
    drawn = np.empty((n_frames, len(recordings.scale)))
    e = np.empty_like(drawn)
    visits: dict[int, Index] = {}
    before = last = None  # the last two frames that were drawn
    moment, run = None, 0  # the recorded frame that the path is at, and for how long it has followed the recording
    step, previous = 0, -1
    for number, size in recordings.itinerary(rng, n_frames, min_frames=3):
        frames = recordings.frames(number)
        seen = visits.setdefault(number, np.zeros(len(frames), np.int64))
        if number != previous:
            moment, run, previous = None, 0, number
        for _ in range(size):
            if before is None or last is None:
                moment = int(rng.integers(1, len(frames) - 1))
                before, last = frames[moment - 1], frames[moment]
            elif moment is None:
                moment = _jump(recordings, number, np.concatenate([before, last]), rng, seen, 1, None)
            elif moment == len(frames) - 1:
                moment, run = 0, 0
            elif run >= rules.longest or rng.random() >= rules.follow:
                moment = _jump(recordings, number, np.concatenate([before, last]), rng, seen, rules.near, moment)
                run = 0
            seen[moment] += 1
            e[step] = frames[moment + 1] - rules.keep * frames[moment]
            drawn[step] = rules.keep * last + e[step]
            before, last = last, drawn[step]
            moment, run, step = moment + 1, run + 1, step + 1
    return drawn, e


def _jump(
    recordings: Recordings,
    number: int,
    drawn: Frames,
    rng: np.random.Generator,
    visits: Index,
    near: int,
    moment: int | None,
) -> int:
    """A recorded frame at which the recording was like the last two frames drawn [2 dims], not near `moment`."""
    tree = recordings.moments(number)
    wanted = near if moment is None else near + 2 * APART + 1
    _, pairs = tree.query(drawn, k=min(wanted, tree.n), eps=APPROXIMATION)
    moments: Index = np.atleast_1d(pairs) + 1
    if moment is not None:
        apart = moments[np.abs(moments - moment) > APART]
        moments = apart[:near] if apart.size else moments[:near]
    weights = 1 / np.arange(1, len(moments) + 1) / (1 + visits[moments])
    return int(rng.choice(moments, p=weights / weights.sum()))


def _refuse_outside(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value:g} is out of range, expected {low:g} to {high:g}")
