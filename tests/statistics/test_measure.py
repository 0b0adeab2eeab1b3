"""Statistics of latents: against numpy and scipy on the same values in memory, and at the edges of what can be."""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, read_sidecar, write_sidecar
from unravel_lib.latents import files
from unravel_lib.latents.files import common_facts
from unravel_lib.statistics import measure as measure_module
from unravel_lib.statistics.measure import PERCENTS, Statistics, measure
from unravel_lib.statistics.tables import read_csv, report, write_csv

ROOT = Path(__file__).parents[2]
Array = npt.NDArray[np.float64]


# The usual size of a block, and one so small that even these latents have many.
SIZES: dict[str, list[tuple[Any, str, int]]] = {"one block": [], "many blocks": [(measure_module, "BLOCK_VALUES", 16)]}


def set_sizes(patch: pytest.MonkeyPatch, name: str) -> None:
    for module, constant, size in SIZES[name]:
        patch.setattr(module, constant, size)


@pytest.fixture(params=SIZES)
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    set_sizes(monkeypatch, request.param)
    return str(request.param)


def saved(folder: Path, *arrays: npt.ArrayLike) -> list[Path]:
    paths = [folder / f"{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, np.asarray(array))
    return paths


def same(one: Statistics, other: Statistics) -> bool:
    """Whether all that is measured is equal to the last digit."""
    names = [f.name for f in fields(one) if f.name not in ("encodings", "frame_rate")]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def lag_1(files: list[Array]) -> Array:
    """Reference: Pearson's correlation of all neighbours within files."""
    before = np.concatenate([file[:, :-1] for file in files], axis=1)
    after = np.concatenate([file[:, 1:] for file in files], axis=1)
    return np.array([np.corrcoef(b, a)[0, 1] for b, a in zip(before, after, strict=True)])


def compare(found: Statistics, files: list[Array]) -> None:
    """All that is measured against numpy and scipy, to 1e-9 of the spread."""
    whole = np.concatenate([file.astype(np.float64) for file in files], axis=1)
    unit = np.maximum(np.abs(whole).max(), 1e-30)
    assert (found.dims, found.frames, found.files) == (*whole.shape, len(files))
    np.testing.assert_allclose(found.mean, whole.mean(axis=1), rtol=1e-9, atol=1e-12 * unit)
    wanted = np.quantile(whole, np.array(PERCENTS) / 100, axis=1)
    np.testing.assert_allclose(found.quantiles, wanted, rtol=1e-9, atol=1e-12 * unit)
    np.testing.assert_array_equal(found.minimum, whole.min(axis=1))
    np.testing.assert_array_equal(found.maximum, whole.max(axis=1))
    q1, q3 = np.quantile(whole, [0.25, 0.75], axis=1)
    np.testing.assert_allclose(found.lower, q1 - 1.5 * (q3 - q1), rtol=1e-9, atol=1e-12 * unit)
    np.testing.assert_allclose(found.robust_std, (q3 - q1) / 1.349, rtol=1e-9, atol=1e-12 * unit)
    out = (whole < found.lower[:, None]) | (whole > found.upper[:, None])
    np.testing.assert_array_equal(found.outlier_share, out.mean(axis=1))
    if found.frames > 1:
        covariance = np.outer(found.std, found.std) * found.correlation
        np.testing.assert_allclose(covariance, np.cov(whole).reshape(found.dims, -1), 1e-9, 1e-9 * unit**2)
        moves = np.flatnonzero(whole.min(axis=1) < whole.max(axis=1))
        if len(moves):
            pearson = np.corrcoef(whole[moves]).reshape(len(moves), -1)
            np.testing.assert_allclose(found.correlation[np.ix_(moves, moves)], pearson, rtol=0, atol=1e-9)
        if found.robust_correlation is not None and len(moves) > 1:
            spearman = np.corrcoef(scipy.stats.rankdata(whole[moves], axis=1))
            mapped = 2 * np.sin(np.pi / 6 * spearman)
            np.testing.assert_allclose(found.robust_correlation[np.ix_(moves, moves)], mapped, rtol=0, atol=1e-9)


@st.composite
def batches(draw: st.DrawFn) -> list[Array]:
    """A few files of a few dims; small whole numbers, so that ties and dims that stand still occur."""
    dims = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 25), min_size=1, max_size=4))
    value = draw(st.sampled_from([st.integers(-3, 3), st.integers(-1000, 1000)]))
    offset = draw(st.sampled_from([0, 1000]))
    cells = st.lists(value, min_size=dims * sum(lengths), max_size=dims * sum(lengths))
    whole = np.array(draw(cells), dtype=np.float32).reshape(dims, -1) / 8 + offset
    return np.split(whole, np.cumsum(lengths)[:-1], axis=1)


