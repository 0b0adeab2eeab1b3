"""Measure latents, keep the measure as a table, read it back. No random numbers."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unravel_lib.encodings import Encoding
from unravel_lib.errors import InputError
from unravel_lib.files import shown, write_whole
from unravel_lib.moments import FLOAT32_MAX, Array, moments
from unravel_lib.pieces import told
from unravel_lib.quantiles import marginals
from unravel_lib.ranks import robust_correlation
from unravel_lib.sidecar import Sidecar, read_sidecar
from unravel_lib.summary import PERCENTS, Statistics, fences

__all__ = ["Statistics", "common_facts", "measure", "read_csv", "report", "write_csv"]

STATISTICS_CSV, CORRELATION_CSV = "statistics.csv", "correlation.csv"
MEASURED = ("mean", "std", "autocorrelation", "beyond")
FOLLOWING = ("lower", "upper", "deviation")  # written for the eye; they follow from the quartiles
QUANTILE_NAMES = [{0: "min", 25: "q1", 50: "median", 75: "q3", 100: "max"}.get(p, f"p{p:g}") for p in PERCENTS]
EYE = ("min", "q1", "median", "q3", "max")
REPORTED = (
    ("mean", "mean"), ("std", "std"), ("min", "minimum"), ("q1", "q1"), ("median", "median"), ("q3", "q3"),
    ("max", "maximum"), ("lag-1", "autocorrelation"),
)  # fmt: skip
REPORTED_IQR = (
    ("median", "median"), ("deviation", "deviation"), ("lower", "lower"), ("upper", "upper"), ("min", "minimum"),
    ("q1", "q1"), ("q3", "q3"), ("max", "maximum"), ("lag-1", "autocorrelation"),
)  # fmt: skip
NAMED = 5  # models that are named where encodings of several are mixed
LARGEST = 2 * FLOAT32_MAX  # of latents within float32 nothing measured is larger, not even a deviation
COLUMNS = ["dim", *MEASURED[:2], *EYE, *FOLLOWING, *MEASURED[2:], "frames", "files"]
COLUMNS += [name for name in QUANTILE_NAMES if name not in EYE]


def measure(paths: Sequence[Path], iqr: bool = False) -> Statistics:
    """Measure all frames of all encodings, exactly, without ever holding more than a part of them in memory.

    Parameters
    ----------
    paths : sequence of Path
        Latents files of the same model.
    iqr : bool
        Also measure the robust correlation, and let the robust view be in use.

    Raises
    ------
    InputError
        A file is not a latents file, holds NaN or Inf, has other dims than the first, or comes from another model.
    """
    common_facts(paths)
    encodings = tuple(Encoding.of(path) for path in paths)
    first = encodings[0]
    for encoding in encodings:
        if encoding.shape[0] != first.shape[0]:
            raise InputError(
                f"{shown(encoding.path)} has {encoding.shape[0]} dims, {shown(first.path)} has {first.shape[0]}: "
                "give --input encodings of one model"
            )
    found = moments(encodings)
    quantiles, beyond = marginals(encodings, PERCENTS, fences)
    return Statistics(
        dims=first.shape[0],
        frames=found.frames,
        files=len(encodings),
        iqr=iqr,
        mean=found.mean,
        std=found.std,
        correlation=found.correlation,
        autocorrelation=found.autocorrelation,
        quantiles=quantiles,
        beyond=beyond,
        robust_correlation=robust_correlation(encodings) if iqr else None,
        arrays=encodings,
    )


def common_facts(paths: Sequence[Path]) -> Sidecar:
    """What the sidecars of these files agree on: sample_rate, compression, dims, model and its SHA-256.

    A fact that no sidecar states is None; a file without sidecar says nothing and disagrees with nothing. The offline
    and the streaming export of the same weights are one model; the first of them is named. Works for the sidecar of a
    statistics.csv as well.

    Raises
    ------
    InputError
        Two sidecars name different models, rates, compressions or dims.
    """
    known: dict[str, tuple[Any, Path]] = {}
    sidecars = {path: read_sidecar(path) or Sidecar() for path in paths}
    marks = ("model_sha256", "weights_sha256")
    for path, sidecar in sidecars.items():
        same_model = any(name in known and known[name][0] == getattr(sidecar, name) for name in marks)
        for name in (*marks, "model", "sample_rate", "compression", "dims"):
            fact = getattr(sidecar, name)
            if fact is None:
                continue
            before, source = known.setdefault(name, (fact, path))
            # a model may have been renamed, or be the other export of the same weights
            if fact != before and not (same_model and name in ("model", "model_sha256")):
                if name in (*marks, "model"):
                    raise InputError(_mixture(sidecars))
                raise InputError(
                    f"{shown(path)} has {name} {fact!s:.70}, {shown(source)} has {before!s:.70} (by their sidecars): "
                    "give --input encodings of one model"
                )
    return Sidecar(**{name: fact for name, (fact, _) in known.items()})


def _mixture(sidecars: Mapping[Path, Sidecar]) -> str:
    """Which models made these files, and how many each."""
    counts: Counter[tuple[str | None, str | None]] = Counter()
    first: dict[tuple[str | None, str | None], Path] = {}
    for path, sidecar in sidecars.items():
        if sidecar.model_sha256 or sidecar.model:
            counts[sidecar.model_sha256, sidecar.model] += 1
            first.setdefault((sidecar.model_sha256, sidecar.model), path)
    names = Counter(name for _, name in counts)
    parts = []
    for (sha256, name), count in counts.most_common(NAMED):
        alike = f" {(sha256 or 'unknown')[:8]}" if name is None or names[name] > 1 else ""
        files = "1 file" if count == 1 else f"{count} files"
        parts.append(f"{files} of {shown(name or 'a model')}{alike} (such as {shown(first[sha256, name])})")
    more = f" and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    return (
        f"these are encodings of different models, by their sidecars: {', '.join(parts)}{more}: give --input encodings "
        "of one model"
    )


def write_csv(statistics: Statistics, folder: Path) -> list[Path]:
    """Write statistics.csv (a row per dim) and correlation.csv (dims x dims), with every digit; return their paths.

    In correlation.csv the columns 0, 1, ... hold Pearson's correlation; with `iqr` the columns robust_0, robust_1,
    ... follow. Both load with `pandas.read_csv(path, index_col="dim")`. (The standard library writes them here,
    because importing pandas takes longer than all the rest of a small run.)
    """
    columns = {name: getattr(statistics, name) for name in (*MEASURED, *FOLLOWING)}
    columns |= dict(zip(QUANTILE_NAMES, statistics.quantiles, strict=True))
    columns |= {name: np.full(statistics.dims, getattr(statistics, name)) for name in ("frames", "files")}
    columns["dim"] = np.arange(statistics.dims)
    rows = zip(*(columns[name].tolist() for name in COLUMNS), strict=True)
    tables = [(STATISTICS_CSV, COLUMNS, list(rows))]
    names = [str(dim) for dim in range(statistics.dims)]
    matrix = statistics.correlation
    if statistics.robust_correlation is not None:
        names += [f"robust_{dim}" for dim in range(statistics.dims)]
        matrix = np.hstack([matrix, statistics.robust_correlation])
    tables.append((CORRELATION_CSV, ["dim", *names], [(dim, *row) for dim, row in enumerate(matrix.tolist())]))
    for name, header, lines in tables:
        with write_whole(folder / name) as part, open(part, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *lines])
    return [folder / name for name, _, _ in tables]


def read_csv(path: Path, iqr: bool) -> Statistics:
    """Read back what `write_csv` wrote: the same statistics to the last digit, but for `arrays`.

    Parameters
    ----------
    path : Path
        A statistics.csv; its correlation.csv is looked for beside it.
    iqr : bool
        Let the robust view be in use.

    Raises
    ------
    InputError
        A table is missing, incomplete or contradicts itself; or `iqr` with a table that was measured without.
    """
    columns = _table(path, COLUMNS)
    dims = len(columns["dim"])
    quantiles = np.array([columns[name] for name in QUANTILE_NAMES])
    beside = path.with_name(CORRELATION_CSV)
    matrix = _matrices(beside, dims)
    if iqr and len(matrix) == 1:
        raise InputError(
            f"{shown(beside)} has no robust correlation, it was measured without --iqr: leave out --iqr, or measure "
            "the encodings again by --input and --iqr"
        )
    frames, files = columns["frames"], columns["files"]
    sound = {
        "dim": np.array_equal(columns["dim"], np.arange(dims)),
        "frames": (frames == frames[0]).all() and frames[0] >= 1 and frames[0] % 1 == 0,
        "files": (files == files[0]).all() and files[0] >= 1 and files[0] % 1 == 0,
        "std": (columns["std"] >= 0).all(),
        "autocorrelation": (np.abs(columns["autocorrelation"]) <= 1).all(),
        "beyond": ((columns["beyond"] >= 0) & (columns["beyond"] <= 1)).all(),
        "min to max": (np.diff(quantiles, axis=0) >= 0).all(),
    }
    for name in (*MEASURED, *QUANTILE_NAMES):
        if np.abs(columns[name]).max() > LARGEST:
            raise InputError(f"{shown(path)} has values beyond float32 in {name}: write it anew by --input")
    for name, good in sound.items():
        if not good:
            raise InputError(f"{shown(path)} has impossible values in {name}: write it anew by --input")
    return Statistics(
        dims=dims,
        frames=int(frames[0]),
        files=int(files[0]),
        iqr=iqr,
        quantiles=quantiles,
        correlation=matrix[0],
        robust_correlation=matrix[1] if iqr else None,
        mean=columns["mean"],
        std=columns["std"],
        autocorrelation=columns["autocorrelation"],
        beyond=columns["beyond"],
    )


def _matrices(path: Path, dims: int) -> list[Array]:
    """Pearson's and, if it is there, the robust correlation [dims, dims] out of a correlation.csv."""
    classic = [f"{dim}" for dim in range(dims)]
    robust = [f"robust_{dim}" for dim in range(dims)]
    columns = _table(path, ["dim", *classic])
    if not np.array_equal(columns["dim"], np.arange(dims)):
        raise InputError(f"{shown(path)} has not one row for each of {dims} dims: is it of the same run?")
    kinds = [classic, robust] if robust[-1] in columns else [classic]
    found = [np.stack([columns[name] for name in names if name in columns], axis=1) for names in kinds]
    for matrix in found:
        if matrix.shape != (dims, dims) or not (
            np.allclose(matrix, matrix.T) and (np.abs(matrix) <= 1).all() and (np.diagonal(matrix) == 1).all()
        ):
            raise InputError(
                f"{shown(path)} is no correlation matrix (symmetric, -1 to 1, ones on the diagonal): write it anew by "
                "--input"
            )
    return found


