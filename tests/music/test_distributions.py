"""Distributions: each recovers the statistics that it promises, within what chance allows for 100,000 draws."""

import contextlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

import unravel_lib as unravel
from unravel_lib.errors import UsageError
from unravel_lib.music import distributions
from unravel_lib.music.catalogue import DISTRIBUTIONS
from unravel_lib.music.kinds import Entry
from unravel_lib.statistics.measure import PERCENTS, Statistics, measure
from unravel_lib.statistics.tables import read_csv, write_csv

Array = npt.NDArray[np.float64]
DRAWS = 100_000
ERRORS = 5.0  # standard errors that a recovered value may be off: by chance, one in two million is further off
NAMES = [name for name, entry in DISTRIBUTIONS.items() if entry.source is None]
FROM_TABLES = [name for name in NAMES if "recordings" not in DISTRIBUTIONS[name].inputs]
FOLLOWING = ("retrace", "oracle", "spectral", "excerpt")  # see test_following.py
PHI = np.array([0.9, 0.8, 0.85, -0.3, 0.7])  # the lag-1 coefficients of the synthetic encodings


def latents(n_frames: int = 8000) -> Array:
    """Synthetic encodings [5, n]: dims that move at different speeds and together, two of them far from normal."""
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((n_frames, 5))
    steps[:, 1] = 0.8 * steps[:, 0] + 0.6 * steps[:, 1]
    steps[:, 2] -= 0.5 * steps[:, 1]
    values = np.zeros((n_frames, 5))
    for t in range(1, n_frames):
        values[t] = PHI * values[t - 1] + steps[t]
    values[:, 2] = np.exp(values[:, 2] / 2)  # leans to one side
    values[:, 4] = np.round(values[:, 4], 1)  # has ties
    return (values * [1, 0.1, 1, 5, 1] + [0, 3, 0, -2, 100]).T


def measured(folder: Path, values: npt.ArrayLike, iqr: bool) -> Statistics:
    np.save(folder / "latents.npy", np.asarray(values))
    return measure([folder / "latents.npy"], iqr)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Statistics]:
    return {iqr: measured(tmp_path_factory.mktemp("latents"), latents(), iqr) for iqr in (False, True)}


@pytest.fixture(params=[False, True], ids=["classic", "iqr"])
def statistics(request: pytest.FixtureRequest, both: dict[bool, Statistics]) -> Statistics:
    return both[request.param]


@pytest.fixture(autouse=True)
def _warnings_again() -> None:
    """What is logged once is logged once per test."""
    distributions.tell_repair.cache_clear()


def draw(name: str, statistics: Statistics, seed: int, n_frames: int) -> Array:
    target = np.zeros((3, statistics.dims)) if name == "mosaic" else None
    return unravel.draw(name, statistics, n_frames, seed, place=0.37, target=target)


def frames_of(name: str, statistics: Statistics) -> Array:
    return draw(name, statistics, 1, DRAWS)


def expect_mean_and_std(
    frames: Array, mean: Array, std: Array, kurtosis: npt.ArrayLike, waste: npt.ArrayLike = 1.0
) -> None:
    """Standard errors: std / sqrt(n) of the mean, std sqrt((kurtosis - 1) / 4n) of the standard deviation.

    `waste` is how many neighbouring frames tell as much as one independent frame.
    """
    n = DRAWS / np.asarray(waste)
    assert (np.abs(frames.mean(axis=0) - mean) < ERRORS * std / np.sqrt(n)).all()
    error = std * np.sqrt((np.asarray(kurtosis) - 1) / (4 * n))
    assert (np.abs(frames.std(axis=0) - std) < ERRORS * error).all()


def expect_correlation(frames: Array, wanted: Array, waste: float = 1.0) -> None:
    """Standard error of a correlation r of normal values: (1 - r^2) / sqrt(n), at most 1 / sqrt(n)."""
    assert np.abs(np.corrcoef(frames.T) - wanted).max() < ERRORS * np.sqrt(waste / DRAWS)