@settings(max_examples=100, deadline=None)
@given(files=batches(), iqr=st.booleans(), sizes=st.sampled_from(sorted(SIZES)))
def test_equals_numpy_and_scipy_in_memory(files: list[Array], iqr: bool, sizes: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        set_sizes(patch, sizes)
        compare(measure(saved(Path(folder), *files), iqr), files)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", "<i2", "<i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("leading", [True, False])
def test_every_kind_of_file(tmp_path: Path, sizes: str, dtype: str, order: Any, leading: bool) -> None:
    """Catches: values read from the wrong place, bytes in the wrong order, float64 cut to float32."""
    rng = np.random.default_rng(5)
    files = [np.array(rng.normal(60, 20, (3, n)), dtype, order=order) for n in (40, 1, 23)]
    shaped = [np.array(file[np.newaxis], order=order) if leading else file for file in files]
    compare(measure(saved(tmp_path, *shaped), True), [file.astype(np.float64) for file in files])


def test_mixed_kinds_of_files(tmp_path: Path, sizes: str) -> None:
    rng = np.random.default_rng(6)
    files = [rng.normal(0, 1, (3, 40)), rng.normal(0, 1, (3, 30)).astype("<f4"), rng.integers(-9, 9, (3, 20))]
    compare(measure(saved(tmp_path, *files), True), [file.astype(np.float64) for file in files])


def test_a_mean_that_is_large_beside_the_deviation(tmp_path: Path, sizes: str) -> None:
    """Catches: sums of squares instead of squares of deviations, which leave no digit of these."""
    deviations = np.random.default_rng(1).normal(0, 1e-3, (3, 200))
    files = list(np.split(1e6 + deviations, [50, 110], axis=1))
    found = measure(saved(tmp_path, *files))
    exact = np.concatenate(files, axis=1) - 1e6  # this subtraction loses nothing
    np.testing.assert_allclose(found.std, exact.std(axis=1, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(found.correlation, np.corrcoef(exact), atol=1e-6)
    np.testing.assert_allclose(found.autocorrelation, lag_1([file - 1e6 for file in files]), atol=1e-6)


def test_lag_1_is_pearsons_of_all_neighbours(tmp_path: Path, sizes: str) -> None:
    rng = np.random.default_rng(2)
    files = [np.cumsum(rng.normal(0, 1, (3, n)), axis=1) + rng.normal(0, 9, (3, 1)) for n in (50, 2, 1, 17)]
    found = measure(saved(tmp_path, *files))
    np.testing.assert_allclose(found.autocorrelation, lag_1(files), atol=1e-9)


def test_lag_1_never_crosses_from_one_file_to_the_next(tmp_path: Path, sizes: str) -> None:
    """Within each file nothing moves, so neighbours are equal: 1. One pair from 0 to 1 would make it less."""
    found = measure(saved(tmp_path, np.zeros((1, 30)), np.ones((1, 30))))
    np.testing.assert_allclose(found.autocorrelation, [1.0], atol=1e-12)


def test_lag_1_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    paths = saved(tmp_path, *(np.random.default_rng(seed).normal(seed, 1, (2, 20)) for seed in range(3)))
    forth, back = measure(paths), measure(paths[::-1])
    np.testing.assert_allclose(forth.autocorrelation, back.autocorrelation, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dim_that_never_moves(tmp_path: Path, sizes: str, dtype: type) -> None:
    """Catches: a deviation of 1e-17 from rounding (a sum of float64 0.1 is inexact), 0 / 0, a correlation of NaN."""
    values = np.random.default_rng(3).normal(0, 1, (3, 100)).astype(dtype)
    values[1] = 0.1
    found = measure(saved(tmp_path, values, values[:, :7]), True)
    assert found.mean[1] == found.median[1] == found.lower[1] == dtype(0.1)
    assert found.std[1] == found.robust_std[1] == found.outlier_share[1] == found.autocorrelation[1] == 0
    for matrix in (found.correlation, found.robust_correlation):
        assert matrix is not None
        np.testing.assert_array_equal(matrix[1], [0, 1, 0])
        np.testing.assert_array_equal(np.diagonal(matrix), 1)


@pytest.mark.parametrize(("dims", "frames"), [(1, 1), (8, 1), (1, 2), (128, 5), (1, 400)])
def test_few_frames_few_dims_many_dims(tmp_path: Path, sizes: str, dims: int, frames: int) -> None:
    values = np.random.default_rng(4).normal(0, 1, (dims, frames)).astype(np.float32)
    found = measure(saved(tmp_path, values), True)
    compare(found, [values])
    assert np.isfinite(found.autocorrelation).all()
    if frames == 1:
        assert (found.std == 0).all()
        np.testing.assert_array_equal(found.correlation, np.eye(dims))


def test_ranks_are_those_of_scipy(tmp_path: Path, sizes: str) -> None:
    """With ties, negative zeros, and both kinds of floats (which are sorted differently)."""
    rng = np.random.default_rng(13)
    for dtype in ("<f4", "<f8"):
        values = rng.integers(-3, 4, (3, 300)).astype(dtype) * rng.choice([1.0, -1e-30, 1e30], (3, 300)).astype(dtype)
        found = measure(saved(tmp_path, values), True).robust_correlation
        wanted = 2 * np.sin(np.pi / 6 * scipy.stats.spearmanr(values.T).statistic)
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_views(tmp_path: Path) -> None:
    """Catches: a distribution that gets the classic deviation with --iqr, or the other way round."""
    path = saved(tmp_path, np.random.default_rng(7).exponential(1, (3, 500)))
    classic, robust = measure(path), measure(path, True)
    assert classic.robust_correlation is None
    np.testing.assert_array_equal(classic.location, classic.mean)
    np.testing.assert_array_equal(classic.scale, classic.std)
    np.testing.assert_array_equal(classic.active_covariance, np.outer(classic.std, classic.std) * classic.correlation)
    np.testing.assert_array_equal(robust.location, robust.median)
    np.testing.assert_array_equal(robust.scale, robust.robust_std)
    np.testing.assert_allclose(np.diagonal(robust.active_covariance), robust.robust_std**2)
    off = robust.active_covariance[0, 1] / robust.scale[0] / robust.scale[1]
    assert robust.robust_correlation is not None
    np.testing.assert_allclose(off, robust.robust_correlation[0, 1])


def test_robust_view_is_deaf_to_outliers(tmp_path: Path) -> None:
    values = np.random.default_rng(8).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 20_000).T
    spoilt = values.copy()
    spoilt[:, :20] = [[1e4], [-1e4]]
    found = measure(saved(tmp_path, spoilt), True)
    assert found.correlation[0, 1] < -0.9  # what twenty frames do to Pearson's
    assert found.active_covariance[0, 1] == pytest.approx(0.8, abs=0.03)


def test_a_path_a_folder_an_iterable_or_a_generator(tmp_path: Path) -> None:
    """Of arrays or of files, whose paths may be text; results of generator.py in a folder do not count."""
    arrays = [np.random.default_rng(seed).normal(0, 1, (3, 40)).astype(np.float32) for seed in range(2)]
    paths = saved(tmp_path, *arrays)
    assert same(measure(arrays, True), measure(paths, True))
    both, first = measure(arrays), measure(arrays[:1])
    for way in (paths, tuple(map(str, paths)), iter(paths), (path for path in paths), tmp_path, str(tmp_path)):
        assert same(measure(way), both)
    for way in (np.array(arrays), iter(arrays), [paths[0], arrays[1]], [arrays[0].tolist(), paths[1]]):
        assert same(measure(way), both)
    for way in (paths[0], str(paths[0]), arrays[0], arrays[:1], arrays[0][np.newaxis]):
        assert same(measure(way), first)
    np.save(tmp_path / "made.npy", arrays[0] + 9)
    write_sidecar(tmp_path / "made.npy", GeneratedSidecar())
    assert same(measure(tmp_path), both)


@pytest.mark.parametrize("nothing", [[], (), iter([]), np.empty((0, 3, 4))])
def test_nothing_to_measure(nothing: Any) -> None:
    with pytest.raises(ValueError, match="expected at least one encoding"):
        measure(nothing)


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 0)), np.zeros(3), [np.zeros(3)], [np.zeros((2, 3)), np.zeros((3, 3))], [[["a"]]], [None], 5]
)
def test_what_is_no_latents_is_a_mistake_of_the_caller(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        measure(bad)


def test_more_than_a_gibibyte_together_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    saved(tmp_path, *[np.zeros((2, 4))] * 2)
    refused([tmp_path], "holds more than 100 bytes of latents")


def test_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom unravel_lib.music import distributions\nfrom unravel_lib.statistics import measure\n"
        "print([name for name in ('torch', 'pandas', 'matplotlib', 'scipy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


# What is refused


def refused(paths: list[Path], *words: str) -> None:
    with pytest.raises(InputError) as caught:
        measure(paths)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_dims_are_refused_by_both_names(tmp_path: Path) -> None:
    refused(saved(tmp_path, np.zeros((8, 3)), np.zeros((16, 3))), "0.npy", "1.npy", "8", "16")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_not_finite_is_refused_by_name_and_place(tmp_path: Path, sizes: str, bad: float, dtype: str) -> None:
    values = np.zeros((2, 50))
    values[1, 33] = bad
    with np.errstate(over="ignore"):
        paths = saved(tmp_path, np.zeros((2, 3), dtype), values.astype(dtype))
    refused(paths, "1.npy", "dim 1", "frame 33")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Sidecar(model="a.ts", model_sha256="aa"), Sidecar(model="a.ts", model_sha256="bb")),
        (Sidecar(model="a.ts"), Sidecar(model="b.ts")),
        (Sidecar(model="a.ts", model_sha256="aa"), Sidecar(model="b.ts")),
        (Sidecar(model="a.ts"), Sidecar(model="b.ts", model_sha256="bb")),
        (Sidecar(sample_rate=44100), Sidecar(sample_rate=48000)),
        (Sidecar(compression=2048), Sidecar(compression=1024)),
        (Sidecar(dims=2), Sidecar(dims=3)),
    ],
)
def test_sidecars_that_disagree_are_refused(tmp_path: Path, one: Sidecar, other: Sidecar) -> None:
    paths = saved(tmp_path, *[np.zeros((2, 3))] * 3)
    write_sidecar(paths[0], one)
    write_sidecar(paths[2], other)
    refused(paths, "0.npy", "2.npy")


