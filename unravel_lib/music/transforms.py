"""Transforms: a loop -> the loop as it is played. `kinds` defines what a transform is.

One of your own is five lines in a file of yours:

    import numpy as np
    from unravel_lib import transform

    @transform
    def hocket(loop, index, parts: int):
        'ABCD -> AACC BBDD: of every PARTS frames one plays, in the next loop the next one.'
        return loop[(np.arange(len(loop)) // parts * parts + index % parts) % len(loop)]

and is used with `transform` "my_transforms.py:hocket 2". Loops are rings: before the first frame comes the last. The
examples show a loop as a word, each frame as a letter (`on_letters` of the tests).
"""

import re
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.latents import Frames
from unravel_lib.music import rhythms
from unravel_lib.music.catalogue import transform
from unravel_lib.music.kinds import check_range
from unravel_lib.statistics.measure import Array
from unravel_lib.tempo import MAX_LATENTS

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


# Which frame plays when: turned, cut, repeated.


@transform
def none(loop: Frames) -> Frames:
    """ABCD -> ABCD: no change; with --again, a piece without its transforms.

    >>> on_letters("none", "ABCD")
    'ABCD'
    """
    return loop


@transform
def rev(loop: Frames) -> Frames:
    """ABCD -> DCBA: backwards.

    >>> on_letters("rev", "ABCD")
    'DCBA'
    """
    return loop[::-1]


@transform
def palindrome(loop: Frames) -> Frames:
    """ABCD -> ABCDDCBA: forwards, then backwards.

    >>> on_letters("palindrome", "ABCD")
    'ABCDDCBA'
    """
    return np.concatenate([loop, loop[::-1]])


def _rotated(loop: Frames, frames: int) -> Frames:
    return loop.take(frames + np.arange(len(loop)), axis=0, mode="wrap")


@transform
def rot(loop: Frames, attacks: Callable[[Frames], Array | None], frames: str) -> Frames:
    """ABCD -> BCDA: begins FRAMES later, what is before that comes last; `rot onset`: on its strongest attack.

    >>> on_letters("rot 1", "ABCD"), on_letters("rot -1", "ABCD")
    ('BCDA', 'DABC')
    """
    if frames == "onset":
        struck = attacks(loop)
        if struck is None:
            raise ValueError("onset needs all dims, and encodings with descriptors: encode them again by encoder.py")
        return _rotated(loop, int(struck.argmax()))
    if not WHOLE.fullmatch(frames):
        raise ValueError(f"FRAMES is {frames}, expected a whole number or onset")
    return _rotated(loop, int(frames) % len(loop))


@transform
def ply(loop: Frames, times: int) -> Frames:
    """ABCD -> AABBCCDD: each frame TIMES times.

    >>> on_letters("ply 2", "ABCD")
    'AABBCCDD'
    """
    check_range(1, times=times)
    if len(loop) * times > MAX_LATENTS:
        raise ValueError(f"TIMES is {times:,}: {len(loop):,} frames become more than {MAX_LATENTS:,}")
    return np.repeat(loop, times, axis=0)


@transform
def take(loop: Frames, frames: int) -> Frames:
    """ABCD -> AB: the first FRAMES frames, or all where there are fewer.

    >>> on_letters("take 2", "ABCD")
    'AB'
    """
    check_range(1, frames=frames)
    return loop[:frames]


@transform
def drop(loop: Frames, frames: int) -> Frames:
    """ABCD -> CD: without the first FRAMES frames; the last one stays.

    >>> on_letters("drop 2", "ABCD"), on_letters("drop 9", "ABCD")
    ('CD', 'D')
    """
    check_range(0, frames=frames)
    return loop[min(frames, len(loop) - 1) :]


