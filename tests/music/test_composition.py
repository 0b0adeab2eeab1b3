"""Compositions: which random numbers go where, names, and lengths."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from unravel_lib.errors import UsageError
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition
from unravel_lib.music.distributions import draw
from unravel_lib.music.patterns import Piece
from unravel_lib.music.steps import parse_step
from unravel_lib.statistics.measure import PERCENTS, Statistics, measure


@pytest.fixture
def plan() -> Composition:
    """A loop of 5 frames, normal, twice."""
    statistics = Statistics(
        dims=2,
        frames=9,
        files=1,
        iqr=False,
        mean=np.zeros(2),
        std=np.ones(2),
        correlation=np.eye(2),
        autocorrelation=np.zeros(2),
        quantiles=np.zeros((len(PERCENTS), 2)),
        outlier_share=np.zeros(2),
    )
    return Composition(statistics, DISTRIBUTIONS["normal"], {}, PATTERNS["loop"], {}, 5, 2, seed=7)


def test_the_loop_and_its_repetition(plan: Composition) -> None:
    piece = plan.piece(0)
    assert piece.frames.shape == (10, 2) and piece.frames.dtype == np.float64
    np.testing.assert_array_equal(piece.frames[:5], piece.frames[5:])
    assert piece.starts.tolist() == [0, 5] and piece.starts.dtype == np.int64


def test_loops_begin_where_they_are_heard(plan: Composition) -> None:
    """Behind the steps, of any length; repetitions counted each; what has no frames does not begin."""
    fibo = replace(plan, pattern=PATTERNS["fibo"], steps=(parse_step("every 2 ply 2"),), num_loops=1)
    assert fibo.piece(0).starts.tolist() == [0, 1, 5, 8]  # 1, 2 * 2, 3, 5 * 2 frames
    assert len(fibo.piece(0).frames) == 18
    piece = Piece.of([np.ones((2, 1)), np.ones((0, 1)), np.zeros((1, 1))], 1)
    assert piece.starts.tolist() == [0, 2] and piece.frames.ravel().tolist() == [1, 1, 0]


def test_each_file_and_each_loop_has_random_numbers_of_its_own(plan: Composition) -> None:
    """Loop A is the same for every pattern; a pattern that asks for no loop B gets A, which costs no draw."""
    blender = replace(plan, pattern=PATTERNS["blender"], num_loops=1)
    a, b = blender.piece(0).frames[:5], blender.piece(0).frames[-5:]
    assert np.array_equal(a, plan.piece(0).frames[:5])
    for other in (b, plan.piece(1).frames, replace(plan, seed=8).piece(0).frames):
        assert not np.intersect1d(a, other).size


def endless(loops: list[np.ndarray]) -> Iterator[np.ndarray]:
    for number in itertools.count():
        yield loops[min(number, len(loops) - 1)]


@pytest.mark.parametrize(
    "loops",
    [
        [np.ones((40_000, 4))],
        itertools.repeat(np.ones((1000, 4)), 10**12),
        endless([np.ones((100, 4)), np.ones((1, 4))]),
    ],
    ids=["at once", "repeated", "endless"],
)
def test_more_than_a_gibibyte_is_refused_as_it_comes(
    loops: Iterable[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unravel_lib.music.patterns.MAX_BYTES", 1 << 20)
    with pytest.raises(UsageError, match=r"more than 32,768 frames of 4 dims"):
        Piece.of(loops, 4)


def test_no_frames_and_values_that_are_not_finite_are_refused(plan: Composition) -> None:
    with pytest.raises(UsageError, match="no frames"):
        Piece.of([np.ones((0, 2))], 2)
    for value in (np.nan, np.inf):
        with pytest.raises(UsageError, match="not finite"):
            Piece.of([np.full((3, 2), value)], 2)


def test_label(plan: Composition) -> None:
    assert plan.label == "loop_normal_seed7"
    robust = replace(plan, statistics=replace(plan.statistics, iqr=True), distribution=DISTRIBUTIONS["iqr-uniform"])
    assert robust.label == "loop_iqr-uniform_iqr_seed7"


@pytest.mark.parametrize("name", ["normal", "uniform", "iqr-uniform", "correlation-based", "copula", "walk"])
def test_a_loop_changes_little_when_one_of_ten_recordings_leaves(name: str) -> None:
    """Far less than with another seed: distributions use their random numbers in the same order whatever they draw."""
    rng = np.random.default_rng(3)
    recordings = [rng.normal(size=(3, 400)).cumsum(axis=1) / 20 + rng.normal(size=(3, 400)) for _ in range(10)]
    everything, without_one = measure(recordings), measure(recordings[1:])
    before, after, other = (
        draw(name, statistics, 16, seed=seed)
        for statistics, seed in ((everything, 42), (without_one, 42), (everything, 43))
    )
    change, contrast = (np.sqrt(np.mean(((x - before) / everything.std) ** 2)) for x in (after, other))
    assert 0 < change < 0.25 < 0.8 < contrast