def test_both_exports_of_the_same_weights_are_one_model(tmp_path: Path) -> None:
    paths = saved(tmp_path, *[np.zeros((2, 3))] * 3)
    offline = Sidecar(model="a.ts", model_sha256="aa", weights_sha256="ww")
    write_sidecar(paths[0], offline)
    write_sidecar(paths[1], Sidecar(model="a_streaming.ts", model_sha256="bb", weights_sha256="ww", dims=2))
    assert common_facts({path: read_sidecar(path) for path in paths}) == replace(offline, dims=2)
    for other in ("vv", None):
        write_sidecar(paths[2], Sidecar(model="a.ts", model_sha256="cc", weights_sha256=other))
        refused(paths, "0.npy", "2.npy")


def test_a_mixture_of_models_is_told_by_name_and_number(tmp_path: Path) -> None:
    paths = saved(tmp_path, *[np.zeros((2, 3))] * 6)
    for path, model in zip(paths, [("a.ts", "a" * 64), ("b.ts", "b" * 64)] + [("a.ts", "c" * 64)] * 3, strict=False):
        write_sidecar(path, Sidecar(model=model[0], model_sha256=model[1]))
    with pytest.raises(InputError) as raised:
        common_facts({path: read_sidecar(path) for path in paths})
    assert str(raised.value) == (
        f"{paths[1]} has another model than {paths[0]}, by their sidecars (3 of a.ts cccccccc, 1 of a.ts aaaaaaaa, "
        "1 of b.ts bbbbbbbb): give encodings of one model (input)"
    )