@transform
def iter(loop: Frames, index: int, parts: int) -> Frames:
    """ABCD -> ABCD BCDA CDAB DABC: begins a PARTS-th of its length later each time.

    >>> on_letters("iter 4", "ABCD", n_loops=4)
    'ABCD BCDA CDAB DABC'
    """
    check_range(1, parts=parts)
    return _rotated(loop, index * len(loop) // parts)


@transform
def phase(loop: Frames, index: int, loops: int) -> Frames:
    """ABCD -> ABCD ABCD BCDA BCDA: begins one frame later after every LOOPS loops, as in Reich's phase pieces.

    >>> on_letters("phase 2", "ABCD", n_loops=4)
    'ABCD ABCD BCDA BCDA'
    """
    check_range(1, loops=loops)
    return _rotated(loop, index // loops)


@transform
def cycle(loop: Frames, start: int, frames: int) -> Frames:
    """ABCD -> ABCA BCAB: its first FRAMES frames run on through the loops, in a metre of their own.

    >>> on_letters("cycle 3", "ABCD", n_loops=2)
    'ABCA BCAB'
    """
    check_range(1, frames=frames)
    return loop.take((start + np.arange(len(loop))) % frames % len(loop), axis=0)


def _slices(n_frames: int, parts: int) -> list[npt.NDArray[np.int64]]:
    """The numbers of the frames in each of `parts` slices of equal length; the last may be longer."""
    check_range(1, parts=parts)
    size = max(1, n_frames // parts)
    return np.split(np.arange(n_frames), range(size, size * min(parts, n_frames), size))


@transform
def chop(loop: Frames, rng: np.random.Generator, parts: int) -> Frames:
    """ABCDEF -> EFCDAB: PARTS slices of equal length in a new order; the last may be longer.

    >>> on_letters("chop 3", "ABCDEF", n_loops=2)
    'EFCDAB EFABCD'
    """
    slices = _slices(len(loop), parts)
    return loop.take(np.concatenate([slices[number] for number in rng.permutation(len(slices))]), axis=0)


@transform
def scramble(loop: Frames, rng: np.random.Generator, parts: int) -> Frames:
    """ABCDEF -> EFEFAB: in place of each of PARTS slices any of them, which may occur again.

    A slice that is put in the place of a longer one runs on into the frames behind it.

    >>> on_letters("scramble 3", "ABCDEF", n_loops=2)
    'EFEFAB EFCDAB'
    """
    slices = _slices(len(loop), parts)
    drawn = [slices[number][0] for number in rng.integers(len(slices), size=len(slices))]
    places = [first + place - place[0] for first, place in zip(drawn, slices, strict=True)]
    return loop.take(np.concatenate(places), axis=0, mode="wrap")


# Rhythm: some frames play, the others hold them.


def _held(loop: Frames, plays: rhythms.Onsets) -> Frames:
    """Hold each frame that plays until the next one does, around the ring; if none plays, the first."""
    places = np.maximum.accumulate(np.where(plays, np.arange(len(loop)), -1))
    places[places < 0] = max(places[-1], 0)
    return loop.take(places, axis=0)


@transform
def euclid(loop: Frames, onsets: int, steps: int, rotation: int = 0) -> Frames:
    """ABCDEFGH -> AAADDDGG: ONSETS frames of every STEPS play, as evenly spread as possible, the others hold them.

    The rhythm starts at its step ROTATION.

    >>> on_letters("euclid 3 8", "ABCDEFGH"), on_letters("euclid 3 8 3", "ABCDEFGH")
    ('AAADDDGG', 'AAADDFFF')
    """
    rhythm = np.roll(rhythms.bjorklund(onsets, steps), -rotation)
    return _held(loop, np.resize(rhythm, len(loop)))


@transform
def sieve(loop: Frames, expression: str) -> Frames:
    """ABCDEF -> AAADDD: frames play whose number is in the sieve, such as 3@0|5@2, the others hold them.

    >>> on_letters("sieve 3@0", "ABCDEF"), on_letters("sieve 2@0-6@4", "ABCDEF")
    ('AAADDD', 'AACCCC')
    """
    return _held(loop, rhythms.sieve(expression, len(loop)))


@transform
def degrade(loop: Frames, rng: np.random.Generator, probability: float) -> Frames:
    """ABCDEF -> FBBDDF: with PROBABILITY a frame holds the one before it.

    >>> on_letters("degrade 0.3", "ABCDEF", n_loops=2)
    'FBCDEF FBBDDF'
    """
    check_range(0, 1, probability=probability)
    return _held(loop, rng.random(len(loop)) >= probability)


# Values: X is the loop, M the centre of each dim, std its spread in the encodings.


@transform
def invert(loop: Frames, centre: Array) -> Frames:
    """2 M - X: what was above the centre of its dim is below it.

    >>> on_letters("invert", "ABC")
    'CBA'
    """
    return 2 * centre - loop


@transform
def scale(loop: Frames, centre: Array, factor: float) -> Frames:
    """M + FACTOR (X - M): wider around the centre of each dim, or narrower.

    >>> on_letters("scale 2", "BCD")
    'ACE'
    """
    return centre + factor * (loop - centre)


@transform
def shift(loop: Frames, std: Array, amount: float) -> Frames:
    """X + AMOUNT std: higher or lower by so many standard deviations.

    >>> on_letters("shift 1", "ABC")
    'BCD'
    """
    return loop + amount * std


@transform
def smooth(loop: Frames, frames: int) -> Frames:
    """ABC -> BBB: the moving average over FRAMES frames, around the loop.

    >>> on_letters("smooth 3", "ABC")
    'BBB'
    """
    from scipy.ndimage import uniform_filter1d

    check_range(1, MAX_LATENTS, frames=frames)
    smoothed: Frames = uniform_filter1d(loop, frames, axis=0, mode="wrap")
    return smoothed


SHAPES: dict[str, Callable[[Array], Array]] = {
    "sine": lambda x: np.sin(2 * np.pi * x),
    "triangle": lambda x: 4 * np.abs((x - 0.25) % 1 - 0.5) - 1,
    "saw": lambda x: 2 * (x % 1) - 1,
    "square": lambda x: np.where(x % 1 < 0.5, 1.0, -1.0),
}


@transform
def lfo(
    loop: Frames,
    start: int,
    std: Array,
    shape: Literal["sine", "triangle", "saw", "square"],
    cycles: float,
    amount: float,
) -> Frames:
    """X + AMOUNT std SHAPE: adds a sine, triangle, saw or square of CYCLES cycles a loop, which runs on.

    >>> on_letters("lfo square 0.5 1", "CCCC", n_loops=2)
    'DDDD BBBB'
    """
    wave = SHAPES[shape](cycles * (start + np.arange(len(loop))) / len(loop))
    return loop + amount * std * wave[:, None]


@transform
def echo(loop: Frames, frames: int, amount: float) -> Frames:
    """X + AMOUNT of the loop FRAMES frames before, around the loop, kept at the same mean and spread of each dim.

    >>> on_letters("echo 1 0.5", "ACAAA")
    'ACBAA'
    """
    mixed = loop + amount * np.roll(loop, frames, axis=0)
    spread = mixed.std(axis=0)
    factor: Array = np.divide(loop.std(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)
    echoed: Frames = loop.mean(axis=0) + factor * (mixed - mixed.mean(axis=0))
    return echoed


# Wrappers: another step, sometimes or in part.

Applied = Callable[..., Frames]


@transform
def every(loop: Frames, index: int, step: Applied, loops: int) -> Frames:
    """ABC -> ABC ABC ABC CBA (every 4 rev): the step on the last of every LOOPS loops.

    >>> on_letters("every 4 rev", "ABC", n_loops=4)
    'ABC ABC ABC CBA'
    """
    check_range(1, loops=loops)
    return step(loop) if index % loops == loops - 1 else loop


@transform
def sometimes(loop: Frames, rng: np.random.Generator, step: Applied, probability: float) -> Frames:
    """ABC -> ABC ABC CBA ABC (sometimes 0.3 rev): the step on each loop with PROBABILITY.

    >>> on_letters("sometimes 0.3 rev", "ABC", n_loops=4)
    'ABC ABC CBA ABC'
    """
    check_range(0, 1, probability=probability)
    return step(loop) if rng.random() < probability else loop


@transform
def dims(loop: Frames, step: Applied, which: str) -> Frames:
    """The step on some dims only: 4-7, 4- (to the last) or 0,3,5; it must keep the length of the loop.

    >>> on_letters("dims 0 rev", "ABC")
    'CBA'
    """
    chosen = _dims(which, loop.shape[1])
    changed, result = step(loop[:, chosen], chosen), loop.copy()
    if len(changed) != len(loop):
        raise ValueError("the step behind it changes the length of loops, expected one that keeps it")
    result[:, chosen] = changed
    return result


def _dims(which: str, n_dims: int) -> list[int]:
    """Read "0,3-5" as [0, 3, 4, 5]."""
    dims: list[int] = []
    for part in which.split(","):
        first, dash, last = part.partition("-")
        last = last or (str(n_dims - 1) if dash else first)
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < n_dims):
            raise ValueError(f"WHICH is {which}, expected dims from 0 to {n_dims - 1}, such as 4-7, 4- or 0,3,5")
        dims += range(int(first), int(last) + 1)
    return dims