def test_registry() -> None:
    assert {"normal", "walk", "empirical", "retrace"} < set(NAMES)
    assert [name for name, _ in DISTRIBUTIONS.listing()] == NAMES
    assert all(
        20 < len(entry.summary) < 110 and entry.summary.endswith(".") for entry in map(DISTRIBUTIONS.find, NAMES)
    )


# What each promises


def test_normal(statistics: Statistics) -> None:
    frames = frames_of("normal", statistics)
    expect_mean_and_std(frames, statistics.location, statistics.scale, kurtosis=3)
    expect_correlation(frames, np.eye(5))


def test_uniform(statistics: Statistics) -> None:
    """A uniform distribution of half width w has the deviation w / sqrt(3) and the kurtosis 1.8."""
    frames = frames_of("uniform", statistics)
    reach = 3 * statistics.scale
    expect_mean_and_std(frames, statistics.location, reach / np.sqrt(3), kurtosis=1.8)
    expect_correlation(frames, np.eye(5))
    expect_bounds(frames, statistics.location - reach, statistics.location + reach)


def test_iqr_uniform(statistics: Statistics) -> None:
    """Quartiles are there with and without --iqr, and are the same."""
    frames = frames_of("iqr-uniform", statistics)
    q1, q3 = np.quantile(latents(), [0.25, 0.75], axis=1)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    expect_mean_and_std(frames, (low + high) / 2, (high - low) / np.sqrt(12), kurtosis=1.8)
    expect_correlation(frames, np.eye(5))
    expect_bounds(frames, low, high)


def expect_bounds(frames: Array, low: Array, high: Array) -> None:
    """Never beyond, and as near to them as the extremes of n uniform draws come: a gap of 20 / n is one in e^20."""
    gap = 20 / DRAWS * (high - low)
    assert (frames.min(axis=0) >= low).all() and (frames.max(axis=0) <= high).all()
    assert (frames.min(axis=0) < low + gap).all() and (frames.max(axis=0) > high - gap).all()


def test_correlation_based(statistics: Statistics) -> None:
    frames = frames_of("correlation-based", statistics)
    expect_mean_and_std(frames, statistics.location, statistics.scale, kurtosis=3)
    expect_correlation(frames, statistics.active_correlation)
    assert np.abs(statistics.active_correlation[0, 1]) > 0.5  # or nothing would be tested


def test_empirical(statistics: Statistics) -> None:
    """Only whole frames that were there, each about as often as any other."""
    known = latents().T
    frames = frames_of("empirical", statistics)
    place = {frame.tobytes(): number for number, frame in enumerate(known)}
    counts = np.bincount([place[frame.tobytes()] for frame in frames], minlength=len(known))
    assert scipy.stats.chisquare(counts).pvalue > 1e-6
    kurtosis = scipy.stats.kurtosis(known, fisher=False)
    expect_mean_and_std(frames, known.mean(axis=0), known.std(axis=0), kurtosis)


def test_empirical_takes_frames_of_all_files(tmp_path: Path) -> None:
    files = [np.full((2, 1), 1.0), np.full((2, 3), 2.0), np.full((2, 1), 3.0)]
    for number, file in enumerate(files):
        np.save(tmp_path / f"{number}.npy", file)
    found = measure(sorted(tmp_path.glob("*.npy")))
    frames = draw("empirical", found, 0, 10_000)
    share = np.array([(frames == value).all(axis=1).mean() for value in (1, 2, 3)])
    assert np.abs(share - [0.2, 0.6, 0.2]).max() < ERRORS * np.sqrt(0.24 / 10_000)


def test_copula_keeps_the_shape_of_each_dim(statistics: Statistics) -> None:
    """As many draws lie below each measured quantile as should: the error of a share p is sqrt(p (1 - p) / n)."""
    frames = frames_of("copula", statistics)
    share = np.array(PERCENTS[1:-1]) / 100
    for dim in range(4):  # the last has ties, whose share cannot be told apart
        below = np.searchsorted(np.sort(frames[:, dim]), statistics.quantiles[1:-1, dim]) / DRAWS
        assert (np.abs(below - share) < ERRORS * np.sqrt(share * (1 - share) / DRAWS)).all()
    assert (frames >= statistics.minimum).all() and (frames <= statistics.maximum).all()