def test_common_facts(tmp_path: Path) -> None:
    """Files without sidecar and silent sidecars disagree with nothing; a renamed model is the same model."""
    paths = saved(tmp_path, *[np.zeros((2, 3))] * 4)
    assert common_facts({path: read_sidecar(path) for path in paths}) == Sidecar()
    write_sidecar(paths[0], Sidecar(model_sha256="aa"))
    write_sidecar(paths[1], Sidecar(model="a.ts", model_sha256="aa", sample_rate=44100, seed=3, source="x.wav"))
    write_sidecar(paths[2], Sidecar(model="renamed.ts", model_sha256="aa", compression=2048, dims=2))
    wanted = Sidecar(model="a.ts", model_sha256="aa", sample_rate=44100, compression=2048, dims=2)
    assert common_facts({path: read_sidecar(path) for path in paths}) == wanted


# Tables


@pytest.fixture
def measured(tmp_path: Path) -> Statistics:
    rng = np.random.default_rng(11)
    return measure(saved(tmp_path, rng.normal(0, 1 / 3, (4, 60)), rng.normal(1, 2, (4, 30))), True)


def test_round_trip_to_the_last_digit(tmp_path: Path, measured: Statistics) -> None:
    paths = write_csv(measured, tmp_path)
    assert [path.name for path in paths] == ["statistics.csv", "quantiles.csv", "correlation.csv"]
    again = read_csv(paths[0], True)
    assert same(again, measured)
    assert again.encodings == ()
    np.testing.assert_array_equal(again.active_covariance, measured.active_covariance)
    classic = read_csv(paths[0], False)
    assert same(classic, replace(measured, iqr=False, robust_correlation=None))
    assert not same(classic, measured)


