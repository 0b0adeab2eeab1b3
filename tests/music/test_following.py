"""The distributions that follow recordings: closed rings that move as the recordings do, for any shape of input."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fixtures_runs import Run

import unravel_lib as unravel
from unravel_lib.errors import UsageError
from unravel_lib.music import recordings
from unravel_lib.statistics.fidelity import fidelity
from unravel_lib.statistics.measure import Statistics, measure

Array = npt.NDArray[np.float64]
NAMES = ("retrace", "oracle", "spectral", "excerpt")
FOLLOWING = ("retrace", "oracle")


def decays(seed: int, n_frames: int = 300, dims: int = 3) -> Array:
    """A recording [dims, n]: sudden attacks and slow decays, so that time has a direction."""
    rng = np.random.default_rng(seed)
    values = np.zeros((dims, n_frames))
    for t in range(1, n_frames):
        values[:, t] = 0.85 * values[:, t - 1] + 0.05 * rng.standard_normal(dims)
        if rng.random() < 0.08:
            values[:, t] += rng.uniform(1, 3, dims)
    return values + seed


@pytest.fixture(scope="module")
def recorded() -> list[Array]:
    return [decays(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def statistics(recorded: list[Array]) -> Statistics:
    return measure(recorded)


def rings(name: str, statistics: Statistics, n: int = 16, n_frames: int = 192) -> list[Array]:
    places = [i * recordings.GOLDEN % 1 for i in range(n)]  # as the files of a run
    return [unravel.draw(name, statistics, n_frames, i, place=place).T for i, place in enumerate(places)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_frames", [1, 2, 3, 7, 64, 65, 200])
def test_exactly_so_many_frames_and_the_same_for_the_same_seed(
    name: str, n_frames: int, statistics: Statistics
) -> None:
    drawn = unravel.draw(name, statistics, n_frames, seed=5)
    assert drawn.shape == (n_frames, 3) and np.isfinite(drawn).all()
    np.testing.assert_array_equal(drawn, unravel.draw(name, statistics, n_frames, seed=5))
    if n_frames > 3:
        assert not np.array_equal(drawn, unravel.draw(name, statistics, n_frames, seed=6))
    assert (drawn >= statistics.minimum - 1e-9).all() and (drawn <= statistics.maximum + 1e-9).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dims", [1, 128])
def test_any_number_of_dims(name: str, dims: int) -> None:
    values = np.random.default_rng(0).standard_normal((dims, 90)).cumsum(axis=1)
    assert unravel.draw(name, measure([values]), 40).shape == (40, dims)


@pytest.mark.parametrize("name", NAMES)
def test_a_dim_that_never_moves(name: str) -> None:
    values = decays(0)
    values[1] = 0.1
    drawn = unravel.draw(name, measure([values]), 50)
    np.testing.assert_allclose(drawn[:, 1], 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_one_recording_of_four_frames(name: str) -> None:
    statistics = measure([np.arange(8.0).reshape(2, 4)])
    if name == "excerpt":
        with pytest.raises(UsageError, match="needs 13 frames in a row, the longest of 1 recording has 4: take"):
            unravel.draw(name, statistics, 9)
    else:
        assert unravel.draw(name, statistics, 9).shape == (9, 2)


@pytest.mark.parametrize("name", FOLLOWING)
def test_recordings_too_short_to_follow_are_left_out_or_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"distribution {name}: needs a recording of at least 4 frames, .* 2$"):
        unravel.draw(name, measure([np.zeros((2, 2)), np.ones((2, 1))]), 9)
    long, short = decays(0), np.full((3, 2), 99.0)
    drawn = unravel.draw(name, measure([long, short]), 500)
    assert drawn.max() < 50


@pytest.mark.parametrize("name", ["retrace", "oracle", "spectral"])
def test_they_move_as_the_recordings_do_where_walk_does_not(
    name: str, statistics: Statistics, recorded: list[Array]
) -> None:
    """Catches: a jump at each step, a residual that grows, a ring of one recording only, time run backwards."""
    found = fidelity(rings(name, statistics), recorded, np.random.default_rng(0))
    walk = fidelity(rings("walk", statistics), recorded, np.random.default_rng(0))
    assert found.marginal_ks < 0.15
    assert found.autocorrelation < 0.12
    assert found.seam_percentile is not None and 20 < found.seam_percentile < 90
    assert found.nearest_neighbour is not None and walk.nearest_neighbour is not None
    assert found.nearest_neighbour < walk.nearest_neighbour - 0.02
    assert found.step_ks < walk.step_ks - 0.05
    if name in FOLLOWING:
        assert found.asymmetry < walk.asymmetry / 3
        assert found.step_ks < 0.1


def test_retrace_copies_nothing_and_oracle_copies_runs(statistics: Statistics, recorded: list[Array]) -> None:
    new = fidelity(rings("retrace", statistics), recorded, np.random.default_rng(0))
    copied = fidelity(rings("oracle", statistics), recorded, np.random.default_rng(0))
    assert new.copied_share == 0 and new.near_copied_share < 0.05
    assert copied.copied_share > 0.4
    for ring in rings("oracle", statistics, 4):  # every frame is a recorded one
        everything = np.concatenate(recorded, axis=1).T
        distances = np.abs(ring.T[:, np.newaxis] - everything).max(axis=2).min(axis=1)
        assert distances.max() < 1e-9


def test_no_run_of_the_oracle_is_longer_than_allowed(statistics: Statistics, recorded: list[Array]) -> None:
    for longest in (5, 12):
        for seed in range(4):
            options = {"longest_seconds": longest / recordings.USUAL_RATE, "jump_seconds": 1e6}
            ring = unravel.draw("oracle", statistics, 150, seed, **options)
            everything = np.concatenate(recorded, axis=1).T
            places = np.abs(ring[:, np.newaxis] - everything).max(axis=2).argmin(axis=1)
            runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
            assert max(map(len, runs)) <= longest + 1  # the frame that is jumped to begins the run


def test_the_path_goes_on_as_long_as_it_is_told(statistics: Statistics, recorded: list[Array]) -> None:
    """The share of frames after which the oracle went on as recorded grows with the time between jumps."""
    everything = np.concatenate(recorded, axis=1).T
    shares = []
    for seconds in (0.0, 0.1, 5.0):
        ring = unravel.draw("oracle", statistics, 300, jump_seconds=seconds, longest_seconds=100.0)
        places = np.array([np.abs(everything - frame).sum(axis=1).argmin() for frame in ring])
        shares.append(float((np.diff(places) == 1).mean()))
    assert shares[0] < 0.3 < shares[1] < 0.8 < shares[2]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("retrace", "jump_seconds", -1.0), ("retrace", "keep_seconds", -1.0), ("oracle", "longest_seconds", -1.0)],
)
def test_options_out_of_range(name: str, option: str, value: float, statistics: Statistics) -> None:
    with pytest.raises(UsageError, match=f"distribution {name}: {option}={value:g} is out of range"):
        unravel.draw(name, statistics, 9, 0, **{option: value})


def test_an_excerpt_is_in_a_recording_but_for_its_seam(statistics: Statistics, recorded: list[Array]) -> None:
    for seed in range(20):
        ring = unravel.draw("excerpt", statistics, 40, seed)
        found = [
            np.abs(np.lib.stride_tricks.sliding_window_view(one.T, 36, axis=0) - ring[:36].T).max(axis=(1, 2)).min()
            for one in recorded
        ]
        assert min(found) < 1e-9
        assert np.abs(ring[-1] - ring[0]).max() < 4  # no more than an attack


def test_spectra_and_correlation_of_dims_are_those_of_the_recording() -> None:
    """A linear Gaussian recording is what `spectral` can give back in full."""
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((4000, 2))
    steps[:, 1] = 0.7 * steps[:, 0] + 0.7 * steps[:, 1]
    values = np.zeros((4000, 2))
    for t in range(1, 4000):
        values[t] = np.array([0.9, 0.5]) * values[t - 1] + steps[t]
    drawn = np.concatenate([unravel.draw("spectral", measure([values.T]), 512, seed) for seed in range(8)])
    for lag in (0, 1, 5):
        for one, other in ((0, 0), (0, 1), (1, 0), (1, 1)):
            want = np.corrcoef(values[lag:, one], values[: 4000 - lag, other])[0, 1]
            got = np.corrcoef(drawn[lag:, one], drawn[: len(drawn) - lag, other])[0, 1]
            assert got == pytest.approx(want, abs=0.12)  # the window of the lags takes a little of it


@pytest.mark.parametrize("name", NAMES)
def test_statistics_alone_are_refused_in_one_line(name: str, run: Run, tmp_path: Path) -> None:
    unravel.write_latents(tmp_path / "x.npy", decays(0))
    flags = ("--no_plots", "--output", tmp_path / "out", "--num_latents", 20)
    made = run("generator", "--input", tmp_path / "x.npy", "--distribution", name, *flags, "--run", "a")
    assert made.code == 0
    table = tmp_path / "out" / "a" / "statistics.csv"
    refused = run("generator", "--statistics", table, "--distribution", name, *flags, "--run", "b")
    assert refused.code == 2
    assert refused.errors == [
        f"error: --distribution {name} takes frames of encodings, not a table: give the encodings (--input)"
    ]


def test_excerpt_says_how_few_recordings_are_long_enough() -> None:
    rng, notes = np.random.default_rng(0), list[str]()
    recordings = [rng.standard_normal((2, n)) for n in (60, 9, 9, 9, 9)]
    unravel.draw("excerpt", measure(recordings), 30, note=notes.append)
    assert notes == ["excerpt: long enough for a loop of 30 frames: 1 of 5 recordings"]