def test_copula_keeps_the_rank_correlation(both: dict[bool, Statistics]) -> None:
    """Standard error of a rank correlation: at most 1 / sqrt(n), as for Pearson's (near independence)."""
    wanted = scipy.stats.spearmanr(latents().T).statistic
    found = scipy.stats.spearmanr(frames_of("copula", both[True])).statistic
    assert np.abs(found - wanted).max() < ERRORS / np.sqrt(DRAWS)


def test_copula_of_normal_latents_has_normal_tails(tmp_path: Path) -> None:
    """Catches: tails that are cut at the outermost quantile, or pushed out to the minimum. Exact: -3.96."""
    found = measured(tmp_path, np.random.default_rng(2).standard_normal((1, 50_000)), False)
    share = np.clip(np.array(PERCENTS) / 100, 1e-5, 1 - 1e-5)  # the least of 50,000 lies about there
    normal = replace(found, quantiles=scipy.stats.norm.ppf(share)[:, np.newaxis])
    frames = draw("copula", normal, 1, 2_000_000)
    edge = scipy.stats.norm.ppf(1e-4)
    assert frames[frames < edge].mean() == pytest.approx(-scipy.stats.norm.pdf(edge) / 1e-4, abs=0.05)


@pytest.fixture
def feasible(statistics: Statistics) -> Statistics:
    """Statistics whose speeds and correlations can go together (the slow and the fast dims are apart)."""
    return replace(statistics, autocorrelation=np.array([0.9, 0.88, 0.9, 0.0, 0.5]))


def test_walk(feasible: Statistics, caplog: pytest.LogCaptureFixture) -> None:
    """An AR(1) process of n frames tells as much as n (1 - phi) / (1 + phi) independent frames."""
    frames = frames_of("walk", feasible)
    assert not caplog.records
    phi = feasible.autocorrelation
    waste = (1 + phi) / (1 - phi)
    expect_mean_and_std(frames, feasible.location, feasible.scale, kurtosis=3, waste=waste)
    expect_correlation(frames, feasible.active_correlation, waste=float(waste.max()))
    lag_1 = [np.corrcoef(dim[:-1], dim[1:])[0, 1] for dim in frames.T]
    # Bartlett: the variance of the lag-1 correlation of an AR(1) process is (1 - phi^2) / n
    assert (np.abs(lag_1 - phi) < ERRORS * np.sqrt((1 - phi**2) / DRAWS)).all()


def test_walk_moves_as_the_encodings_do(both: dict[bool, Statistics]) -> None:
    """From real statistics to the draws: what was measured as lag-1 comes out again."""
    phi = both[False].autocorrelation
    assert np.abs(phi - PHI)[[0, 1, 3]].max() < ERRORS * np.sqrt(1 / 8000)
    frames = frames_of("walk", both[False])
    lag_1 = [np.corrcoef(dim[:-1], dim[1:])[0, 1] for dim in frames.T]
    assert (np.abs(lag_1 - phi) < ERRORS * np.sqrt((1 - phi**2) / DRAWS)).all()