def _table(path: Path, wanted: Sequence[str]) -> dict[str, Array]:
    """The columns of a CSV file of numbers; those that are wanted must be there."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *lines = [line for line in csv.reader(file) if line] or [[]]
            rows = np.array([[float(cell) for cell in line] for line in lines])
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}: give the statistics.csv of a run") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{shown(path)} is not a table of numbers as generator.py writes it") from error
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(f"{shown(path)} lacks the column {missing[0]!r} of a table as generator.py writes it")
    if rows.shape != (len(lines), len(header)) or not rows.size or not np.isfinite(rows).all():
        raise InputError(f"{shown(path)} is incomplete: expected rows of {len(header)} finite numbers")
    return dict(zip(header, rows.T, strict=True))


def report(statistics: Statistics) -> str:
    """The statistics as an aligned table for the terminal, one line per dim: those of the view in use."""
    columns: list[tuple[str, list[str]]] = [("dim", [str(dim) for dim in range(statistics.dims)])]
    shares = [f"{100 * share:.2f}%" for share in statistics.beyond]
    for title, name in REPORTED_IQR if statistics.iqr else REPORTED:
        values: Array = getattr(statistics, name)
        columns.append((title, [f"{value:.4g}" for value in values]))
    columns.append(("beyond", shares))
    widths = [max(len(cell) for cell in (title, *cells)) for title, cells in columns]
    lines = zip(*([title, *cells] for title, cells in columns), strict=True)
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    files = f"{statistics.files} encoding{'s' if statistics.files > 1 else ''}"
    view = "median and IQR (--iqr)" if statistics.iqr else "mean and standard deviation"
    return "\n".join([f"{files}, {told(statistics.frames)}, {statistics.dims} dims; in use: {view}", *table])
