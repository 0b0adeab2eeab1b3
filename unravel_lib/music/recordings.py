"""The recordings behind the statistics: which of their moments are worth a loop, where loops begin, which are in time.

Frames are in units of each dim's standard deviation; all lengths in time are in seconds.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.descriptors import ATTACK, LOUDNESS, SILENCE, Descriptors
from unravel_lib.latents import Frames
from unravel_lib.statistics.measure import Array, Encoding, Statistics

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

USUAL_RATE = 44100 / 2048  # frames a second, where nothing states it
GOLDEN = (5**0.5 - 1) / 2  # places at multiples of it, modulo 1, are spread evenly, however many (Kronecker)
PLACE_KEY = (2**32 - 1,)  # of the random number that is the first place
SMOOTH = 0.5  # dims whose lag-1 autocorrelation is at least this move on their own; the others are nearly white
QUIET = 20.0  # dB below the usual loudness: quieter moments are no part of loops
INAUDIBLE = -50.0  # dB: moments below are no part of loops in any case
AHEAD_SECONDS = 0.4  # a moment is as loud as what follows it within this time
FEWEST_WORTHY = 8  # moments that must be left where the quiet ends of a recording are left out
PERIOD_SECONDS = (0.4, 4.0)
PERIOD_RISE, PERIOD_LEAST = 0.15, 0.5  # of the autocorrelation at a period, over the valley before it and in itself
AS_HIGH = 0.95  # of the highest peak: equal to it
PERIODS_NEEDED = 1.6  # periods that a recording must be long
STRETCH_SECONDS = 12.0  # of a ring in the style of one recording
BEATS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # beats of a loop that divide into halves or thirds
HALVINGS, SHORTEST_BEAT = 5, 0.15  # a beat is a period halved so often, in seconds at least
MOST_STRETCHED = 0.3  # octaves
NEAR, MOST_NEAR = 3, 20_000  # recorded frames that say how loud a frame is, of so many at most
THREES, HALVED = 0.05, 0.01  # octaves of stretch that a loop of thirds, or of a shorter beat, must save


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording without its quiet ends.

    Attributes
    ----------
    name : str
    frames : float64 [frames, dims]
        In standard deviations.
    weighted : float64 [frames, dims]
        The same times the weight of each dim, for distances.
    worthy : bool [frames]
        Which moments are loud, or followed by what is.
    loud : bool [frames]
        Which are loud themselves.
    origin : int64 [frames]
        Which frame of the encoding each is.
    descriptors : float32 [3, frames] or None
    period : float or None
        In frames; None where none is found.
    ends : bool [frames]
        Which frames have no frame behind them: the last one, of all recordings joined those of each.
    """

    name: str
    frames: Frames
    weighted: Frames
    worthy: Flags
    loud: Flags
    origin: Index
    descriptors: Descriptors | None
    period: float | None
    ends: Flags

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def attack(self) -> Descriptors | None:
        """How strongly each moment is struck, in dB, float32 [frames]."""
        return None if self.descriptors is None else self.descriptors[ATTACK]

    @cached_property
    def pairs(self) -> Frames:
        """Each moment but the first as its weighted frame behind the one before, [frames - 1, 2 dims]."""
        return np.hstack([self.weighted[:-1], self.weighted[1:]])

    @cached_property
    def moments(self) -> Index:
        """The moments that a jump may lead to: worthy, with a frame before and one behind them."""
        inner = ~self.ends
        inner[1:] &= ~self.ends[:-1]
        inner[0] = False
        worthy = np.flatnonzero(inner & self.worthy)
        return worthy if len(worthy) > 1 else np.flatnonzero(inner)

    @cached_property
    def tree(self) -> "cKDTree":
        """A k-d tree of the pairs of `moments`."""
        from scipy.spatial import cKDTree

        return cKDTree(self.pairs[self.moments - 1])

    @cached_property
    def heard(self) -> tuple[Index, "cKDTree"]:
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

    def taken(self, places: Index, factor: float) -> "Recording":
        """The recording with other frames in a row, whose period is `factor` times as long."""
        return Recording(
            self.name,
            self.frames[places],
            self.weighted[places],
            self.worthy[places],
            self.loud[places],
            self.origin[places],
            None if self.descriptors is None else self.descriptors[:, places],
            None if self.period is None else self.period * factor,
            np.arange(len(places)) == len(places) - 1,
        )

    def fitted(self, n_frames: int, frame_rate: float) -> tuple["Recording", str]:
        """Stretch the recording so that a whole number of its beats fills a loop; return what was done as a text.

        A beat is the period, or a half, a quarter, ... of it. Frames are left out or doubled where neighbours are most
        alike. The recording is left as it is where it has no period, or would be stretched by more than 0.3 octaves.
        """
        if self.period is None:
            return self, f"{self.name}: no period was found, not fitted to the tempo"
        ways = []
        for halved in range(HALVINGS):
            beat = self.period / 2**halved
            for n in BEATS if beat >= SHORTEST_BEAT * frame_rate else ():
                octaves = abs(np.log2(n_frames / n / beat))
                if octaves <= MOST_STRETCHED:
                    ways.append((octaves + THREES * (n % 3 == 0) + HALVED * halved, n, beat))
        if not ways:
            return self, f"{self.name}: its period of {self.period / frame_rate:.2f} s does not fit the tempo"
        _, n_beats, beat = min(ways)
        factor = n_frames / n_beats / beat
        beats = f"{n_beats} beat{'' if n_beats == 1 else 's'} of {beat / frame_rate:.2f} s"
        text = f"{self.name}: {beats} stretched by {factor:.2f}"
        return self.taken(stretched(self.weighted, factor), factor), text