@pytest.mark.parametrize("n_frames", [1, 2, 7, 21])
def test_a_closed_walk_has_no_seam(feasible: Statistics, n_frames: int) -> None:
    """Over many rings: every place has the same covariance, and the step over the seam is a step like any other."""
    count = 1000
    rings = np.array([draw("walk", feasible, seed, n_frames) for seed in range(count)])
    rings = (rings - feasible.location) / feasible.scale
    for place in {0, n_frames // 2, n_frames - 1}:
        covariance = rings[:, place].T @ rings[:, place] / count
        assert np.abs(covariance - feasible.active_correlation).max() < ERRORS * np.sqrt(2 / count)
    after = np.roll(rings, -1, axis=1)
    steps = ((after - rings) ** 2).mean(axis=0)  # [places, dims]
    # twice the variance less the lag-1 covariance, where the ring is long enough to have that
    wanted = 2 * (1 - feasible.autocorrelation) if n_frames > 1 else np.zeros(5)
    assert (np.abs(steps - wanted) <= ERRORS * wanted * np.sqrt(2 / count)).all()


def test_a_walk_that_cannot_be_keeps_spreads_and_speeds(
    both: dict[bool, Statistics], caplog: pytest.LogCaptureFixture
) -> None:
    """Two dims that are all but one cannot move at two speeds: said once, correlation gives way."""
    tied = np.eye(5)
    tied[0, 1] = tied[1, 0] = 0.99
    phi = np.array([0.95, 0.2, 0.5, 0.0, 0.5])
    statistics = replace(both[False], correlation=tied, autocorrelation=phi)
    with caplog.at_level(logging.WARNING, logger="unravel_lib"):
        frames = frames_of("walk", statistics)
        frames_of("walk", statistics)
    assert caplog.messages == ["walk: " + distributions.STRAYS]
    expect_mean_and_std(frames, statistics.mean, statistics.std, kurtosis=3, waste=(1 + phi) / (1 - phi))
    lag_1 = [np.corrcoef(dim[:-1], dim[1:])[0, 1] for dim in frames.T]
    assert (np.abs(lag_1 - phi) < ERRORS * np.sqrt((1 - phi**2) / DRAWS)).all()
    assert 0.3 < np.corrcoef(frames.T)[0, 1] < 0.6  # at best sqrt((1-.95^2)(1-.2^2)) / (1 - .95 * .2) = 0.38


def test_latents_that_never_turn_back_do_not_break_a_walk(tmp_path: Path) -> None:
    """A straight ramp has a lag-1 coefficient of exactly 1."""
    found = measured(tmp_path, np.arange(40.0).reshape(1, 40), False)
    assert found.autocorrelation[0] == pytest.approx(1)
    frames = np.array([draw("walk", found, seed, 9) for seed in range(500)])
    assert frames.std() == pytest.approx(found.std[0], rel=ERRORS / np.sqrt(2 * 500))


# A covariance that is none


@pytest.mark.parametrize("name", ["correlation-based", "copula", "walk"])
def test_a_correlation_that_is_none_is_repaired_and_said(
    both: dict[bool, Statistics], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Dim 0 goes with 1, 1 with 2, but 2 against 0: that cannot be."""
    impossible = np.eye(5)
    for i, j, r in [(0, 1, 0.9), (1, 2, 0.9), (0, 2, -0.9)]:
        impossible[i, j] = impossible[j, i] = r
    statistics = replace(both[True], robust_correlation=impossible, autocorrelation=np.full(5, 0.5))
    with caplog.at_level(logging.DEBUG, logger="unravel_lib"):
        frames = frames_of(name, statistics)
    details, warning = caplog.messages
    assert "not positive semi-definite" in details and "eigenvalue" in details
    assert warning == f"{name}: {distributions.STRAYS}"
    if name == "correlation-based":
        expect_mean_and_std(frames, statistics.location, statistics.scale, kurtosis=3)
    near = distributions.nearest_psd(impossible, "it")
    assert np.linalg.eigvalsh(near)[0] > -1e-12
    np.testing.assert_allclose(np.diagonal(near), 1)
    np.testing.assert_array_equal(np.sign(near), np.sign(impossible))


def test_a_good_covariance_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Also a singular one, whose least eigenvalue rounding makes -1e-17."""
    few = np.random.default_rng(5).normal(0, 1, (64, 3))
    for matrix in (np.cov(few), np.cov(few) * 1e-12, np.zeros((3, 3)), np.diag([1.0, 0.0, 1e12])):
        assert distributions.nearest_psd(matrix, "it") is matrix
    assert not caplog.records


# All of them


EDGES = {
    "one frame": np.arange(3.0).reshape(3, 1),
    "two frames": np.array([[0.0, 1.0], [2.0, 2.0]]),
    "one dim": np.random.default_rng(6).normal(0, 1, (1, 50)),
    "nothing moves": np.full((4, 9), 0.1),
    "fewer frames than dims": np.random.default_rng(7).normal(0, 1, (16, 5)),
    "128 dims": np.random.default_rng(8).normal(0, 1, (128, 300)),
    "tiny": np.random.default_rng(9).normal(0, 1e-30, (3, 50)),
    "huge": np.random.default_rng(10).normal(0, 1e37, (3, 50)),
}


@pytest.mark.parametrize("iqr", [False, True])
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_at_every_edge(tmp_path: Path, name: str, edge: str, iqr: bool) -> None:
    values = EDGES[edge]
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        found = measured(tmp_path, values, iqr)
        if name in FOLLOWING and values.shape[1] < 21:  # too short to follow: refused in one line, or it works
            with contextlib.suppress(UsageError):
                draw(name, found, 0, 21)
            return
        for n_frames in (1, 2, 21):
            frames = draw(name, found, 0, n_frames)
            assert frames.shape == (n_frames, len(values)) and frames.dtype == np.float64
            assert np.isfinite(frames).all()
            np.testing.assert_array_equal(frames, draw(name, found, 0, n_frames))
    still = values.min(axis=1) == values.max(axis=1)
    np.testing.assert_allclose(frames[:, still], np.broadcast_to(values[still, 0], (21, still.sum())), rtol=1e-12)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_drawing_leaves_the_statistics_untouched(statistics: Statistics, name: str) -> None:
    before = {key: np.copy(getattr(statistics, key)) for key in ("mean", "std", "correlation", "quantiles")}
    first = draw(name, statistics, 0, 50)
    other = draw(name, statistics, 1, 50)
    assert np.array_equal(first, other) == (name in ("excerpt", "mosaic"))  # which take no random numbers
    for key, value in before.items():
        np.testing.assert_array_equal(getattr(statistics, key), value)


@pytest.mark.parametrize("name", FROM_TABLES)
def test_tables_give_the_same_bytes_as_files(statistics: Statistics, tmp_path: Path, name: str) -> None:
    path, *_ = write_csv(statistics, tmp_path)
    again = read_csv(path, statistics.iqr)
    draws = [draw(name, source, 0, 30).tobytes() for source in (statistics, again)]
    assert draws[0] == draws[1]


def test_empirical_needs_the_files(statistics: Statistics) -> None:
    with pytest.raises(UsageError, match="takes frames of encodings, not a table"):
        draw("empirical", replace(statistics, encodings=()), 0, 3)


GOLDEN = {
    "normal": [0.1049001, -0.5356694, 0.3615951],
    "uniform": [-2.9008342, 1.8796214, 2.4765335],
    "iqr-uniform": [-2.6087772, 1.6903805, 2.2271952],
    "correlation-based": [-0.0373157, -0.4902667, 0.3615951],
    "copula": [-0.0373157, -0.4902667, 0.3615951],
    "walk": [0.0147218, -0.4658974, 0.3615951],
}


def test_golden_values() -> None:
    """A change of these numbers is a change of everybody's music: it needs a reason and a word in the README."""
    bell = scipy.stats.norm.ppf(np.clip(np.array(PERCENTS) / 100, 1e-4, 1 - 1e-4))
    unit = Statistics(
        dims=3,
        frames=1000,
        files=1,
        iqr=False,
        mean=np.zeros(3),
        std=np.ones(3),
        outlier_share=np.zeros(3),
        correlation=np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]),
        autocorrelation=np.array([0.9, 0.9, 0.0]),
        quantiles=np.repeat(bell[:, np.newaxis], 3, axis=1),
    )
    assert set(GOLDEN) == set(FROM_TABLES)
    for name, wanted in GOLDEN.items():
        np.testing.assert_allclose(draw(name, unit, 0, 2)[1], wanted, atol=1e-6, err_msg=name)


