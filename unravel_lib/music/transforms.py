"""The catalogue of transforms: a loop -> the loop as it is played. `transform` defines what a transform is.

One of your own is five lines in a file of yours:

    import numpy as np
    from unravel_lib import transform

    @transform
    def hocket(loop, index, parts: int):
        'ABCD -> AACC BBDD: of every PARTS frames one plays, in the next loop the next one.'
        return loop[(np.arange(len(loop)) // parts * parts + index % parts) % len(loop)]

and is used with `transform` "my_transforms.py:hocket 2". Loops are rings: before the first frame comes the last.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from unravel_lib.latents.blocks import Frames
from unravel_lib.music import reorderings as reorderings  # registers those that choose which frame plays when
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.music.transform import TRANSFORMS as TRANSFORMS  # filled there and below
from unravel_lib.music.transform import check_at_least, check_probability, transform
from unravel_lib.statistics.measure import Array

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

    check_at_least(1, frames=frames)
    if frames > MAX_LATENTS:
        raise ValueError(f"FRAMES is {frames:,}, expected at most {MAX_LATENTS:,}")
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
    check_at_least(1, loops=loops)
    return step(loop) if index % loops == loops - 1 else loop


@transform
def sometimes(loop: Frames, rng: np.random.Generator, step: Applied, probability: float) -> Frames:
    """ABC -> ABC ABC CBA ABC (sometimes 0.3 rev): the step on each loop with PROBABILITY.

    >>> on_letters("sometimes 0.3 rev", "ABC", n_loops=4)
    'ABC ABC CBA ABC'
    """
    check_probability(probability)
    return step(loop) if rng.random() < probability else loop


@transform("dims")
def in_dims(loop: Frames, step: Applied, which: str) -> Frames:
    """The step on some dims only: 4-7, 4- (to the last) or 0,3,5; it must keep the length of the loop.

    >>> on_letters("dims 0 rev", "ABC")
    'CBA'
    """
    dims = _dims(which, loop.shape[1])
    if not step.keeps_length:  # type: ignore[attr-defined]
        raise ValueError("the step behind it changes the length of loops, expected one that keeps it")
    result = loop.copy()
    result[:, dims] = step(loop[:, dims], dims)
    return result


def _dims(which: str, n_dims: int) -> list[int]:
    """Read "0,3-5" as [0, 3, 4, 5]."""
    dims: list[int] = []
    for part in which.split(","):
        first, dash, last = part.partition("-")
        last = last or (str(n_dims - 1) if dash else first)
        if not (first.isdecimal() and last.isdecimal()):
            raise ValueError(f"WHICH is {which}, expected dims such as 4-7, 4- or 0,3,5")
        low, high = int(first), int(last)
        if high < low or high >= n_dims:
            raise ValueError(f"WHICH is {which}, expected dims from 0 to {n_dims - 1}")
        dims += range(low, high + 1)
    return dims
