"""The recordings behind the statistics: which of their moments are worth a loop, where loops begin, which are in time.

    moment     a frame of a recording, as a place where a loop is or goes to
    worthy     of a moment: it is loud, or what follows it within 0.4 s is; others are no part of loops
    place      a number from 0 to 1: a moment in the line of all worthy moments, recording by recording
    period     so many frames later, which need not be a whole number, a recording is like itself: a beat, a bar
    in time    whole periods away
    fitted     of a recording: made longer or shorter so that whole beats, periods or parts of them, fill a loop
    ring       a loop whose first frame follows its last as any frame follows the one before it
    stretch    a part of a ring, about 12 s long, drawn from one recording

Frames are in units of each dim's standard deviation; all lengths in time are in seconds.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.descriptors import ATTACK, LOUDNESS, SILENCE, Descriptors
from unravel_lib.latents import Frames
from unravel_lib.statistics.measure import Array, Encoding, Statistics
from unravel_lib.text import count_text

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Note = Callable[[str], None]

USUAL_RATE = 44100 / 2048  # frames a second, where nothing states it
SMOOTH = 0.5  # dims whose lag-1 autocorrelation is at least this change gradually; the others are nearly white
# worthy moments
QUIET = 20.0  # dB below the usual loudness: quieter moments are no part of loops
INAUDIBLE = -50.0  # dB: moments below are no part of loops in any case
AHEAD_SECONDS = 0.4  # a moment is as loud as what follows it within this time
FEWEST_WORTHY = 8  # moments that must be left where the quiet ends of a recording are left out
NEAR, MOST_NEAR = 3, 20_000  # recorded frames that say how loud a frame is, of so many at most
# places
GOLDEN = (5**0.5 - 1) / 2  # places at multiples of it, modulo 1, are spread evenly, however many (Kronecker)
PLACE_KEY = (2**32 - 1,)  # of the random number that is the first place
STRETCH_SECONDS = 12.0  # of a ring, drawn from one recording
# periods
PERIOD_SECONDS = (0.4, 4.0)
PERIOD_RISE, PERIOD_LEAST = 0.15, 0.5  # of the autocorrelation at a period, over the valley before it and in itself
AS_HIGH = 0.95  # of the highest peak: equal to it
PERIODS_NEEDED = 1.6  # periods that a recording must be long
# fitting to a tempo
BEATS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # beats of a loop that divide into halves or thirds
HALVINGS, SHORTEST_BEAT = 5, 0.15  # a beat is a period halved so often, in seconds at least
MOST_STRETCHED = 0.3  # octaves
THREES, HALVED = 0.05, 0.01  # octaves of stretch that a loop of thirds, or of a shorter beat, must save


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording without its quiet ends; or all of them in a row.

    Attributes
    ----------
    name : str
    frames : float64 [frames, dims]
        In standard deviations.
    weights : float64 [dims]
        How much each dim counts in distances.
    worthy : bool [frames]
        Which moments are loud, or followed by a loud one within 0.4 s.
    loud : bool [frames]
        Which are loud themselves.
    ends : bool [frames]
        Which frames have no frame behind them: the last one of a recording.
    descriptors : float32 [3, frames] or None
        Loudness, brightness and attack; None where they are unknown.
    period : float or None
        In frames; None where none is found.
    """

    name: str
    frames: Frames
    weights: Array
    worthy: Flags
    loud: Flags
    ends: Flags
    descriptors: Descriptors | None
    period: float | None

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def weighted(self) -> Frames:
        """Frames for distances: times the weight of each dim."""
        return self.frames * self.weights

    @cached_property
    def pairs(self) -> Frames:
        """The weighted frames of the moment before and of the moment, for each but the first, [frames - 1, 2 dims]."""
        return np.hstack([self.weighted[:-1], self.weighted[1:]])

    @cached_property
    def moments(self) -> Index:
        """The moments that a jump may lead to: worthy, with a frame before and one behind them."""
        inner = ~(self.ends | np.roll(self.ends, 1))  # the first frame comes behind the last one, which is an end
        worthy = np.flatnonzero(inner & self.worthy)
        return worthy if len(worthy) > 1 else np.flatnonzero(inner)

    @cached_property
    def tree(self) -> "cKDTree":
        """A k-d tree of the pairs of `moments`."""
        from scipy.spatial import cKDTree

        return cKDTree(self.pairs[self.moments - 1])

    @cached_property
    def worthy_tree(self) -> tuple[Index, "cKDTree"]:
        """The worthy moments, and a k-d tree of their weighted frames."""
        from scipy.spatial import cKDTree

        known = np.flatnonzero(self.worthy)
        return known, cKDTree(self.weighted[known])

    @cached_property
    def with_rests(self) -> "Recording":
        """The recording whose silences of up to a period are worthy too: they are the rests of its rhythm."""
        if self.period is None:
            return self
        worthy, known = self.worthy.copy(), np.flatnonzero(self.worthy)
        for begin, gap in zip(known[:-1], np.diff(known), strict=True):
            worthy[begin : begin + gap] |= gap <= self.period
        return replace(self, worthy=worthy)

    def take(self, moments: Index, factor: float = 1.0) -> "Recording":
        """A recording of the frames at these moments, in this order, with a period `factor` times as long."""
        return replace(
            self,
            frames=self.frames[moments],
            worthy=self.worthy[moments],
            loud=self.loud[moments],
            ends=last_of(len(moments)),
            descriptors=None if self.descriptors is None else self.descriptors[:, moments],
            period=None if self.period is None else self.period * factor,
        )

    def fitted(self, moment: int, n_frames: int, frame_rate: float, note: Note) -> "tuple[Recording, int]":
        """Fit the recording to a loop of a whole number of its beats; return it, and where the moment is in it.

        A beat is the period, or a half, a quarter, ... of it. Frames are left out or doubled where neighbours are most
        alike. The recording is left as it is where it has no period, or would be stretched by more than 0.3 octaves.
        """
        if self.period is None:
            note(f"{self.name}: no period was found, not fitted to the tempo")
            return self, moment
        ways = []
        for halved in range(HALVINGS):
            beat = self.period / 2**halved
            for n in BEATS if beat >= SHORTEST_BEAT * frame_rate else ():
                octaves = abs(np.log2(n_frames / n / beat))
                if octaves <= MOST_STRETCHED:
                    ways.append((octaves + THREES * (n % 3 == 0) + HALVED * halved, n, beat))
        if not ways:
            note(f"{self.name}: its period of {self.period / frame_rate:.2f} s does not fit the tempo")
            return self, moment
        _, n_beats, beat = min(ways)
        factor = n_frames / n_beats / beat
        note(f"{self.name}: {count_text(n_beats, 'beat')} of {beat / frame_rate:.2f} s stretched by {factor:.2f}")
        taken = stretched(self.weighted, factor)
        return self.take(taken, factor), int(np.searchsorted(taken, moment))