class Recordings:
    """All recordings that were measured.

    Attributes
    ----------
    frame_rate : float
        Frames a second; 21.5 where it is not known.
    scale : float64 [dims]
        Standard deviation of each dim over all recordings, 1 where a dim never moves.
    weights : float64 [dims]
        Lag-1 autocorrelation of each dim, 0 at least: how much a dim counts in distances.
    smooth : bool [dims]
        Which dims move on their own; all where none does.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.frame_rate = statistics.frame_rate or USUAL_RATE
        self.scale: Array = np.where(statistics.std > 0, statistics.std, 1.0)
        self.weights = np.clip(statistics.autocorrelation, 0, 1)
        self.smooth = self.weights >= SMOOTH if (self.weights >= SMOOTH).any() else self.weights >= 0
        self._encodings = statistics.encodings
        level = usual_loudness(self._encodings) - QUIET
        ahead = max(1, round(AHEAD_SECONDS * self.frame_rate))
        self._loud = [loud_moments(encoding, max(level, INAUDIBLE)) for encoding in self._encodings]
        if not any(loud.any() for loud in self._loud):  # all are silent: so are the loops
            self._loud = [np.ones(n, np.bool_) for n in self.lengths]
        self._worthy = [followed(loud, ahead) for loud in self._loud]
        self._recordings: dict[int, Recording] = {}

    @classmethod
    def of(cls, statistics: Statistics) -> "Recordings":
        """The recordings of these statistics; the same object for the same statistics, so that trees are kept."""
        if not _last or _last[0][0] is not statistics:
            _last[:] = [(statistics, cls(statistics))]
        return _last[0][1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each recording, with its quiet ends."""
        return [encoding.latents.shape[1] for encoding in self._encodings]

    def __iter__(self) -> Iterator[Recording]:
        return (self[number] for number in range(len(self._encodings)))

    def __getitem__(self, number: int) -> Recording:
        if number not in self._recordings:
            encoding, worthy = self._encodings[number], self._worthy[number]
            kept = np.flatnonzero(worthy)
            inside = slice(kept[0], kept[-1] + 1) if len(kept) >= FEWEST_WORTHY else slice(None)
            frames = np.ascontiguousarray(encoding.latents[:, inside].T / self.scale)
            origin = np.arange(len(worthy))[inside]
            period = period_of(frames, self.frame_rate)
            name = encoding.name or f"recording {number}"
            descriptors = None if encoding.descriptors is None else encoding.descriptors[:, inside]
            self._recordings[number] = Recording(
                name,
                frames,
                frames * self.weights,
                worthy[inside],
                self._loud[number][inside],
                origin,
                descriptors,
                period,
                np.arange(len(frames)) == len(frames) - 1,
            )
        return self._recordings[number]

    def usable(self, least: int) -> list[bool]:
        """Return which recordings have so many frames; raises ValueError where none has."""
        if max(self.lengths) < least:
            raise ValueError(f"needs a recording of at least {least} frames, the longest has {max(self.lengths)}")
        return [n >= least for n in self.lengths]

    def stretches(self, place: float, n_frames: int) -> list[tuple[float, int]]:
        """Cut a ring into stretches of about 12 s, each of one recording: (place, frames) pairs."""
        n = max(1, round(n_frames / (STRETCH_SECONDS * self.frame_rate)))
        sizes = np.diff(np.linspace(0, n_frames, n + 1).round().astype(np.int64)).tolist()
        return [((place + number * GOLDEN) % 1, size) for number, size in enumerate(sizes)]

    @cached_property
    def joined(self) -> Recording:
        """All recordings one after the other, without a period; without descriptors where one of them has none."""
        parts = list(self)
        arrays = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("frames", "weighted", "worthy", "loud", "origin", "ends")
        ]
        known = [part.descriptors for part in parts if part.descriptors is not None]
        descriptors = np.concatenate(known, axis=1) if len(known) == len(parts) else None
        frames, weighted, worthy, loud, origin, ends = arrays
        return Recording("all", frames, weighted, worthy, loud, origin, descriptors, None, ends)

    def shares(self, variety: bool = False, usable: Sequence[bool] | None = None) -> Array:
        """How much each recording counts, in worthy moments.

        Parameters
        ----------
        variety : bool
            Recordings count by the square root of their worthy moments, so that long ones do not prevail.
        usable : sequence of bool, optional
            Which recordings count at all.
        """
        moments = np.array([worthy.sum() for worthy in self._worthy], np.float64)
        weights = np.array([encoding.weight for encoding in self._encodings])
        shares: Array = (np.sqrt(moments) if variety else moments) * weights
        return shares if usable is None else shares * usable

    def place(self, place: float, variety: bool = False, usable: Sequence[bool] | None = None) -> tuple[int, int]:
        """Return the recording and the moment in it at a place from 0 to 1 in all worthy moments, one after the other.

        `variety` and `usable` are as of `shares`.
        """
        shares = self.shares(variety, usable)
        ends = np.cumsum(shares)
        number = min(int(np.searchsorted(ends, place * ends[-1], side="right")), int(np.flatnonzero(shares)[-1]))
        inside = (place * ends[-1] - (ends[number] - shares[number])) / shares[number]
        worthy = np.flatnonzero(self[number].worthy)
        return number, int(worthy[min(int(inside * len(worthy)), len(worthy) - 1)])


