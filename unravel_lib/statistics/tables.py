"""Statistics as tables: three CSV files written and read back, and the table on the terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
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
MEASURED = ("mean", "std", "autocorrelation", "beyond")
DERIVED = ("lower", "upper", "deviation")  # written for readers; computed from the quartiles
QUANTILE_NAMES = [{0: "min", 25: "q1", 50: "median", 75: "q3", 100: "max"}.get(p, f"p{p:g}") for p in PERCENTS]
FIVE_NUMBERS = ("min", "q1", "median", "q3", "max")
REPORTED = ("mean", "std", *FIVE_NUMBERS, "lag-1")
REPORTED_IQR = ("median", "deviation", "lower", "q1", "q3", "upper", "lag-1")
ATTRIBUTES = {  # of Statistics, where a column has another name
    "beyond": "outlier_share",
    "deviation": "robust_std",
    "min": "minimum",
    "max": "maximum",
    "lag-1": "autocorrelation",
}
LARGEST = 2 * FLOAT32_MAX  # of latents within float32 nothing measured is larger, not even a deviation
COLUMNS = ["dim", *MEASURED[:2], *FIVE_NUMBERS, *DERIVED, *MEASURED[2:], "frames", "files"]
_AGAIN: dict[str, Any] = {"remedy": "measure the encodings again", "remedy_options": ("input",)}
LEGEND = """lag-1: how alike neighbouring frames are, from 1 (hardly moving) to 0 (noise)
beyond: share of frames below Q1 - 1.5 IQR or above Q3 + 1.5 IQR"""


def write_csv(statistics: Statistics, folder: Path) -> list[Path]:
    """Write the tables, with every digit; return their paths, in the order of TABLES.

    statistics.csv and quantiles.csv have a row per dim, correlation.csv has dims x dims values: Pearson's correlation
    in the columns 0, 1, ..., and with `iqr` the robust one in robust_0, robust_1, ... All load with
    `pandas.read_csv(path, index_col="dim")`.
    """
    dims = np.arange(statistics.dims)
    columns = {name: getattr(statistics, ATTRIBUTES.get(name, name)) for name in (*MEASURED, *DERIVED)}
    columns |= dict(zip(QUANTILE_NAMES, statistics.quantiles, strict=True))
    columns |= {name: np.full(statistics.dims, getattr(statistics, name)) for name in ("frames", "files")}
    columns["dim"] = dims
    matrices = dict(zip(map(str, dims), statistics.correlation.T, strict=True))
    if statistics.robust_correlation is not None:
        matrices |= {f"robust_{dim}": column for dim, column in zip(dims, statistics.robust_correlation.T, strict=True)}
    _write_table(folder / STATISTICS_CSV, {name: columns[name] for name in COLUMNS})
    _write_table(folder / QUANTILES_CSV, {name: columns[name] for name in ("dim", *QUANTILE_NAMES)})
    _write_table(folder / CORRELATION_CSV, {"dim": dims, **matrices})
    return [folder / name for name in TABLES]


def _write_table(path: Path, columns: Mapping[str, Array | npt.NDArray[np.int64]]) -> None:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([[*columns], *rows])


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
    columns, others = _table(path, COLUMNS), path.with_name(QUANTILES_CSV)
    _refuse_impossible(path, columns)
    quantiles = _table(others, ["dim", *QUANTILE_NAMES])
    if not all(np.array_equal(quantiles[name], columns[name]) for name in ("dim", *FIVE_NUMBERS)):
        found = f"and {STATISTICS_CSV} have other quartiles"
        raise InputError(found, path=others, remedy="are they of the same run?")
    columns |= quantiles
    _refuse_impossible(others, columns)
    dims = len(columns["dim"])
    beside = path.with_name(CORRELATION_CSV)
    matrix = _matrices(beside, dims)
    if iqr and len(matrix) == 1:
        remedy = "leave the option out, or measure the encodings again with it"
        raise InputError("has no robust correlation", path=beside, remedy=remedy, remedy_options=("iqr",))
    return Statistics(
        dims=dims,
        frames=int(columns["frames"][0]),
        files=int(columns["files"][0]),
        iqr=iqr,
        quantiles=np.array([columns[name] for name in QUANTILE_NAMES]),
        correlation=matrix[0],
        robust_correlation=matrix[1] if iqr else None,
        mean=columns["mean"],
        std=columns["std"],
        autocorrelation=columns["autocorrelation"],
        outlier_share=columns["beyond"],
    )


def _refuse_impossible(path: Path, columns: dict[str, Array]) -> None:
    for name in (*MEASURED, *QUANTILE_NAMES):
        if name in columns and np.abs(columns[name]).max() > LARGEST:
            raise InputError(f"has values beyond float32 in {name}", path=path, **_AGAIN)
    quantiles = [columns[name] for name in QUANTILE_NAMES if name in columns]
    frames, files = columns["frames"], columns["files"]
    possible = {
        "dim": np.array_equal(columns["dim"], np.arange(len(columns["dim"]))),
        "frames": (frames == frames[0]).all() and frames[0] >= 1 and frames[0] % 1 == 0,
        "files": (files == files[0]).all() and files[0] >= 1 and files[0] % 1 == 0,
        "std": (columns["std"] >= 0).all(),
        "autocorrelation": (np.abs(columns["autocorrelation"]) <= 1).all(),
        "beyond": ((columns["beyond"] >= 0) & (columns["beyond"] <= 1)).all(),
        "min to max": (np.diff(quantiles, axis=0) >= 0).all(),
    }
    for name, good in possible.items():
        if not good:
            raise InputError(f"has impossible values in {name}", path=path, **_AGAIN)


def _matrices(path: Path, dims: int) -> list[Array]:
    """Read Pearson's and, if it is there, the robust correlation [dims, dims] out of a correlation.csv."""
    classic = [f"{dim}" for dim in range(dims)]
    robust = [f"robust_{dim}" for dim in range(dims)]
    columns = _table(path, ["dim", *classic])
    if not np.array_equal(columns["dim"], np.arange(dims)):
        raise InputError(f"has not one row for each of {dims} dims", path=path, remedy="is it of the same run?")
    kinds = [classic, robust] if robust[-1] in columns else [classic]
    found = [np.stack([columns[name] for name in names if name in columns], axis=1) for names in kinds]
    for matrix in found:
        if matrix.shape != (dims, dims) or not (
            np.allclose(matrix, matrix.T) and (np.abs(matrix) <= 1).all() and (np.diagonal(matrix) == 1).all()
        ):
            raise InputError("is no correlation matrix (symmetric, -1 to 1, ones on the diagonal)", path=path, **_AGAIN)
    return found