class Recordings:
    """All recordings that were measured; one by one when iterated over.

    Attributes
    ----------
    encodings : tuple of Encoding
    frame_rate : float
        Frames a second; 21.5 where it is not known.
    scale : float64 [dims]
        Standard deviation of each dim over all recordings, 1 where a dim never moves.
    weights : float64 [dims]
        Lag-1 autocorrelation of each dim, 0 at least: how much a dim counts in distances.
    smooth : bool [dims]
        Which dims change gradually, by their lag-1 autocorrelation; all where none does.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.encodings = statistics.encodings
        self.frame_rate = statistics.frame_rate or USUAL_RATE
        self.scale: Array = np.where(statistics.std > 0, statistics.std, 1.0)
        self.weights = np.clip(statistics.autocorrelation, 0, 1)
        self.smooth = self.weights >= SMOOTH if (self.weights >= SMOOTH).any() else self.weights >= 0
        level = max(usual_loudness(self.encodings) - QUIET, INAUDIBLE)
        loud: list[Flags] = [
            np.ones(one.latents.shape[1], np.bool_) if one.descriptors is None else one.descriptors[LOUDNESS] > level
            for one in self.encodings
        ]
        if not any(one.any() for one in loud):  # all are silent: so are the loops
            loud = [~one for one in loud]
        self._each = [self._recording(number, one) for number, one in enumerate(loud)]

    def _recording(self, number: int, loud: Flags) -> Recording:
        encoding, ahead = self.encodings[number], max(1, round(AHEAD_SECONDS * self.frame_rate))
        following = np.lib.stride_tricks.sliding_window_view(np.pad(loud, (0, ahead - 1)), ahead)
        worthy: Flags = np.any(following, axis=1)
        known = np.flatnonzero(worthy)
        inside = slice(known[0], known[-1] + 1) if len(known) >= FEWEST_WORTHY else slice(None)
        frames = np.ascontiguousarray(encoding.latents[:, inside].T / self.scale)
        return Recording(
            encoding.name or f"recording {number}",
            frames,
            self.weights,
            worthy[inside],
            loud[inside],
            last_of(len(frames)),
            None if encoding.descriptors is None else encoding.descriptors[:, inside],
            period_of(frames, self.frame_rate),
        )

    def __iter__(self) -> Iterator[Recording]:
        return iter(self._each)

    @cached_property
    def joined(self) -> Recording:
        """All recordings one after the other, without a period; without descriptors where one of them has none."""
        frames, worthy, loud, ends = (
            np.concatenate([getattr(one, name) for one in self._each]) for name in ("frames", "worthy", "loud", "ends")
        )
        known = [one.descriptors for one in self._each if one.descriptors is not None]
        descriptors = np.concatenate(known, axis=1) if len(known) == len(self._each) else None
        return Recording("all", frames, self.weights, worthy, loud, ends, descriptors, None)

    def shares(self, variety: bool = False) -> Array:
        """How much each recording counts: its weight times its worthy moments, or with `variety` their square root."""
        moments = np.array([one.worthy.sum() for one in self._each], np.float64)
        weights = np.array([encoding.weight for encoding in self.encodings])
        shares: Array = (np.sqrt(moments) if variety else moments) * weights
        return shares

    def moment_at(self, place: float, variety: bool, usable: Sequence[bool]) -> tuple[Recording, int]:
        """Return the recording and the moment in it at a place from 0 to 1; each recording has its share of places.

        Parameters
        ----------
        place : float
        variety : bool
            As of `shares`.
        usable : sequence of bool
            Which recordings count at all.
        """
        shares = self.shares(variety) * usable
        ends = np.cumsum(shares)
        number = min(int(np.searchsorted(ends, place * ends[-1], side="right")), int(np.flatnonzero(shares)[-1]))
        inside = (place * ends[-1] - (ends[number] - shares[number])) / shares[number]
        worthy = np.flatnonzero(self._each[number].worthy)
        return self._each[number], int(worthy[min(int(inside * len(worthy)), len(worthy) - 1)])

    def stretches(
        self, place: float, n_frames: int, least: int, variety: bool = False
    ) -> list[tuple[Recording, int, int]]:
        """Cut a ring into stretches of about 12 s, each from another place: recording, moment and number of frames.

        Only recordings of at least `least` frames count; raises ValueError where there are none.
        """
        usable = [len(one) >= least for one in self._each]
        if not any(usable):
            longest = max(map(len, self._each))
            raise ValueError(f"needs a recording of at least {least} frames, the longest has {longest}")
        n = max(1, round(n_frames / (STRETCH_SECONDS * self.frame_rate)))
        sizes = np.diff(np.linspace(0, n_frames, n + 1).round().astype(np.int64)).tolist()
        places = [(place + number * GOLDEN) % 1 for number in range(n)]
        return [(*self.moment_at(at, variety, usable), size) for at, size in zip(places, sizes, strict=True)]


@lru_cache(maxsize=1)
def recordings_of(statistics: Statistics) -> Recordings:
    """The recordings of these statistics; those that were asked for last are kept, with their trees."""
    return Recordings(statistics)


def last_of(n_frames: int) -> Flags:
    """Return flags [n_frames], of which only the last is true."""
    return np.asarray(np.arange(n_frames) == n_frames - 1)


def first_place(seed: int) -> float:
    """Return the place, from 0 to 1, at which the loops of the first file begin."""
    return float(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=PLACE_KEY)).random())


def usual_loudness(encodings: Sequence[Encoding]) -> float:
    """Return the median loudness, in dB, of the moments louder than 20 dB below the mean power; -inf if unknown."""
    known = [encoding.descriptors[LOUDNESS] for encoding in encodings if encoding.descriptors is not None]
    if not known:
        return -np.inf
    loudness = np.concatenate(known).astype(np.float64)
    mean = 10 * np.log10(np.mean(10 ** (loudness / 10)))
    active = loudness[(loudness > SILENCE) & (loudness > mean - QUIET)]
    return float(np.median(active)) if active.size else -np.inf


def loudness_of(frames: Frames, statistics: Statistics) -> Array | None:
    """Estimate how loud frames [n, dims] are, in dB: the mean of the 3 recorded frames nearest to each.

    None where it is not known of all encodings: generated loops that were given have no descriptors.
    """
    from scipy.spatial import cKDTree

    known = [one.descriptors[LOUDNESS] for one in statistics.encodings if one.descriptors is not None]
    if not known or len(known) < len(statistics.encodings):
        return None
    scale = np.where(statistics.std > 0, statistics.std, 1.0)
    recorded, loudness = np.concatenate([one.latents.T for one in statistics.encodings]), np.concatenate(known)
    every = -(-len(recorded) // MOST_NEAR)
    recorded, loudness = recorded[::every], loudness[::every]
    near = np.arange(1, min(NEAR, len(recorded)) + 1)
    _, found = cKDTree(recorded / scale).query(frames / scale, k=near)
    estimated: Array = loudness[found].mean(axis=1, dtype=np.float64)
    return estimated


def attacks_of(frames: Frames, statistics: Statistics) -> Array | None:
    """How strongly frames [n, dims] are struck, in dB: each as the recorded frame nearest to it; None if unknown."""
    recordings = recordings_of(statistics)
    if not statistics.encodings or recordings.joined.descriptors is None:
        return None
    known, tree = recordings.joined.worthy_tree
    _, found = tree.query(frames / recordings.scale * recordings.weights)
    struck: Array = recordings.joined.descriptors[ATTACK, known[found]].astype(np.float64)
    return struck


def period_of(frames: Frames, frame_rate: float) -> float | None:
    """Find the period of a recording [frames, dims], in frames, from 0.4 to 4 s; None where there is none.

    The highest peak of the autocorrelation, of equals the first, refined by a parabola. The autocorrelation is
    unbiased, relative to lag 1, and summed over dims that each count by the fourth power of their own at lag 1.
    """
    n = len(frames)
    low = PERIOD_SECONDS[0] * frame_rate
    high = int(min(PERIOD_SECONDS[1] * frame_rate, (n - 3) / PERIODS_NEEDED))
    if high < low + 1:
        return None
    centred = frames - frames.mean(axis=0)
    energy = (centred**2).sum(axis=0)
    spread = np.sqrt(np.where(energy > 0, energy / n, 1))
    own = (centred[1:] * centred[:-1]).sum(axis=0) / np.where(energy > 0, energy, 1)
    size = 1 << (n + high + 1).bit_length()
    spectrum = np.fft.rfft(centred / spread * own**2, size, axis=0)
    summed = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1))[: high + 2] / (n - np.arange(high + 2))
    if summed[1] <= 0:
        return None
    values = summed / summed[1]
    lags = np.arange(math.ceil(low), high + 1)
    valley = np.minimum.accumulate(values)[lags]
    is_peak = (values[lags] > values[lags - 1]) & (values[lags] >= values[lags + 1])
    peaks = lags[is_peak & (values[lags] >= np.maximum(PERIOD_LEAST, valley + PERIOD_RISE))]
    if not peaks.size:
        return None
    best = int(peaks[values[peaks] >= AS_HIGH * values[peaks].max()][0])
    before, top, behind = values[best - 1 : best + 2]
    return float(best + 0.5 * (before - behind) / (before - 2 * top + behind))


def stretched(weighted: Frames, factor: float) -> Index:
    """Return which frames to take to make a recording `factor` times as long, [round(factor frames)].

    The recording is cut into equal parts, and in each that frame is left out, or doubled, with which it changes least.
    """
    n = len(weighted)
    change = round(n * factor) - n
    cost = np.full(n, np.inf)
    if change < 0:
        cost[1:-1] = ((weighted[2:] - weighted[:-2]) ** 2).sum(axis=1)
    else:
        cost[:-1] = ((weighted[1:] - weighted[:-1]) ** 2).sum(axis=1)
    times = np.ones(n, np.int64)
    borders = np.linspace(0, n, abs(change) + 1).round().astype(np.int64)
    for begin, end in itertools.pairwise(borders):
        times[begin + int(np.argmin(cost[begin:end]))] += 1 if change > 0 else -1
    return np.repeat(np.arange(n), times)