def test_pandas_reads_the_tables(tmp_path: Path, measured: Statistics) -> None:
    paths = write_csv(replace(measured, robust_correlation=None), tmp_path)
    table, quantiles, matrix = (pandas.read_csv(path, index_col="dim") for path in paths)
    assert table.index.tolist() == quantiles.index.tolist() == matrix.index.tolist() == [0, 1, 2, 3]
    assert len(table.columns) == 14, "what a person reads"
    np.testing.assert_array_equal(quantiles.to_numpy().T, measured.quantiles)
    columns = {"min": "minimum", "max": "maximum", "deviation": "robust_std", "beyond": "outlier_share"}
    for name in ("mean", "std", "min", "q1", "median", "q3", "max", "lower", "upper", "deviation", "beyond"):
        np.testing.assert_allclose(table[name], getattr(measured, columns.get(name, name)), rtol=1e-14)
    np.testing.assert_allclose(matrix.to_numpy(), measured.correlation, rtol=1e-14)


def edited(path: Path, change: Any) -> None:
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def set_cell(column: str, text: str) -> Any:
    def change(rows: list[list[str]]) -> None:
        rows[2][rows[0].index(column)] = text

    return change


TABLE = "statistics.csv"
QUANTILES = "quantiles.csv"
MATRIX = "correlation.csv"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (TABLE, set_cell("mean", "nan"), "finite"),
        (TABLE, set_cell("mean", "loud"), "numbers"),
        (TABLE, set_cell("std", "-1"), "std"),
        (TABLE, set_cell("frames", "7"), "frames"),
        (TABLE, set_cell("dim", "7"), "dim"),
        (TABLE, set_cell("beyond", "1.5"), "beyond"),
        (TABLE, set_cell("autocorrelation", "1.5"), "autocorrelation"),
        (TABLE, set_cell("median", "1000"), "of the same run"),
        (TABLE, set_cell("median", "0.1"), "of the same run"),
        (QUANTILES, set_cell("median", "0.1"), "min to max"),
        (QUANTILES, set_cell("p40", "1000"), "min to max"),
        (QUANTILES, lambda rows: rows[0].__setitem__(9, "x"), "lacks"),
        (QUANTILES, lambda rows: rows.pop(), "one row for each"),
        (TABLE, set_cell("mean", ""), "numbers"),
        (TABLE, lambda rows: rows[0].__setitem__(1, "average"), "'mean'"),
        (TABLE, lambda rows: rows[3].pop(), "numbers"),
        (TABLE, lambda rows: rows.__delitem__(slice(1, None)), "numbers"),
        (TABLE, lambda rows: rows.clear(), "numbers"),
        (TABLE, lambda rows: rows.pop(), "quantiles.csv"),
        (MATRIX, lambda rows: rows.pop(), "one row for each"),
        (MATRIX, set_cell("2", "0.123"), "symmetric"),
        (MATRIX, set_cell("1", "2"), "ones on the diagonal"),
        (MATRIX, set_cell("robust_0", "0.9"), "symmetric"),
        (MATRIX, lambda rows: rows[0].__setitem__(6, "x"), "lacks the column 'robust_1'.*iqr"),
    ],
)
def test_odd_tables_are_refused(tmp_path: Path, measured: Statistics, name: str, change: Any, words: str) -> None:
    path, *_ = write_csv(measured, tmp_path)
    edited(tmp_path / name, change)
    with pytest.raises(InputError, match=words) as caught:
        read_csv(path, True)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_foreign_tables_are_refused(tmp_path: Path, measured: Statistics) -> None:
    path, quantiles, beside = write_csv(replace(measured, robust_correlation=None, iqr=False), tmp_path)
    with pytest.raises(InputError) as error:
        read_csv(path, True)
    assert (error.value.path, error.value.remedy_options) == (beside, ("iqr",))
    for missing in (beside, quantiles):
        missing.unlink()
        with pytest.raises(InputError, match=f"{missing.name} cannot be read"):
            read_csv(path, False)
    path.write_bytes(b"\xff\x00\x93NUMPY")
    with pytest.raises(InputError, match="not a table"):
        read_csv(path, False)
    with pytest.raises(InputError, match="cannot be read"):
        read_csv(tmp_path, False)
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError):
        read_csv(path, False)


