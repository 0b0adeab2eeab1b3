"""What pictures show of a long array: no spike lost, borders where loops begin, memory that does not grow."""

from collections.abc import Sequence

import numpy as np
import pytest

from unravel_lib.latents.blocks import Loop, Repeat, reblock
from unravel_lib.latents.overview import MAX_ITEMS, SAMPLED, Envelope, Overview


def overview_of(loops: Sequence[Loop], dims: int = 1, block_values: int = 64) -> Overview:
    overview = Overview(sum(map(len, loops)), dims)
    for block in reblock(overview.follow(loops), dims, block_values):
        overview(block)
    return overview


@pytest.mark.parametrize("n_frames", [1, 7, 100, 101, 4321])
@pytest.mark.parametrize("size", [1, 13, 5000])
def test_an_envelope_has_the_extremes_of_every_part(n_frames: int, size: int) -> None:
    """For arrays shorter and longer than the picture is wide, whatever blocks they come in."""
    values = np.random.default_rng(n_frames).normal(size=(n_frames, 3))
    envelope = Envelope(n_frames, 3, columns=100)
    for start in range(0, n_frames, size):
        envelope(values[start : start + size])
    n_columns = min(n_frames, 100)
    parts = [
        values[column * n_frames // n_columns : (column + 1) * n_frames // n_columns] for column in range(n_columns)
    ]
    np.testing.assert_array_equal(envelope.low, [part.min(axis=0) for part in parts])
    np.testing.assert_array_equal(envelope.high, [part.max(axis=0) for part in parts])


def test_a_single_spike_in_a_million_frames_is_seen() -> None:
    values = np.zeros((1_000_000, 2))
    values[777_777] = 9, -9
    overview = overview_of([values], 2, 1 << 16)
    assert (overview.envelope.high == 9).sum() == 1 and (overview.envelope.low == -9).sum() == 1
    assert np.argmax(overview.envelope.high[:, 0]) == np.argmin(overview.envelope.low[:, 1]) == 777_777 * 880 // 10**6


def test_loops_are_found_as_the_pattern_yields_them() -> None:
    """Empty ones and repetitions of nothing are none; a source may change a loop after it was used."""
    state = np.arange(4.0)[:, np.newaxis]

    def pattern():
        yield state[:0]
        yield state
        state[:] = 5
        yield Repeat(state, 0)
        yield Repeat(state[:3], 2)
        yield state[:1] + 1
        state[:] = 7

    overview = Overview(11, 1)
    for block in reblock(overview.follow(pattern()), 1):
        overview(block)
    assert overview.n_loops == 4
    assert overview.borders(10).tolist() == [4, 7, 10]
    assert overview.first is not None and overview.last is not None
    assert overview.first.high.ravel().tolist() == [0, 1, 2, 3]
    assert overview.last.low.ravel().tolist() == [6]


def test_too_many_borders_give_way_to_those_of_new_loops_and_these_to_none() -> None:
    loops = [Repeat(np.zeros((2, 1)), 10), Repeat(np.ones((3, 1)), 10)]
    overview = overview_of(loops)
    assert len(overview.borders(19)) == 19
    assert overview.borders(18).tolist() == [20]
    assert overview.borders(0).tolist() == []
    many = overview_of([np.zeros((1, 1))] * (MAX_ITEMS + 500))
    assert many.n_loops == MAX_ITEMS + 500 and len(many._items) <= MAX_ITEMS + 1
    assert many.borders(160).tolist() == []


def test_kept_frames_are_evenly_spaced_and_do_not_fall_in_step_with_a_loop() -> None:
    for n in (1, 7, SAMPLED, SAMPLED + 1, 10_000):
        kept = overview_of([np.arange(float(n))[:, np.newaxis]]).sample[:, 0]
        assert len(kept) == min(n, SAMPLED) and kept[0] == 0
        steps = np.diff(kept)
        assert n == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)
    loop = np.arange(64.0)[:, np.newaxis]
    assert len(set(overview_of([Repeat(loop, 8200)], block_values=1 << 16).sample.ravel())) == 64
