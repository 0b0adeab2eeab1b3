"""Transforms that choose which frame plays when: turned, cut, repeated, held. Loops are rings."""

import numpy as np
import numpy.typing as npt

from unravel_lib.latents.blocks import Frames
from unravel_lib.music.rhythms import Onsets, bjorklund, sieve
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.music.transform import check_at_least, check_probability, transform


@transform
def none(loop: Frames) -> Frames:
    """ABCD -> ABCD: no change; as the only step it leaves out those of a piece that is made again.

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


@transform(keeps_length=False)
def palindrome(loop: Frames) -> Frames:
    """ABCD -> ABCDDCBA: forwards, then backwards.

    >>> on_letters("palindrome", "ABCD")
    'ABCDDCBA'
    """
    return np.concatenate([loop, loop[::-1]])


def _rotated(loop: Frames, frames: int) -> Frames:
    return loop.take(frames + np.arange(len(loop)), axis=0, mode="wrap")


@transform
def rot(loop: Frames, frames: int) -> Frames:
    """ABCD -> BCDA: begins FRAMES later, what is before that comes last.

    >>> on_letters("rot 1", "ABCD"), on_letters("rot -1", "ABCD")
    ('BCDA', 'DABC')
    """
    return _rotated(loop, frames)


@transform(keeps_length=False)
def ply(loop: Frames, times: int) -> Frames:
    """ABCD -> AABBCCDD: each frame TIMES times.

    >>> on_letters("ply 2", "ABCD")
    'AABBCCDD'
    """
    check_at_least(1, times=times)
    if len(loop) * times > MAX_LATENTS:
        raise ValueError(f"TIMES is {times:,}: {len(loop):,} frames become more than {MAX_LATENTS:,}")
    return np.repeat(loop, times, axis=0)


@transform(keeps_length=False)
def take(loop: Frames, frames: int) -> Frames:
    """ABCD -> AB: the first FRAMES frames, or all where there are fewer.

    >>> on_letters("take 2", "ABCD")
    'AB'
    """
    check_at_least(1, frames=frames)
    return loop[:frames]


@transform(keeps_length=False)
def drop(loop: Frames, frames: int) -> Frames:
    """ABCD -> CD: without the first FRAMES frames; the last one stays.

    >>> on_letters("drop 2", "ABCD"), on_letters("drop 9", "ABCD")
    ('CD', 'D')
    """
    check_at_least(0, frames=frames)
    return loop[min(frames, len(loop) - 1) :]


@transform("iter")
def iterate(loop: Frames, index: int, parts: int) -> Frames:
    """ABCD -> ABCD BCDA CDAB DABC: begins a PARTS-th of its length later each time.

    >>> on_letters("iter 4", "ABCD", n_loops=4)
    'ABCD BCDA CDAB DABC'
    """
    check_at_least(1, parts=parts)
    return _rotated(loop, index * len(loop) // parts)


@transform
def phase(loop: Frames, index: int, loops: int) -> Frames:
    """ABCD -> ABCD ABCD BCDA BCDA: begins one frame later after every LOOPS loops, as in Reich's phase pieces.

    >>> on_letters("phase 2", "ABCD", n_loops=4)
    'ABCD ABCD BCDA BCDA'
    """
    check_at_least(1, loops=loops)
    return _rotated(loop, index // loops)


@transform
def cycle(loop: Frames, start: int, frames: int) -> Frames:
    """ABCD -> ABCA BCAB: its first FRAMES frames run on through the loops, in a metre of their own.

    >>> on_letters("cycle 3", "ABCD", n_loops=2)
    'ABCA BCAB'
    """
    check_at_least(1, frames=frames)
    return loop.take((start + np.arange(len(loop))) % frames % len(loop), axis=0)


def _slices(n_frames: int, parts: int) -> list[npt.NDArray[np.int64]]:
    """The numbers of the frames in each of `parts` slices of equal length; the last may be longer."""
    check_at_least(1, parts=parts)
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


def _held(loop: Frames, plays: Onsets) -> Frames:
    """Hold each frame that plays until the next one does, around the ring; if none plays, the first."""
    places = np.maximum.accumulate(np.where(plays, np.arange(len(loop)), -1))
    places[places < 0] = max(places[-1], 0)
    return loop.take(places, axis=0)


@transform
def euclid(loop: Frames, onsets: int, steps: int, rotation: int = 0) -> Frames:
    """ABCDEFGH -> AAADDDGG: ONSETS frames of every STEPS play, as evenly spread as possible, the others hold them.

    ROTATION begins the rhythm so many steps later.

    >>> on_letters("euclid 3 8", "ABCDEFGH"), on_letters("euclid 3 8 3", "ABCDEFGH")
    ('AAADDDGG', 'AAADDFFF')
    """
    rhythm = np.roll(bjorklund(onsets, steps), -rotation)
    return _held(loop, np.resize(rhythm, len(loop)))


@transform("sieve")
def sieved(loop: Frames, expression: str) -> Frames:
    """ABCDEF -> AAADDD: frames play whose number is in the sieve, such as 3@0|5@2, the others hold them.

    >>> on_letters("sieve 3@0", "ABCDEF"), on_letters("sieve 2@0-6@4", "ABCDEF")
    ('AAADDD', 'AACCCC')
    """
    return _held(loop, sieve(expression, len(loop)))


@transform
def degrade(loop: Frames, rng: np.random.Generator, probability: float) -> Frames:
    """ABCDEF -> FBBDDF: with PROBABILITY a frame holds the one before it.

    >>> on_letters("degrade 0.3", "ABCDEF", n_loops=2)
    'FBCDEF FBBDDF'
    """
    check_probability(probability)
    return _held(loop, rng.random(len(loop)) >= probability)
