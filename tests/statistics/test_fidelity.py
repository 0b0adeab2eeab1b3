"""Fidelity: each measure grows with what it measures, stays where it does not, and agrees with its definition."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from scipy.signal import lfilter
from scipy.spatial.distance import cdist

from unravel_lib.errors import InputError
from unravel_lib.statistics import fidelity as measures
from unravel_lib.statistics.fidelity import Fidelity, ceiling, fidelity, floor, report

Array = npt.NDArray[np.float64]
DIMS = 4


def decays(seed: int, n_files: int = 12, n_frames: int = 200, centre: float = 0.0) -> list[Array]:
    """Recordings [dims, frames] of one process: rare attacks that die away, first in one dim, then in the next."""
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(n_files):
        attacks = rng.exponential(1.0, (DIMS, n_frames + 50)) * (rng.random((DIMS, n_frames + 50)) < 0.15)
        attacks += 0.5 * np.roll(np.roll(attacks, 1, axis=0), 2, axis=1)
        files.append(centre + lfilter([1.0], [1.0, -0.8], attacks, axis=1)[:, 50:])
    return files


RECORDED = decays(0)
OTHERS = decays(1)


def compare(generated: Sequence[Array], recorded: Sequence[Array] = RECORDED) -> Fidelity:
    return fidelity(generated, recorded, np.random.default_rng(0))


def noisy(level: float) -> list[Array]:
    rng = np.random.default_rng(2)
    return [file + level * rng.standard_normal(file.shape) for file in OTHERS]


def shuffled(share: float) -> list[Array]:
    """That share of the frames of each file change places."""
    rng = np.random.default_rng(3)
    files = []
    for file in OTHERS:
        order = np.arange(file.shape[1])
        moved = rng.permutation(order)[: int(share * len(order))]
        order[moved] = rng.permutation(moved)
        files.append(file[:, order])
    return files


def smoothed(width: float) -> list[Array]:
    kernel = np.ones(int(width)) / int(width)
    return [np.stack([np.convolve(dim, kernel, "valid") for dim in file]) for file in OTHERS]


def shrunk(amount: float) -> list[Array]:
    mean = np.concatenate(OTHERS, axis=1).mean(axis=1, keepdims=True)
    return [mean + (1 - amount) * (file - mean) for file in OTHERS]


GROWING = {
    "noise": (noisy, (0, 0.6, 1.2, 2.4), "marginal_ks autocorrelation step_ks nearest_neighbour"),
    "shuffling": (shuffled, (0, 0.2, 0.5, 1), "autocorrelation step_cross_correlation step_ks nearest_neighbour"),
    "smoothing": (smoothed, (1, 3, 5, 9), "marginal_ks autocorrelation step_ks nearest_neighbour"),
    "shrinking": (shrunk, (0, 0.2, 0.4, 0.6), "marginal_ks step_ks nearest_neighbour"),
}


@pytest.mark.parametrize("name", GROWING)
def test_the_more_it_is_damaged_the_larger_the_distances(name: str) -> None:
    damage, levels, measures = GROWING[name]
    found = [compare(damage(level)) for level in levels]
    for measure in measures.split():
        values = [getattr(one, measure) for one in found]
        assert np.all(np.diff(values) > 0), (measure, values)


@pytest.mark.parametrize(("damage", "levels"), [(noisy, (0, 0.3, 0.6, 1.2)), (shrunk, (0, 0.3, 0.6, 0.9))])
def test_coverage_falls(damage: Callable[[float], list[Array]], levels: Sequence[float]) -> None:
    values = [compare(damage(level)).coverage or 0.0 for level in levels]
    assert values[0] > 0.9
    assert np.all(np.diff(values) < 0), values


def test_the_more_is_dropped_the_less_is_covered() -> None:
    recorded = [file for place in range(4) for file in decays(place, 3, centre=10.0 * place)]
    generated = [file for place in range(4) for file in decays(10 + place, 3, centre=10.0 * place)]
    found = [compare(generated[: 3 * n], recorded) for n in (4, 3, 2, 1)]
    coverage = [one.coverage or 0.0 for one in found]
    assert coverage[0] > 0.9
    assert coverage == sorted(coverage, reverse=True)
    assert coverage[-1] < 0.3
    assert np.all(np.diff([one.marginal_ks for one in found]) > 0)


def test_shuffling_leaves_what_does_not_look_at_time() -> None:
    before, after = compare(shuffled(0)), compare(shuffled(1))
    assert after.marginal_ks == pytest.approx(before.marginal_ks)
    assert after.coverage == pytest.approx(before.coverage, abs=0.02)


def test_reversal_moves_asymmetry_and_the_two_sample_test_only() -> None:
    before, after = asdict(compare(OTHERS)), asdict(compare([file[:, ::-1] for file in OTHERS]))
    assert after.pop("asymmetry") > 5 * before.pop("asymmetry")
    assert after.pop("nearest_neighbour") > before.pop("nearest_neighbour") + 0.1
    assert after == pytest.approx(before)


def test_a_copy_of_itself_is_a_copy() -> None:
    copy = [(3 * file.astype(np.float32) + 1).astype(np.float32) for file in RECORDED]
    found = compare([(file - 1) / 3 for file in copy])
    assert (found.copied_share, found.near_copied_share, found.longest_copy) == (1.0, 1.0, 200)
    assert found.coverage == 1.0
    assert (found.nearest_neighbour or 0.0) < 0.1
    for name in ("marginal_ks", "autocorrelation", "step_cross_correlation", "step_ks", "asymmetry"):
        assert getattr(found, name) < 1e-3, name


def test_others_of_the_same_process_are_no_copies_and_hard_to_tell_apart() -> None:
    found = compare(OTHERS)
    assert (found.copied_share, found.near_copied_share, found.longest_copy) == (0.0, 0.0, 0)
    assert found.nearest_neighbour == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_copied_runs_are_counted_and_slight_changes_are_near_copies() -> None:
    generated = np.random.default_rng(4).standard_normal((DIMS, 100))
    generated[:, 30:50] = RECORDED[3][:, 80:100]
    generated[:, 60:70] = RECORDED[5][:, 10:20]
    found = compare([OTHERS[0], generated])
    assert found.longest_copy == 20
    assert found.copied_share == pytest.approx((17 + 7) / (197 + 97))
    near = compare([file + 1e-3 * np.sin(np.arange(200)) for file in RECORDED])
    assert near.copied_share < 0.05
    assert near.near_copied_share > 0.95


def test_nothing_crosses_from_one_file_to_the_next() -> None:
    first, second = RECORDED[0], RECORDED[1] + 100
    joined = compare([np.hstack([first, second])], [first, second])
    assert (joined.longest_copy, joined.copied_share) == (200, pytest.approx(2 * 197 / 397))
    exchanged = compare([second, first], [first, second])
    assert (exchanged.asymmetry, exchanged.step_ks) == (pytest.approx(0), pytest.approx(0))
    assert exchanged.autocorrelation == pytest.approx(0)
    assert exchanged.step_cross_correlation == pytest.approx(0)
    assert exchanged.copied_share == 1.0


def test_a_file_is_not_recognised_by_its_neighbours_in_time_nor_a_loop_by_its_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = [file.T for file in RECORDED]
    loops = [np.tile(OTHERS[0].T[:150], (times, 1)) for times in (2, 6)]
    twice, often = (measures.two_sample([loop], recorded, np.random.default_rng(0)) for loop in loops)
    assert twice == often
    assert (often or 1.0) < 0.65
    monkeypatch.setattr(measures, "APART", 1)
    slow = [np.cumsum(file - file.mean(axis=1, keepdims=True), axis=1) for file in OTHERS]
    others = [np.cumsum(file - file.mean(axis=1, keepdims=True), axis=1) for file in RECORDED]
    near = compare(slow, others).nearest_neighbour or 0.0
    monkeypatch.undo()
    assert (compare(slow, others).nearest_neighbour or 0.0) < near - 0.1


def test_noise_is_told_apart_in_many_dims() -> None:
    rng = np.random.default_rng(10)
    mix = rng.standard_normal((16, 4))
    recorded, generated = ([mix @ file for file in decays(seed)] for seed in (11, 12))
    assert compare(generated, recorded).nearest_neighbour == pytest.approx(0.5, abs=0.06)
    noise = compare([file + 2 * rng.standard_normal(file.shape) for file in generated], recorded)
    assert (noise.nearest_neighbour or 0.0) > 0.9  # of one side; the share of both is 0.5


def test_the_end_of_a_loop_is_adjacent_to_its_beginning() -> None:
    loop = np.random.default_rng(13).standard_normal((60, 2))
    (windows, adjacent), _ = measures.balanced([np.tile(loop, (3, 1))], [loop, loop[::-1]], 4, np.random.default_rng(0))
    assert len(windows) == 60
    assert adjacent.sum(axis=1).tolist() == [2 * measures.APART + 1] * 60


def test_the_ceiling_has_the_mean_and_the_deviation_of_the_recordings() -> None:
    recorded = [5 + 3 * np.random.default_rng(14).standard_normal((2, 2000))]
    found = ceiling(recorded, np.random.default_rng(0))
    assert found.marginal_ks < 0.05
    assert found.step_ks < 0.05


def test_the_seam_of_a_loop() -> None:
    walk = np.cumsum(np.random.default_rng(5).standard_normal((2, 500)) + 1, axis=1)
    assert measures.seam_percentile([np.array([[0.0], [1.0], [2.0], [1.0]])]) == 50
    assert measures.seam_percentile([walk.T]) == 100
    assert measures.seam_percentile([np.array([[0.0], [1.0], [3.0], [2.5], [0.8]])]) == pytest.approx(25)
    assert measures.seam_percentile([np.zeros((4, 1)), np.zeros((1, 1))]) == 50
    assert measures.seam_percentile([np.zeros((1, 1))]) is None


def test_measures_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal(300).round(1), rng.standard_normal(200).round(1) + 0.2
    assert measures.ks(a, b) == pytest.approx(scipy.stats.ks_2samp(a, b).statistic)
    ramp = np.tile([0.0, 2.0, 1.0], 100)[:, np.newaxis]
    d = np.diff(ramp[:, 0])
    assert measures.asymmetry([ramp]) == pytest.approx(np.mean(d**3) / np.mean(d**2) ** 1.5)
    rows, others = rng.standard_normal((40, 6)), rng.standard_normal((30, 6))
    assert measures.distances(rows, others) == pytest.approx(cdist(rows, others))


def test_autocorrelation_and_cross_correlation_of_one_lag() -> None:
    x = decays(7, 1, 5000)[0].T
    noise = np.random.default_rng(8).standard_normal((5000, DIMS))
    lags = [np.abs(np.corrcoef(x[:-lag, dim], x[lag:, dim])[0, 1]) for lag in range(1, 17) for dim in range(DIMS)]
    assert measures.autocorrelation_error([x], [noise]) == pytest.approx(np.mean(lags), abs=0.02)
    together = noise[:, :1] + np.zeros((1, 2))
    apart = noise[:, :2]
    # at lags 0 and 1 the steps of white noise correlate by 1 and -0.5, with themselves and with an equal dim
    assert measures.cross_correlation_error([together], [apart]) == pytest.approx(0.5 * 1.5 / 5, abs=0.02)


def test_coverage_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(9)
    real, fake = rng.standard_normal((200, 3)), 0.7 * rng.standard_normal((200, 3)) + 0.5
    radius = np.sort(cdist(real, real), axis=1)[:, measures.K]
    expected = np.mean(cdist(real, fake).min(axis=1) <= radius)
    found = measures.coverage([row[np.newaxis] for row in fake], [row[np.newaxis] for row in real], rng)
    assert 0.3 < expected < 0.95
    assert found == pytest.approx(expected)


def test_floor_and_ceiling_enclose() -> None:
    rng = np.random.default_rng(0)
    value, low, high = compare(OTHERS), floor(RECORDED, rng), ceiling(RECORDED, rng)
    for name in ("autocorrelation", "step_cross_correlation", "step_ks", "asymmetry", "nearest_neighbour"):
        assert getattr(low, name) < getattr(high, name) / 1.5, name
        assert getattr(value, name) < getattr(high, name) / 1.5, name
    assert (low.coverage or 0) > 0.9 > (high.coverage or 0)
    assert low.copied_share == high.copied_share == 0
    assert low.seam_percentile is high.seam_percentile is None


def test_one_seed_gives_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MAX_DISTINCT", 100)
    assert compare(OTHERS) == compare(OTHERS)
    assert compare(OTHERS) != fidelity(OTHERS, RECORDED, np.random.default_rng(1))


def test_of_too_many_files_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MAX_VALUES", 250 * DIMS)
    found = compare(RECORDED)
    assert found.copied_share < 1
    assert compare(RECORDED[:1]).longest_copy in (0, 50, 200)


@pytest.mark.parametrize("dims", [1, 3, 128])
def test_any_number_of_dims(dims: int) -> None:
    rng = np.random.default_rng(dims)
    recorded = [np.cumsum(rng.standard_normal((dims, 120)), axis=1).astype(np.float32) for _ in range(3)]
    recorded[0][0] = recorded[1][0] = recorded[2][0] = 0.1  # a dim that never moves
    for found in (fidelity(recorded, recorded, rng), floor(recorded, rng), ceiling(recorded, rng)):
        assert all(value is None or np.isfinite(value) for value in asdict(found).values())
        json.dumps(asdict(found), allow_nan=False)


def test_the_shortest_that_can_be_compared() -> None:
    rng = np.random.default_rng(0)
    found = compare([RECORDED[0][:, :4]], [RECORDED[0][:, :4]])
    assert (found.copied_share, found.longest_copy) == (1.0, 4)
    assert found.nearest_neighbour is None
    assert found.coverage is None
    assert floor([RECORDED[0][:, :8]], rng).copied_share == 0
    still = fidelity([np.ones((2, 40))], [np.ones((2, 40))], rng)
    assert (still.marginal_ks, still.autocorrelation, still.asymmetry, still.copied_share) == (0, 0, 0, 1)


def test_what_cannot_be_compared_is_said_in_one_line() -> None:
    rng = np.random.default_rng(0)
    short = [RECORDED[0][:, :3], RECORDED[1][:, :1]]
    with pytest.raises(InputError, match=r"^the recorded latents have 3 frames at most, comparing needs 4 or more$"):
        compare(OTHERS, short)
    with pytest.raises(InputError, match=r"^the generated latents have 0 frames at most, comparing needs 4 or more$"):
        compare([])
    with pytest.raises(InputError, match=r"have 7 frames, comparing them with themselves needs 8 or more$"):
        floor([RECORDED[0][:, :7]], rng)


def test_report_has_a_line_for_every_measure() -> None:
    rng = np.random.default_rng(0)
    lines = report(compare(OTHERS), floor(RECORDED, rng), ceiling(RECORDED, rng)).splitlines()
    assert len(lines) == 12
    assert lines[0].split() == ["value", "floor", "ceiling", "good", "is"]
    assert lines[-1].split()[-4:] == ["-", "-", "below", "95"]
