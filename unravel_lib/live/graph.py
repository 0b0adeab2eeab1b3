"""The moments of recordings, and where a walk may go from each: what `retrace` finds at each jump, found once for all.

Moments of all recordings stand in one row, recording by recording. Frames are those of the encodings.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.music.following import APART, APPROXIMATION, LEAST, WISHED_NEAR, retrace_rules
from unravel_lib.music.recordings import STRETCH_SECONDS, Flags, Index, Recording, Recordings
from unravel_lib.music.steering import Wishes
from unravel_lib.statistics.measure import Array, Encoding, Statistics
from unravel_lib.text import size_text

ROW = 16  # moments that a jump from a moment may lead to
TURNS, MOST_TURNS = 8, 24  # numbers of periods that it may go, and the largest of them
LOUD, END = 1, 2
RANKS = 8  # ranks of loudness and of brightness, from 0 to this, for which the moments that meet them best are kept
MANY, COARSE = 30_000, 10.0  # of so many moments, those found are 1.15 times as far as the nearest, five times as fast
WISHED = ("loudness", "brightness")
MOST_BYTES = 512 << 20
FRAME_BYTES = 4 * ROW + TURNS + 9  # of the graph, for a frame

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Graph:
    """Recordings as a walk needs them.

    Attributes
    ----------
    frames : float32 [moments, dims]
    alike : int32 [moments, ROW]
        Where a jump may lead to, the nearest first; of fewer again from the first.
    turns : int8 [moments, TURNS]
        By how many periods of the recording a jump may go, in the same order; 0 where it may not.
    leaves : uint8 [moments]
        Whether a walk leaves a moment: LOUD by chance, END in any case, else never.
    ranks : uint8 [moments, 4], or [0, 4] where the recordings have no descriptors
        Loudness and brightness of each moment, then those of what follows it; 255 is the most.
    met : int32 [(RANKS + 2) ** 2, WISHED_NEAR]
        For ranks of loudness and of brightness, each 0 to RANKS and then none: the moments that meet them best.
    recordings : int64 [recordings, 3]
        First and last moment, frames of a stretch.
    periods : float64 [recordings]
        In frames; 0 where there is none.
    shares : float64 [recordings + 1]
        How often each recording is played, added up to 1.
    keep : float32 [dims]
        Share of the distance to the recording that is kept at each step.
    noisy : bool [dims]
        Which dims are taken from other moments that are alike.
    lowest, highest : float32 [dims]
    jump : float
        Probability of a jump at a frame.
    frame_rate : float
    """

    frames: Floats
    alike: Integers
    turns: npt.NDArray[np.int8]
    leaves: npt.NDArray[np.uint8]
    ranks: npt.NDArray[np.uint8]
    met: Integers
    recordings: Index
    periods: Array
    shares: Array
    keep: Floats
    noisy: Flags
    lowest: Floats
    highest: Floats
    jump: float
    frame_rate: float


def graph_of(statistics: Statistics) -> Graph:
    """Make the graph of all recordings that were measured.

    Raises
    ------
    InputError
        There are none, all are too short, or they are too large for one file.
    """
    encodings = playable(statistics)
    n_bytes = sum(encoding.latents.shape[1] for encoding in encodings) * (FRAME_BYTES + 4 * statistics.dims)
    if n_bytes > MOST_BYTES:
        found = f"the recordings need {size_text(n_bytes)} in a live file, at most {size_text(MOST_BYTES)}"
        raise InputError(found, remedy="take fewer", remedy_options=("only",))
    recordings = Recordings(replace(statistics, encodings=encodings))
    rules, shares = retrace_rules(recordings), recordings.shares()
    alike, turns, table, worthy, begin = [], [], [], [], 0
    for recording in (one.with_rests for one in recordings):
        worthy.append(recording.worthy)
        alike.append(_alike(recording) + begin)
        turns.append(_turns(recording))
        table.append((begin, begin + len(recording) - 1, _stretch(recording, recordings.frame_rate)))
        begin += len(recording)
    joined = recordings.joined
    ranks: Array = np.empty((0, 2 * len(WISHED)))
    met: Index = np.empty((0, WISHED_NEAR), np.int64)
    if joined.descriptors is not None:
        wishes = Wishes.of(recordings, dict.fromkeys(WISHED, np.zeros(1)), 1)
        ranks = np.concatenate([wishes.now, wishes.soon]).T
        met = _met(wishes.soon[:, joined.moments], joined.moments)
    return Graph(
        frames=(joined.frames * recordings.scale).astype(np.float32),
        alike=np.concatenate(alike).astype(np.int32),
        turns=np.concatenate(turns).astype(np.int8),
        leaves=np.where(joined.ends | ~np.concatenate(worthy), END, np.where(joined.loud, LOUD, 0)).astype(np.uint8),
        ranks=np.round(255 * np.clip(ranks, 0, 1)).astype(np.uint8),
        met=met.astype(np.int32),
        recordings=np.array(table, np.int64),
        periods=np.array([recording.period or 0 for recording in recordings], np.float64),
        shares=np.concatenate([[0], np.cumsum(shares) / shares.sum()]),
        keep=rules.keep.astype(np.float32),
        noisy=rules.white,
        lowest=statistics.minimum.astype(np.float32),
        highest=statistics.maximum.astype(np.float32),
        jump=1 - rules.follow,
        frame_rate=recordings.frame_rate,
    )


def playable(statistics: Statistics) -> tuple[Encoding, ...]:
    """The encodings that a walk can follow; raises InputError where there are none."""
    encodings = statistics.encodings
    found = tuple(one for one in encodings if one.latents.shape[1] >= LEAST and one.weight > 0)
    if not found:
        longest = max((one.latents.shape[1] for one in encodings), default=0)
        raise InputError(f"a live file needs a recording of at least {LEAST} frames, the longest has {longest}")
    return found


def _stretch(recording: Recording, frame_rate: float) -> int:
    """The frames of a stretch, whole periods of a recording that has one."""
    turn = recording.period or 1.0
    return round(max(1, round(STRETCH_SECONDS * frame_rate / turn)) * turn)


def _alike(recording: Recording) -> Index:
    """The moments most like each moment, not near it if there are others, int64 [moments, ROW]."""
    tree = recording.tree
    pairs = np.vstack([recording.pairs[:1], recording.pairs])  # the first moment has none before it, and is never left
    nearest = np.arange(1, min(ROW + 2 * APART + 1, tree.n) + 1)
    eps = APPROXIMATION if tree.n < MANY else COARSE
    found = recording.moments[tree.query(pairs, nearest, eps=eps, workers=-1)[1]]
    apart = np.abs(found - np.arange(len(recording))[:, np.newaxis]) > APART
    return _first(found, apart | ~apart.any(axis=1, keepdims=True), ROW)


def _turns(recording: Recording) -> Index:
    """By how many periods a jump from each moment may go, int64 [moments, TURNS]; see `Graph.turns`."""
    n = len(recording)
    if recording.period is None:
        return np.zeros((n, TURNS), np.int64)
    turns = np.setdiff1d(np.arange(-MOST_TURNS, MOST_TURNS + 1), [0])
    moments = np.round(np.arange(n)[:, np.newaxis] + turns * recording.period).astype(np.int64)
    inside = (moments >= 1) & (moments <= n - 2)
    moments = np.clip(moments, 1, n - 2)
    own = recording.pairs[np.maximum(np.arange(n) - 1, 0)]
    distances = np.stack([((recording.pairs[one - 1] - own) ** 2).sum(axis=1) for one in moments.T], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    good = np.take_along_axis(inside & recording.worthy[moments], order, axis=1)
    return _first(turns[order], good, TURNS)


def _first(numbers: Index, good: Flags, n: int) -> Index:
    """The first `n` good ones of each row, again from the first where there are fewer; 0 where there are none."""
    count = good.sum(axis=1, keepdims=True)
    order = np.argsort(~good, axis=1, kind="stable")
    places = np.take_along_axis(order, np.arange(n) % np.maximum(count, 1), axis=1)
    return np.where(count > 0, np.take_along_axis(numbers, places, axis=1), 0)


def _met(soon: Array, moments: Index) -> Index:
    """The moments that meet ranks of loudness and brightness best, see `Graph.met`; `soon` are theirs, [2, moments]."""
    ranks = np.arange(RANKS + 1)[:, np.newaxis] / RANKS
    loudness, brightness = (np.vstack([np.abs(row - ranks), np.zeros((1, len(row)))]) for row in soon)
    n = min(WISHED_NEAR, len(moments))
    best = [np.argpartition(one + other, n - 1)[:n] for one in loudness for other in brightness]
    return np.pad(moments[np.array(best)], ((0, 0), (0, WISHED_NEAR - n)), constant_values=-1)
