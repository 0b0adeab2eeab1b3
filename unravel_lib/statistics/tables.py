"""Statistics as tables: three CSV files written and read back, and the table on the terminal."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import open_input
from unravel_lib.statistics.measure import FLOAT32_MAX, PERCENTS, Array, Statistics
from unravel_lib.text import count_text, frames_text, table

STATISTICS_CSV, QUANTILES_CSV, CORRELATION_CSV = TABLES = "statistics.csv", "quantiles.csv", "correlation.csv"
QUANTILE_NAMES = [{0: "min", 25: "q1", 50: "median", 75: "q3", 100: "max"}.get(p, f"p{p:g}") for p in PERCENTS]
FIVE_NUMBERS = ("min", "q1", "median", "q3", "max")
COLUMNS = ("mean", "std", *FIVE_NUMBERS, "lower", "upper", "deviation", "autocorrelation", "beyond", "frames", "files")
REPORTED = ("mean", "std", *FIVE_NUMBERS, "lag-1")
REPORTED_IQR = ("median", "deviation", "lower", "q1", "q3", "upper", "lag-1")
ATTRIBUTES = {  # of Statistics, where a column has another name
    "beyond": "outlier_share",
    "deviation": "robust_std",
    "min": "minimum",
    "max": "maximum",
    "lag-1": "autocorrelation",
}
LARGEST = 4 * FLOAT32_MAX  # of latents within float32 nothing measured is larger, not even one of Tukey's fences
AGAIN: dict[str, Any] = {"remedy": "measure the encodings again", "remedy_options": ("input",)}
WITH_IQR = {"remedy": "leave the option out, or measure the encodings again with it", "remedy_options": ("iqr",)}
LEGEND = """lag-1: how alike neighbouring frames are, from 1 (hardly moving) to 0 (noise)
beyond: share of frames below Q1 - 1.5 IQR or above Q3 + 1.5 IQR"""


def write_csv(statistics: Statistics, folder: Path) -> list[Path]:
    """Write the tables, with every digit; return their paths, in the order of TABLES.

    statistics.csv and quantiles.csv have a row per dim, correlation.csv has dims x dims values: Pearson's correlation
    in the columns 0, 1, ..., and with `iqr` the robust one in robust_0, robust_1, ... All load with
    `pandas.read_csv(path, index_col="dim")`.
    """
    names, matrix = _names(statistics.dims), statistics.correlation
    if statistics.robust_correlation is not None:
        names = [*names, *_names(statistics.dims, "robust_")]
        matrix = np.hstack([matrix, statistics.robust_correlation])
    _write_table(folder / STATISTICS_CSV, COLUMNS, [_column(statistics, name) for name in COLUMNS])
    _write_table(folder / QUANTILES_CSV, QUANTILE_NAMES, statistics.quantiles)
    _write_table(folder / CORRELATION_CSV, names, matrix.T)
    return [folder / name for name in TABLES]


def _names(dims: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{dim}" for dim in range(dims)]


def _column(statistics: Statistics, name: str) -> npt.NDArray[np.float64 | np.int64]:
    """A column [dims] of a table; what holds for all dims is repeated."""
    return np.broadcast_to(getattr(statistics, ATTRIBUTES.get(name, name)), statistics.dims)


def _write_table(path: Path, names: Sequence[str], columns: Array | Sequence[npt.NDArray[np.generic]]) -> None:
    rows = zip(range(len(columns[0])), *(column.tolist() for column in columns), strict=True)
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["dim", *names], *rows])


def read_csv(path: Path, iqr: bool) -> Statistics:
    """Read back what `write_csv` wrote: the same statistics to the last digit, but without encodings.

    Parameters
    ----------
    path : Path
        A statistics.csv; the other tables are looked for beside it.
    iqr : bool
        Use the robust statistics.

    Raises
    ------
    InputError
        A table is missing, incomplete or contradicts itself; or `iqr` with a table that was measured without.
    """
    columns = dict(zip(COLUMNS, _read_table(path, COLUMNS), strict=True))
    dims, frames, files = len(columns["mean"]), columns["frames"], columns["files"]
    others, matrices = path.with_name(QUANTILES_CSV), path.with_name(CORRELATION_CSV)
    statistics = Statistics(
        dims=dims,
        frames=int(frames[0]),
        files=int(files[0]),
        iqr=iqr,
        mean=columns["mean"],
        std=columns["std"],
        quantiles=_read_table(others, QUANTILE_NAMES, dims),
        correlation=_read_table(matrices, _names(dims), dims).T,
        autocorrelation=columns["autocorrelation"],
        outlier_share=columns["beyond"],
        robust_correlation=_read_table(matrices, _names(dims, "robust_"), dims, **WITH_IQR).T if iqr else None,
    )
    correlations = [statistics.correlation, statistics.active_correlation]
    for file, name, is_good in (
        (path, "std", statistics.std >= 0),
        (path, "autocorrelation", np.abs(statistics.autocorrelation) <= 1),
        (path, "beyond", np.abs(statistics.outlier_share - 0.5) <= 0.5),
        (path, "frames", (frames >= 1) & (frames == statistics.frames)),
        (path, "files", (files >= 1) & (files == statistics.files)),
        (others, "min to max", np.diff(statistics.quantiles, axis=0) >= 0),
        (matrices, "a correlation (symmetric, -1 to 1, ones on the diagonal)", [*map(_is_correlation, correlations)]),
    ):
        if not np.all(is_good):
            raise InputError(f"has impossible values in {name}", path=file, **AGAIN)
    if not all(np.array_equal(columns[name], _column(statistics, name)) for name in FIVE_NUMBERS):
        raise InputError(f"and {STATISTICS_CSV} have other quartiles", path=others, remedy="are they of the same run?")
    return statistics


def _is_correlation(matrix: Array) -> bool:
    return bool(np.allclose(matrix, matrix.T) and (np.abs(matrix) <= 1).all() and (np.diagonal(matrix) == 1).all())


def _read_table(path: Path, wanted: Sequence[str], dims: int | None = None, **remedy: Any) -> Array:
    """Read columns of a CSV file of numbers that has a row for each dim, [columns, dims]; refuse any other file."""
    try:
        with open_input(path) as file:
            header, *lines = filter(None, csv.reader(io.TextIOWrapper(file, newline="", encoding="utf-8-sig")))
        columns = dict(zip(header, np.array(lines, np.float64).T, strict=True))
    except (ValueError, csv.Error) as error:
        raise InputError("is not a table of numbers as generator.py writes it", path=path) from error
    for name in ("dim", *wanted):
        if name not in columns:
            found = f"lacks the column {name!r} of a table as generator.py writes it"
            raise InputError(found, path=path, **(remedy or AGAIN))
        if not (np.abs(columns[name]) <= LARGEST).all():
            raise InputError(f"has values in {name} that are not finite or beyond float32", path=path, **AGAIN)
    dims = dims or len(lines)
    if not np.array_equal(columns["dim"], np.arange(dims)):
        raise InputError(f"has not one row for each of {dims} dims", path=path, remedy="is it of the same run?")
    return np.array([columns[name] for name in wanted])


def report(statistics: Statistics) -> str:
    """Return the statistics in use as an aligned table of 80 columns, one line per dim, and what its columns are."""
    titles = REPORTED_IQR if statistics.iqr else REPORTED
    columns = [_column(statistics, title) for title in titles]
    rows = [["dim", *titles, "beyond"]]
    for dim, share in enumerate(statistics.outlier_share):
        rows.append([str(dim), *(f"{column[dim]:.3g}" for column in columns), f"{100 * share:.2f}%"])
    files = count_text(statistics.files, "encoding")
    view = "median and IQR" if statistics.iqr else "mean and standard deviation"
    head = f"{files}, {frames_text(statistics.frames)}, {statistics.dims} dims; in use: {view}"
    return f"{head}\n{table(rows, right=True)}\n{LEGEND}"
