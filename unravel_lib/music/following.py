"""Distributions that follow the recordings: from frame to frame as recorded, with jumps between moments that are alike.

`retrace` and `oracle` draw a path through a recording first. At each step it goes on to the next recorded frame, or it
jumps to a moment at which the recording was much like what was drawn last: whole periods away where the recording has a
period, so that it stays in time.

    recorded   ... 17 18 19 20 ...        ... 52 53 54 55 ...      19 and 53 are alike
    path           17 18 19 ------------------> 54 55 ...

`oracle` plays the recorded frames of the path. `retrace` keeps a part of the distance to the recording at each step, so
that after a jump the frames lie between those of the two moments: frames that nobody has recorded.

A loop is a ring: its first frame follows its last. So of a path that is longer than the loop a part is taken whose last
frame is like the frame before its first, which the first one follows (`_closing_start`):

    path       ... p [a b c ... z] ...        z is like p, so that a follows z as it follows p

`excerpt` needs no path: it is a part of a recording, chosen in much the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unravel_lib.audio.descriptors import ATTACK
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import distribution
from unravel_lib.music.kinds import check_range
from unravel_lib.music.recordings import Flags, Index, Note, Recording, Recordings
from unravel_lib.music.steering import TOLERANCE, Wishes
from unravel_lib.statistics.measure import Array, Statistics
from unravel_lib.text import count_text

LEAST = 4  # frames of a recording that a path can follow
APART = 2  # a jump lands more than so many frames from where the path is
APPROXIMATION = 3.0  # the moments found may be 1 + this times as far as the nearest ones: 40 times as fast
SPARE_SECONDS, SPARE_FRAMES = 0.5, 4  # of the path beyond the ring, to choose the place where it closes
WHITE_NEAR, WHITE_EACH = 5, 2  # nearly white dims are taken from one of 5 + 2 near moments
WHITE_WISHED = 4  # with wishes: from one of so many of these, those that meet the wishes best
WARM_UP_SECONDS = 2.0  # of a path before a ring with wishes
WISHED_NEAR, SHARPNESS = 64, 12.0  # with wishes: moments to choose from, and how much a wish weighs
SEAM = 4  # frames at the end of an excerpt that are faded into those before its beginning
SEARCH_SECONDS = 0.3  # an excerpt begins at most so far from its place


@dataclass(frozen=True, eq=False)
class Rules:
    """How a path goes on.

    Attributes
    ----------
    follow : probability to go on in the recording instead of jumping
    near : a jump goes to one of so many nearest moments
    longest : frames in a run at most
    keep : float64 [dims], share of the distance to the recording that is kept at each step
    white : bool [dims], dims that are nearly white, which are taken from other moments that are alike
    """

    follow: float
    near: int
    longest: float
    keep: Array
    white: Flags


@distribution
def retrace(
    statistics: Statistics,
    recordings: Recordings,
    rng: np.random.Generator,
    n_frames: int,
    place: float,
    in_time: bool,
    note: Note,
    wishes: Mapping[str, Array],
    jump_seconds: float = 0.12,
    near: int = 8,
    keep_seconds: float = 0.2,
    variety: bool = False,
    fit: bool = True,
) -> Frames:
    """New frames that move and keep time as the recordings do, attacks and decays included; a closed ring.

    Parameters
    ----------
    jump_seconds : mean time between two jumps
    near : a jump goes to one of so many nearest moments
    keep_seconds : time in which the distance to the recording falls to 1 / e
    variety : a recording counts by the square root of its worthy moments, so that long ones do not prevail
    fit : where a tempo is given, make the recording longer or shorter to fit it

    With wishes the path goes through all recordings: it keeps no beat, and `variety` and `fit` have no effect.

    Notes
    -----
    Local analogues with residual, after Lall & Sharma, "A nearest neighbor bootstrap for resampling hydrologic time
    series" (1996), made continuous and circular: x[t] = X[m + 1] + keep (x[t - 1] - X[m]), where m is the recorded
    moment, so x[t] = keep x[t - 1] + e[t] with e[t] = X[m + 1] - keep X[m]; this is solved on the circle by FFT.
    """
    rules = retrace_rules(recordings, jump_seconds, near, keep_seconds)
    ring = _ring(recordings, rng, n_frames, place, rules, wishes, variety, note if in_time and fit else None)
    return np.clip(ring, statistics.minimum, statistics.maximum)


@distribution
def oracle(
    recordings: Recordings,
    rng: np.random.Generator,
    n_frames: int,
    place: float,
    in_time: bool,
    note: Note,
    wishes: Mapping[str, Array],
    jump_seconds: float = 0.3,
    near: int = 8,
    longest_seconds: float = 1.1,
    variety: bool = False,
    fit: bool = True,
) -> Frames:
    """Recorded frames in runs, joined where they are alike; copies by design; a closed ring.

    Parameters
    ----------
    jump_seconds : mean time between two jumps
    near : a jump goes to one of so many nearest moments
    longest_seconds : length of a run at most, where there is another moment to go to
    variety, fit : as of `retrace`

    Notes
    -----
    After the Audio Oracle, Dubnov, Assayag & Cont, "Audio Oracle: a new algorithm for fast learning of audio
    structures" (2007), with distances instead of a factor oracle's thresholds.
    """
    check_range(0, jump_seconds=jump_seconds, longest_seconds=longest_seconds)
    longest = max(1, round(longest_seconds * recordings.frame_rate))
    keep = np.zeros_like(recordings.weights)
    rules = Rules(_follow(jump_seconds, recordings), near, longest, keep, keep > 0)
    return _ring(recordings, rng, n_frames, place, rules, wishes, variety, note if in_time and fit else None)


@distribution
def excerpt(
    recordings: Recordings,
    n_frames: int,
    place: float,
    in_time: bool,
    note: Note,
    variety: bool = False,
    fit: bool = True,
) -> Frames:
    """A recorded phrase as a loop: frames in a row, from where an attack begins and the end leads back to it.

    Parameters
    ----------
    variety, fit : as of `retrace`
    """
    seam = min(SEAM, n_frames // 2)
    needed = n_frames + seam
    usable = [one.period is not None or len(one) >= needed for one in recordings]
    if not any(usable):
        longest = max(map(len, recordings))
        found = f"needs {needed} frames in a row, the longest of {count_text(len(usable), 'recording')} has {longest}"
        remedy = f"take retrace, which joins recordings, or a loop of at most {max(1, longest - SEAM)} frames"
        raise ValueError(f"{found}: {remedy}")
    if sum(usable) < len(usable) / 4:
        note(f"excerpt: long enough for a loop of {n_frames} frames: {sum(usable)} of {len(usable)} recordings")
    recording, moment = recordings.moment_at(place, variety, usable)
    if in_time and fit:
        recording, moment = recording.fitted(moment, n_frames, recordings.frame_rate, note)
    if len(recording) < needed:
        recording, moment = _repeated(recording, moment, needed + 1)
    start = _start(recording, moment, n_frames, seam, round(SEARCH_SECONDS * recordings.frame_rate))
    ring = recording.frames[start : start + n_frames].copy()
    fade = (np.arange(1, seam + 1) / (seam + 1))[:, np.newaxis]
    ring[n_frames - seam :] = (1 - fade) * ring[n_frames - seam :] + fade * recording.frames[start - seam : start]
    return ring * recordings.scale


def _repeated(recording: Recording, moment: int, needed: int) -> tuple[Recording, int]:
    """Repeat the whole periods of a recording, from a moment on, until it is long enough; return it and a moment in it.

    That moment is half of those periods after the given one, so that an excerpt can begin before it and after it.
    """
    period = recording.period or len(recording)
    whole = round(int(len(recording) / period) * period)
    moments = np.arange(moment % whole, moment % whole + needed + whole) % whole
    return recording.take(moments), whole // 2


def _start(recording: Recording, moment: int, n_frames: int, seam: int, reach: int) -> int:
    """Where an excerpt begins, within `reach` of a moment: on an attack, and with an end like what is before it."""
    last = len(recording) - n_frames
    moment = min(max(moment, seam), last)
    starts = np.arange(max(seam, moment - reach), min(last, moment + reach) + 1)
    if recording.worthy[starts].any():
        starts = starts[recording.worthy[starts]]
    apart = np.linalg.norm(recording.weighted[n_frames:] - recording.weighted[:last], axis=1)  # of frames a loop apart
    seams = np.array([apart[start - seam : start].sum() for start in starts])
    known = recording.descriptors
    attacks = np.zeros(len(starts)) if known is None else known[ATTACK, starts].astype(np.float64)
    return int(starts[np.argmin(_standardised(seams) - _standardised(attacks))])


def _standardised(values: Array) -> Array:
    centred: Array = values - values.mean()
    return centred / (values.std() or 1.0)


def retrace_rules(
    recordings: Recordings, jump_seconds: float = 0.12, near: int = 8, keep_seconds: float = 0.2
) -> Rules:
    """How the path of `retrace` goes on."""
    check_range(0, jump_seconds=jump_seconds, keep_seconds=keep_seconds)
    kept = np.exp(-1 / max(keep_seconds * recordings.frame_rate, 1e-3))
    keep = np.where(recordings.smooth, np.minimum(kept, recordings.weights), 0.0)
    return Rules(_follow(jump_seconds, recordings), near, np.inf, keep, ~recordings.smooth)


def _follow(jump_seconds: float, recordings: Recordings) -> float:
    """The probability to go on in the recording that gives this mean time between two jumps."""
    return max(0.0, 1 - 1 / max(1.0, jump_seconds * recordings.frame_rate))


def _ring(
    recordings: Recordings,
    rng: np.random.Generator,
    n_frames: int,
    place: float,
    rules: Rules,
    wishes: Mapping[str, Array],
    variety: bool,
    note: Note | None,
) -> Frames:
    """Draw a ring [n_frames, dims]: a part of a path, closed. With a `note`, recordings are fitted to the loop.

    Without wishes the path is somewhat longer than the ring, which begins where it closes best. A long path is made of
    stretches, each from another place, all but the last of whole periods. With wishes it goes through all recordings,
    and begins before the ring with the wishes for the end of the ring, so that the end leads to the start.
    """
    check_range(1, near=rules.near)
    if wishes:
        if note is not None:
            note("steered: the loop goes through all recordings, not fitted to the tempo")
        joined, start = recordings.joined, min(n_frames, round(WARM_UP_SECONDS * recordings.frame_rate))
        moment = int(joined.moments[min(int(place * len(joined.moments)), len(joined.moments) - 1)])
        wanted = Wishes.of(recordings, wishes, n_frames, before=start)
        _, e = _path(joined, moment, rules, rng, start + n_frames, wanted)
    else:
        spare = round(SPARE_SECONDS * recordings.frame_rate) + SPARE_FRAMES
        stretches, left = recordings.stretches(place, n_frames, LEAST, variety), n_frames + spare
        paths = []
        for number, (recording, moment, size) in enumerate(stretches, 1):
            if note is not None:
                recording, moment = recording.fitted(moment, n_frames, recordings.frame_rate, note)
            turn = recording.period or 1.0
            whole = round(max(1, round(size / turn)) * turn)
            size = min(whole, left) if number < len(stretches) else left
            if n_frames >= round(turn):
                recording = recording.with_rests
            paths.append(_path(recording, moment, rules, rng, size))
            left -= size
        drawn, e = (np.concatenate(part) for part in zip(*paths, strict=True))
        start = _closing_start(drawn * recordings.weights, n_frames, spare)
    return closed(e[start : start + n_frames], rules.keep) * recordings.scale


def _closing_start(drawn: Frames, n_frames: int, spare: int) -> int:
    """Return where in a path a ring begins: the first place where it closes as smoothly as it moves, else the best.

    It closes smoothly where its last frame is like the one before its first, which the first one follows.
    """
    starts = np.arange(1, spare + 1)
    seams = np.linalg.norm(drawn[starts - 1] - drawn[starts - 1 + n_frames], axis=1)
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(drawn, axis=0), axis=1))])  # to each frame
    mean_steps = (way[starts + n_frames - 1] - way[starts]) / max(1, n_frames - 1)  # inside of the ring
    ratios = seams / np.maximum(mean_steps, 1e-12)
    return int(starts[np.argmax(ratios <= 1) if (ratios <= 1).any() else np.argmin(ratios)])


def closed(e: Frames, keep: Array) -> Frames:
    """Solve x[t] = keep x[t - 1] + e[t] on a circle, [frames, dims], where the last frame comes before the first."""
    if not keep.any():
        return e
    turns = np.exp(-2j * np.pi * np.arange(len(e) // 2 + 1) / len(e))
    ring: Frames = np.fft.irfft(np.fft.rfft(e, axis=0) / (1 - np.outer(turns, keep)), len(e), axis=0)
    return ring


def _path(
    recording: Recording,
    moment: int,
    rules: Rules,
    rng: np.random.Generator,
    n_frames: int,
    wishes: Wishes | None = None,
) -> tuple[Frames, Frames]:
    """Draw a path through one recording, from a moment on; or, with wishes, through all of them joined.

    At each frame it goes on as recorded, or first jumps: at the end of a recording, by chance, after the longest run,
    or far from the wishes. It jumps to moments that are much like the last two frames drawn, and where it was seldom
    before. Its time is the moment that it is at, not rounded to a frame: else the beat would drift as it jumps by whole
    periods.

    Dims that are nearly white are each time taken from another moment that is alike: nothing is copied, and as they
    change at random anyway they change no faster.

    Returns
    -------
    x, e : float64 [n_frames, dims]
        x[t] = X[m + 1] + keep (x[t - 1] - X[m]) and e[t] = x[t] - keep x[t - 1].
    """
    frames, keep, white, near = recording.frames, rules.keep, rules.white, rules.near
    moment = min(max(moment, 1), len(recording) - 2)
    time, run = float(moment), 0  # `run`: frames since the last jump
    visits = np.zeros(len(recording), np.int64)
    x, e = np.empty((n_frames + 2, frames.shape[1])), np.empty((n_frames, frames.shape[1]))
    x[:2] = frames[moment - 1 : moment + 1]
    for step, (stays, jumps, differs) in enumerate(rng.random((n_frames, 3))):
        pair = (x[step : step + 2] * recording.weights).ravel()
        must_leave = recording.ends[moment] or not recording.worthy[moment]  # where it ends, or silence begins
        misses = wishes is not None and wishes.missed(moment, step)
        leaves = run >= rules.longest or stays >= rules.follow or misses
        if must_leave or (leaves and recording.loud[moment]):  # out of silence it goes on
            if wishes is None:
                keeps_time = recording.period is not None and not must_leave
                times = _similar(recording, moment, time, pair, near, near + 2 * APART + 1, keeps_time)[:near]
                moments = _moments(times)
                weights = 1 / np.arange(1, len(moments) + 1)
            else:
                moments = _moments(_similar(recording, moment, time, pair, near, WISHED_NEAR))
                if wishes.distances(moments, step).min() > TOLERANCE:  # nothing alike is as it is wished for
                    moments = wishes.closest(recording.moments, step, WISHED_NEAR)
                times = moments.astype(np.float64)
                weights = np.exp(-SHARPNESS * wishes.distances(moments, step)) / (8 + np.arange(len(moments)))
            if moments.size:  # else it goes on
                shares = np.cumsum(weights / (1 + visits[moments]))
                choice = min(np.searchsorted(shares, jumps * shares[-1], side="right"), len(moments) - 1)
                moment, time, run = int(moments[choice]), float(times[choice]), 0
        visits[moment] += 1
        e[step] = frames[moment + 1] - keep * frames[moment]
        if white.any():
            others = _moments(_similar(recording, moment, time, pair, near, WHITE_EACH * near + WHITE_NEAR))
            others = others if wishes is None else wishes.closest(others, step, WHITE_WISHED)
            e[step, white] = frames[others[int(differs * len(others))] + 1, white]
        x[step + 2] = keep * x[step + 1] + e[step]
        moment, time, run = moment + 1, time + 1, run + 1
    return x[2:], e


def _moments(times: Array) -> Index:
    """The moments nearest to times, which need not be whole numbers."""
    return times.round().astype(np.int64)


def _similar(
    recording: Recording, moment: int, time: float, pair: Array, near: int, n: int, keeps_time: bool = False
) -> Array:
    """Times at which the recording was like a pair of frames [2 dims], the most alike first.

    At most `near` of them, all whole periods away. Where there are none, or no period, and `keeps_time` is not set,
    those of the `n` moments most alike that are not near this one, or all `n` if all are.
    """
    if recording.period is not None:
        reach = int(len(recording) / recording.period) + 1
        times = time + np.setdiff1d(np.arange(-reach, reach + 1), [0]) * recording.period
        times = times[(_moments(times) >= 1) & (_moments(times) <= len(recording) - 2)]
        times = times[recording.worthy[_moments(times)]]
        if times.size or keeps_time:
            distances = ((recording.pairs[_moments(times) - 1] - pair) ** 2).sum(axis=1)
            return times[np.argsort(distances, kind="stable")][:near]
    tree = recording.tree
    _, found = tree.query(pair, k=min(n, tree.n), eps=APPROXIMATION)
    alike: Array = recording.moments[np.atleast_1d(found)].astype(np.float64)
    apart = alike[np.abs(alike - moment) > APART]
    return apart if apart.size else alike