GOLDEN_FOLLOWING = {
    "retrace": [-0.67053363, -1.9999964],
    "oracle": [-0.54402111, -1.82069389],
    "spectral": [1.14917916, 0.20378294],
    "excerpt": [0.91294525, 1.50697345],
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_golden_values_of_those_that_follow_recordings(name: str) -> None:
    values = np.sin(np.arange(80) / np.array([[3.0], [7.0]])) * [[1.0], [2.0]]
    frames = draw(name, measure([values, values[:, ::-1] + 1]), 0, 12)
    np.testing.assert_allclose(frames[3], GOLDEN_FOLLOWING[name], atol=1e-6)


# Misuse


@pytest.mark.parametrize("place", [-0.1, 1.5, np.nan])
def test_a_place_outside_the_recordings(statistics: Statistics, place: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        unravel.draw("normal", statistics, 9, place=place)


def test_an_unknown_name_is_answered_with_the_nearest(statistics: Statistics) -> None:
    with pytest.raises(UsageError, match="did you mean normal") as caught:
        draw("norml", statistics, 0, 3)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize(
    ("result", "words"),
    [(np.zeros((2, 5)), "drew 2 frames"), (np.zeros((3, 4)), "shape"), (np.full((3, 5), np.nan), "nan")],
)
def test_a_distribution_of_ones_own_is_checked(statistics: Statistics, result: Array, words: str) -> None:
    mine = Entry.of("distribution", lambda statistics: result)
    with pytest.raises(UsageError, match=words):
        unravel.draw(mine, statistics, 3)


@pytest.mark.parametrize("name", [name for name in FROM_TABLES if name != "copula"])
def test_a_draw_beyond_32_bits_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Latents near the end of float32: copula and empirical stay within what was measured, the others go beyond."""
    found = measured(tmp_path, np.random.default_rng(10).choice([-3e38, 3e38], (2, 50)), False)
    for there in ("copula", "empirical"):
        assert np.abs(draw(there, found, 0, 50)).max() < 3.1e38
    with pytest.raises(UsageError, match=rf"distribution {name}: drew values up to .*: take copula"):
        draw(name, found, 0, 50)


TRIANGLE = """
from unravel_lib import distribution

@distribution{declared}
def triangle(statistics, rng, n_frames, width: float = 1.0):
    'Between the measured minimum and maximum, most often at the centre.'
    low, mode, high = width * statistics.minimum, statistics.location, statistics.maximum
    return rng.triangular(low, mode, high, (n_frames, statistics.dims)) / {divisor}
"""


def own_file(folder: Path, declared: str = "", divisor: str = "1") -> str:
    path = folder / "mine.py"
    path.write_text(TRIANGLE.format(declared=declared, divisor=divisor))
    return f"{path}:triangle"


def test_a_distribution_in_a_file_of_ones_own(statistics: Statistics, tmp_path: Path) -> None:
    """As the docstring of the catalogue says: found, listed, its options read; the catalogue stays as it is."""
    name = own_file(tmp_path)
    triangle = DISTRIBUTIONS.find(name)
    assert dict(DISTRIBUTIONS.listing(name))[name] == (
        "Between the measured minimum and maximum, most often at the centre. [width=float, default 1.0]"
    )
    assert [key for key, _ in DISTRIBUTIONS.listing()] == NAMES
    assert triangle.read_options(["width=1"]) == {"width": 1.0}
    frames = unravel.draw(name, statistics, DRAWS, 0, width=1)
    low, mode, high = statistics.minimum, statistics.location, statistics.maximum
    std = np.sqrt((low**2 + mode**2 + high**2 - low * mode - low * high - mode * high) / 18)
    expect_mean_and_std(frames, (low + mode + high) / 3, std, kurtosis=2.4)
    np.testing.assert_array_equal(frames, unravel.draw(triangle, statistics, DRAWS, 0))


def test_errors_in_a_distribution_of_ones_own_name_file_and_line(statistics: Statistics, tmp_path: Path) -> None:
    triangle = DISTRIBUTIONS.find(own_file(tmp_path, divisor="(1 // 0)"))
    with pytest.raises(UsageError, match=r"mine\.py line 8: ZeroDivisionError"):
        unravel.draw(triangle, statistics, 3)


def test_what_takes_recordings_needs_more_than_a_table(statistics: Statistics, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\nfrom unravel_lib import distribution\n@distribution\ndef first(recordings, n_frames):\n"
        "    return np.tile(recordings.encodings[0].latents[:, 0], (n_frames, 1))\n"
    )
    np.testing.assert_array_equal(
        unravel.draw(f"{path}:first", statistics, 2)[1], statistics.encodings[0].latents[:, 0]
    )
    with pytest.raises(UsageError, match="first takes frames of encodings"):
        unravel.draw(f"{path}:first", replace(statistics, encodings=()), 3)
