"""Compositions: which random numbers go where, names, and lengths."""

from dataclasses import replace

import numpy as np
import pytest

from unravel_lib.latents.blocks import Repeat
from unravel_lib.music.composition import Composition
from unravel_lib.music.distributions import DISTRIBUTIONS, draw
from unravel_lib.music.patterns import PATTERNS
from unravel_lib.statistics.measure import measure
from unravel_lib.statistics.summary import PERCENTS, Statistics


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
    material = plan.material(0)
    [repeat] = plan.loops(material)
    assert isinstance(repeat, Repeat) and repeat.times == 2 and np.array_equal(repeat.loop, material.loop)
    assert plan.count_frames(material) == 10 and plan.announced_frames() is None


def test_each_file_and_each_loop_has_random_numbers_of_its_own(plan: Composition) -> None:
    """Loop A is the same for every pattern; a pattern that asks for no loop B gets A, which costs no draw."""
    swapper = replace(plan, pattern=PATTERNS["swapper"])
    a, b = swapper.material(0).loop, swapper.material(0).loop_b
    assert np.array_equal(a, plan.material(0).loop) and np.array_equal(a, plan.material(0).loop_b)
    for other in (b, plan.material(1).loop, replace(plan, seed=8).material(0).loop):
        assert not np.intersect1d(a, other).size


@pytest.mark.parametrize("name", ["orale", "blender", "swapper"])
def test_what_is_announced_is_what_comes(plan: Composition, name: str) -> None:
    pattern = PATTERNS[name]
    plan = replace(plan, pattern=pattern, pattern_options=pattern.read_options([]))
    assert plan.announced_frames() == plan.count_frames(plan.material(3))


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