_last: list[tuple[Statistics, Recordings]] = []  # those that were asked for last


def first_place(seed: int) -> float:
    """Return the place, from 0 to 1, at which the loops of the first file begin."""
    return float(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=PLACE_KEY)).random())


def usual_loudness(encodings: Sequence[Encoding]) -> float:
    """Return the median loudness, in dB, of all moments that are within 20 dB of the mean power; -inf if unknown."""
    known = [encoding.descriptors[LOUDNESS] for encoding in encodings if encoding.descriptors is not None]
    if not known:
        return -np.inf
    loudness = np.concatenate(known).astype(np.float64)
    mean = 10 * np.log10(np.mean(10 ** (loudness / 10)))
    active = loudness[(loudness > SILENCE) & (loudness > mean - QUIET)]
    return float(np.median(active)) if active.size else -np.inf


def loudness_of(frames: Frames, statistics: Statistics) -> Array | None:
    """Estimate how loud frames [n, dims] are, in dB: as the recorded frames nearest to them.

    None where it is not known of all encodings: generated loops that were given have no descriptors.
    """
    from scipy.spatial import cKDTree

    known = [one.descriptors[LOUDNESS] for one in statistics.encodings if one.descriptors is not None]
    if not known or len(known) < len(statistics.encodings):
        return None
    scale = np.where(statistics.std > 0, statistics.std, 1.0)
    recorded, loudness = np.concatenate([one.latents.T for one in statistics.encodings]), np.concatenate(known)
    every = -(-len(recorded) // MOST_NEAR)
    near = min(NEAR, len(recorded[::every]))
    _, found = cKDTree(recorded[::every] / scale).query(frames / scale, k=np.arange(1, near + 1))
    estimated: Array = loudness[::every][found].mean(axis=1, dtype=np.float64)
    return estimated


def attacks_of(frames: Frames, statistics: Statistics) -> Array | None:
    """How strongly frames [n, dims] are struck, in dB: each as the recorded frame nearest to it; None if unknown."""
    recordings = Recordings.of(statistics)
    if not statistics.encodings or recordings.joined.attack is None:
        return None
    known, tree = recordings.joined.heard
    _, found = tree.query(frames / recordings.scale * recordings.weights)
    struck: Array = recordings.joined.attack[known[found]].astype(np.float64)
    return struck


def loud_moments(encoding: Encoding, level: float) -> Flags:
    """Return which moments are louder than `level`; all if unknown."""
    if encoding.descriptors is None:
        return np.ones(encoding.latents.shape[1], np.bool_)
    loud: Flags = encoding.descriptors[LOUDNESS] > level
    return loud


def followed(loud: Flags, ahead: int) -> Flags:
    """Return which moments are loud, or have a loud one within `ahead` frames."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(loud, (0, ahead - 1)), ahead)
    worthy: Flags = np.any(windows, axis=1)
    return worthy


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
    lags = np.arange(1, high + 1)
    valley = np.minimum.accumulate(values)[lags]
    peaks = lags[
        (lags >= low)
        & (values[lags] > values[lags - 1])
        & (values[lags] >= values[lags + 1])
        & (values[lags] - valley >= PERIOD_RISE)
        & (values[lags] >= PERIOD_LEAST)
    ]
    if not peaks.size:
        return None
    best = int(peaks[values[peaks] >= AS_HIGH * values[peaks].max()][0])
    before, top, behind = values[best - 1 : best + 2]
    bend = before - 2 * top + behind
    return float(best + (0.5 * (before - behind) / bend if bend < 0 else 0.0))


def stretched(weighted: Frames, factor: float) -> Index:
    """Return which frames to take in a row so that there are `factor` times as many, [round(factor frames)].

    Frames are left out, or doubled, once in each of equal parts, where it changes least.
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
