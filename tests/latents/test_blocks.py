"""Long arrays as a sequence of loops: counted, re-blocked."""

import doctest
import itertools

import numpy as np

from unravel_lib.latents import blocks
from unravel_lib.latents.blocks import Repeat, count_frames, reblock


def test_reblocking_keeps_every_frame_in_order() -> None:
    """Loops larger and smaller than a block, repeated ones and empty ones."""
    x = np.arange(60.0).reshape(30, 2)
    loops = [x[:1], Repeat(x[:3], 5), x[:0], x, Repeat(x, 2), Repeat(x[:0], 4), Repeat(x, 0)]
    expected = np.concatenate([x[:1], *[x[:3]] * 5, x, x, x])
    for size in (1, 2, 7, 20, 1000):
        found = [block.copy() for block in reblock(loops, 2, block_values=size)]
        np.testing.assert_array_equal(np.concatenate(found), expected)
        assert all(len(block) == max(1, size // 2) for block in found[:-1])


def test_repetition_takes_no_memory_and_counting_stops() -> None:
    endless = Repeat(np.zeros((10, 2)), 10**9)
    assert count_frames([endless]) == 10**10
    assert count_frames(itertools.repeat(np.zeros((10, 2))), limit=95) == 100
    first = next(reblock([endless], 2, block_values=100))
    assert first.shape == (50, 2)


def test_examples_in_docstrings() -> None:
    found = doctest.testmod(blocks, extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0