def test_tables_edited_by_a_spreadsheet_still_load(tmp_path: Path, measured: Statistics) -> None:
    """A byte order mark, Windows line ends, an empty last line, columns in another order."""
    path, *_ = write_csv(measured, tmp_path)
    edited(path, lambda rows: [row.reverse() for row in rows])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    assert same(read_csv(path, True), measured)


@pytest.mark.parametrize("dims", [1, 8, 128])
def test_report_is_an_aligned_table(tmp_path: Path, dims: int) -> None:
    values = np.random.default_rng(12).normal(0, 1, (dims, 50)) * np.geomspace(1e-6, 1e5, dims)[:, np.newaxis]
    found = measure(saved(tmp_path, values))
    head, *table, lag_1, beyond = report(found).split("\n")
    assert lag_1.startswith("lag-1: ") and beyond.startswith("beyond: ")
    assert "1 encoding, 50 frames" in head and f"{dims} dims" in head
    assert len(table) == dims + 1 and len({len(line) for line in table}) == 1 and len(table[0]) < 100
    titles = table[0].split()
    assert all(len(line.split()) == len(titles) for line in table)
    row = dict(zip(titles, table[-1].split(), strict=True))
    assert float(row["std"]) == pytest.approx(found.std[-1], rel=1e-2)
    assert float(row["beyond"].rstrip("%")) == pytest.approx(100 * found.outlier_share[-1], abs=0.006)


def test_report_tells_what_is_in_use(measured: Statistics) -> None:
    """With --iqr the mean and the deviation are out of use; what stands in for them is shown."""
    titles = report(measured).split("\n")[1].split()
    assert measured.iqr and not {"mean", "std"} & set(titles)
    assert titles[1:4] == ["median", "deviation", "lower"]
    assert report(replace(measured, iqr=False)).split("\n")[1].split()[1:3] == ["mean", "std"]


@pytest.mark.parametrize("column", ["mean", "std", "min", "max"])
def test_values_that_no_latents_have_are_refused(column: str, tmp_path: Path, measured: Statistics) -> None:
    """1e300 squared is no number, so that nothing can be drawn; what latents at the end of float32 have is taken."""
    path, *_ = write_csv(measured, tmp_path)
    edited(path, set_cell(column, "-1e300" if column == "min" else "1e300"))
    with pytest.raises(InputError, match=f"statistics.csv has values in {column} that are not .* float32: measure"):
        read_csv(path, False)
    widest = measure(saved(tmp_path, np.array([[1, -1, 1, -1]], np.float32) * np.finfo(np.float32).max))
    path, *_ = write_csv(widest, tmp_path)
    assert same(read_csv(path, False), widest)


@pytest.fixture(autouse=True)
def quiet_numpy() -> Iterator[None]:
    """A warning of numpy's would reach the musician as noise on stderr."""
    with np.errstate(all="raise", under="ignore"):
        yield


def test_what_is_no_latents_is_told() -> None:
    with pytest.raises(ValueError, match="latents has values that are not finite"):
        measure([[[0.0, 0.0], [0.0, np.nan]]])
    with pytest.raises(ValueError, match=r"latents has shape \(3,\)"):
        measure([[1.0, 2.0, 3.0]])