def _table(path: Path, wanted: Sequence[str]) -> dict[str, Array]:
    """Read the columns of a CSV file of numbers; refuse a file without the wanted ones."""
    try:
        with open_input(path) as file:
            text = io.TextIOWrapper(file, newline="", encoding="utf-8-sig")
            header, *lines = [line for line in csv.reader(text) if line] or [[]]
            rows = np.array([[float(cell) for cell in line] for line in lines])
    except (ValueError, csv.Error) as error:
        raise InputError("is not a table of numbers as generator.py writes it", path=path) from error
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(f"lacks the column {missing[0]!r} of a table as generator.py writes it", path=path)
    if rows.shape != (len(lines), len(header)) or not rows.size or not np.isfinite(rows).all():
        raise InputError("is incomplete", path=path, expected=f"rows of {len(header)} finite numbers")
    return dict(zip(header, rows.T, strict=True))


def report(statistics: Statistics) -> str:
    """Return the statistics in use as an aligned table of 80 columns, one line per dim, and what its columns are."""
    titles = REPORTED_IQR if statistics.iqr else REPORTED
    columns = [getattr(statistics, ATTRIBUTES.get(title, title)) for title in titles]
    rows = [["dim", *titles, "beyond"]]
    for dim, share in enumerate(statistics.outlier_share):
        rows.append([str(dim), *(f"{column[dim]:.3g}" for column in columns), f"{100 * share:.2f}%"])
    files = count_text(statistics.files, "encoding")
    view = "median and IQR" if statistics.iqr else "mean and standard deviation"
    head = f"{files}, {frames_text(statistics.frames)}, {statistics.dims} dims; in use: {view}"
    return f"{head}\n{table(rows, right=True)}\n{LEGEND}"
