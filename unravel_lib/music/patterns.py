"""Patterns: a loop -> a piece. `kinds` defines what a pattern is.

One of your own is five lines in a file of yours:

    import numpy as np
    from unravel_lib import pattern

    @pattern
    def stutter(loop, n_loops, times: int = 2):
        'AABBCC AABBCC: every frame several times.'
        return np.tile(np.repeat(loop, times, axis=0), (n_loops, 1))

and is used with `pattern` my_patterns.py:stutter and `pattern_args` times=3.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import PATTERNS as PATTERNS
from unravel_lib.music.catalogue import pattern
from unravel_lib.music.kinds import MAX_BYTES, Loop, Repeat
from unravel_lib.statistics.measure import Array

MAX_LEVELS = 12  # of orale: 16 million loops


@pattern
def loop(loop: Frames, n_loops: int) -> Iterator[Loop]:
    """ABC ABC ABC ABC: the loop again and again."""
    yield Repeat(loop, n_loops)


@pattern(steady=False)
def fibo(loop: Frames, n_loops: int) -> Iterator[Loop]:
    """A AB ABC ABCDE ABCDEFGH: ever longer beginnings, of Fibonacci lengths; best with 8 or 13 frames.

    >>> [len(beginning) for beginning in fibo(np.zeros((10, 2)), n_loops=2)]
    [1, 2, 3, 5, 8, 1, 2, 3, 5, 8]
    """
    for _ in range(n_loops):
        n, following = 1, 2
        while n <= len(loop):
            yield loop[:n]
            n, following = following, n + following


@pattern
def orale(loop: Frames, n_loops: int, std: Array, rng: np.random.Generator, levels: int = 2) -> Iterator[Loop]:
    """AAAa AAAa AAAa AAAa': three times and once changed; all of that three times and once changed; and so on.

    A change is one offset per dim, drawn from U(-std, std) for each level, and holds for the whole fourth part.

    >>> rng = np.random.default_rng(0)
    >>> [round(frame.item(), 2) for frame in orale(np.zeros((1, 1)), 1, np.ones(1), rng)]
    [0.0, 0.0, 0.0, 0.27, 0.0, 0.0, 0.0, 0.27, 0.0, 0.0, 0.0, 0.27, -0.46, -0.46, -0.46, -0.19]
    """
    if not 1 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels={levels} is out of range, expected 1 to {MAX_LEVELS} (4 ** levels loops)")
    if 4**levels * n_loops * loop.nbytes > MAX_BYTES:
        raise ValueError(f"levels={levels} makes {4**levels * n_loops:,} loops, more than 1 GiB: take fewer")
    variants, order = [loop], np.zeros(1, np.int16)  # all that the loop becomes, and which of them play
    for level, offset in enumerate(rng.uniform(-std, std, (levels, len(std)))):
        variants += [variant + offset for variant in variants]
        order = np.concatenate([order, order, order, order + 2**level])
    for _ in range(n_loops):
        for place in order:
            yield variants[place]


@pattern
def blender(
    loop: Frames,
    loop_b: Frames,
    n_loops: int,
    direction: Literal["forward", "inverted", "mirrored", "mirror-inverted"] = "forward",
) -> Iterator[Loop]:
    """AAAA, then value by value A turns into B, each state repeated; `direction` says where the change begins.

    forward: first frame first, first dim first; inverted: last frame first; mirrored: last dim first; mirror-inverted:
    both.

    >>> a, b = np.zeros((2, 1)), np.ones((2, 1))
    >>> [(state.loop.ravel().tolist(), state.times) for state in blender(a, b, n_loops=4)]
    [([0.0, 0.0], 4), ([1.0, 0.0], 4), ([1.0, 1.0], 4)]
    """
    n_frames, dims = loop.shape
    frames, columns = range(n_frames), range(dims)
    state = loop.copy()
    yield Repeat(state.copy(), n_loops)
    for frame in reversed(frames) if direction in ("inverted", "mirror-inverted") else frames:
        for dim in reversed(columns) if direction in ("mirrored", "mirror-inverted") else columns:
            state[frame, dim] = loop_b[frame, dim]
            yield Repeat(state.copy(), n_loops)


@pattern
def swapper(loop: Frames, loop_b: Frames, n_loops: int, rng: np.random.Generator) -> Iterator[Loop]:
    """A and B swap one random value, A is repeated, they swap another, and so on, once per frame of the loop.

    >>> a, b, rng = np.zeros((3, 1)), np.ones((3, 1)), np.random.default_rng(5)
    >>> [(state.loop.ravel().tolist(), state.times) for state in swapper(a, b, 4, rng)]
    [([0.0, 0.0, 1.0], 4), ([0.0, 0.0, 0.0], 4), ([1.0, 0.0, 0.0], 4)]
    """
    a, b = loop.copy(), loop_b.copy()
    for _ in range(len(loop)):
        point = rng.integers(len(a)), rng.integers(a.shape[1])
        a[point], b[point] = b[point], a[point]
        yield Repeat(a.copy(), n_loops)
