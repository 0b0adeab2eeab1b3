"""Exact quantiles of latents, one dim at a time; a dim too long for memory is sorted slice by slice."""

import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from unravel_lib.statistics.encodings import (
    MOST_THREADS,
    Encoding,
    Floats,
    chunks,
    column_type,
    in_threads,
    read_dims,
    total_frames,
)
from unravel_lib.statistics.moments import Array

SORT_BYTES = 320 << 20  # a dim up to this size is held in memory, 84 million values of float32; two at a time
GROUP_BYTES = 128 << 20  # small dims are read together up to this size; larger ones are sorted in slices of it
RUN_VALUES = 1 << 22  # values sorted in one go, four times as fast as 80 million
SPACING = 1 << 10  # of so many values of a sorted run one is kept, to tell where a rank must lie
READ_VALUES = 1 << 22  # values of a long dim that are looked at in one go
PIVOTS = 1 << 10  # values kept of each sorted chunk, to choose the borders of slices from

Fences = Callable[[Array], tuple[Array, Array]]


def marginals(encodings: Sequence[Encoding], percents: Sequence[float], fences: Fences) -> tuple[Array, Array]:
    """Quantiles [len(percents), dims] of all frames, and the share [dims] of frames beyond the fences of each dim.

    Exact, linear between neighbouring values as `numpy.quantile` does. `fences` makes the lower and the upper bound
    out of the quantiles of one dim.
    """
    dims, count = encodings[0].shape[0], total_frames(encodings)
    result, beyond = np.empty((len(percents), dims)), np.empty(dims)
    dim_bytes = count * column_type(encodings).itemsize
    if dim_bytes > SORT_BYTES:
        for dim in range(dims):
            result[:, dim], beyond[dim] = _of_long_dim(encodings, dim, percents, fences)
        return result, beyond
    threads = min(MOST_THREADS, 2 * SORT_BYTES // dim_bytes)
    step = max(1, min(-(-dims // threads), GROUP_BYTES // dim_bytes))
    groups = [range(start, min(start + step, dims)) for start in range(0, dims, step)]

    buffers: SimpleQueue[Floats] = SimpleQueue()  # new memory for each group would have to be cleared first
    for _ in range(min(threads, len(groups))):
        buffers.put(np.empty((step, count), column_type(encodings)))

    def of_group(group: range) -> list[tuple[Array, float]]:
        buffer = buffers.get()
        try:
            rows = read_dims(encodings, group, buffer[: len(group)])
            return [_of_dim(row, percents, fences) for row in rows]
        finally:
            buffers.put(buffer)

    for group, found in zip(groups, in_threads(of_group, groups, threads), strict=True):
        for dim, (values, share) in zip(group, found, strict=True):
            result[:, dim], beyond[dim] = values, share
    return result, beyond


def _of_dim(row: Floats, percents: Sequence[float], fences: Fences) -> tuple[Array, float]:
    runs = [row[start : start + RUN_VALUES] for start in range(0, len(row), RUN_VALUES)]
    for run in runs:
        run.sort()
    values = _interpolated(percents, len(row), lambda ranks: _of_runs(runs, ranks))
    lower, upper = fences(values)
    # numpy's searchsorted would copy a run to compare it with a float64
    outside = sum(bisect.bisect_left(run, lower) + len(run) - bisect.bisect_right(run, upper) for run in runs)
    return values, outside / len(row)


def _of_runs(runs: Sequence[Floats], ranks: npt.NDArray[np.int64]) -> Floats:
    """The values at the places `ranks` (0-based) that all runs, each sorted, would have if sorted together.

    Regular sampling (Shi & Schaeffer, "Parallel sorting by regular sampling", 1992): every SPACING-th value of every
    run goes to a pool. Fewer than SPACING values of a run lie between two of its kept ones, so that two values of the
    pool enclose the wanted one with few others, and only these are sorted.
    """
    if len(runs) == 1:
        return runs[0][ranks]
    pool = np.sort(np.concatenate([run[::SPACING] for run in runs]))
    most = np.max([run[-1] for run in runs])
    # Below the j-th value of the pool (from 0) lie at most j * SPACING values; up to it, with itself, at least
    # (j + 1) * SPACING - len(runs) * (SPACING - 1).
    low = pool[ranks // SPACING]
    place = -(-(ranks + 1 + len(runs) * (SPACING - 1)) // SPACING) - 1
    high = np.append(pool, most)[np.minimum(place, len(pool))]
    begins = np.array([np.searchsorted(run, low, "right") for run in runs])
    ends = np.array([np.searchsorted(run, high, "left") for run in runs])
    inner = ranks - begins.sum(axis=0)  # places among the values between `low` and `high`
    result = np.where(inner < 0, low, high)
    for i in np.flatnonzero((inner >= 0) & (ranks < ends.sum(axis=0))):
        between = [run[begin:end] for run, begin, end in zip(runs, begins[:, i], ends[:, i], strict=True)]
        result[i] = np.partition(np.concatenate(between), inner[i])[inner[i]]
    return result


def _of_long_dim(
    encodings: Sequence[Encoding], dim: int, percents: Sequence[float], fences: Fences
) -> tuple[Array, float]:
    values = _interpolated(percents, total_frames(encodings), lambda ranks: _pick(encodings, dim, ranks))
    lower, upper = fences(values)
    outside = 0
    for _, chunk in chunks(encodings, dim, READ_VALUES):
        exact = chunk.astype(np.float64)
        outside += int(np.count_nonzero((exact < lower) | (exact > upper)))
    return values, outside / total_frames(encodings)


def _interpolated(percents: Sequence[float], count: int, pick: Callable[[npt.NDArray[np.int64]], Floats]) -> Array:
    """Quantiles out of the values that `pick` finds at given places (0-based) of the sorted dim."""
    places = np.array(percents) / 100 * (count - 1)
    left = np.floor(places).astype(np.int64)
    right = np.minimum(left + 1, count - 1)
    low, high = pick(np.concatenate([left, right])).astype(np.float64).reshape(2, -1)
    return np.minimum(low + (high - low) * (places - left), high)


def borders(encodings: Sequence[Encoding], dim: int, size: int) -> list[float]:
    """Values, ascending, between which lie at most about `size` others each, with -inf and +inf at the ends.

    Regular sampling (Shi & Schaeffer, "Parallel sorting by regular sampling", 1992): of every sorted chunk each
    m-th value is kept, so that between two kept ones lie fewer than m of that chunk. A value that occurs often is
    itself a border, and between two borders lie only values that are neither.
    """
    kept, waiting = [], []
    for place, chunk in chunks(encodings, dim, size):
        waiting.append(chunk)
        if place + len(chunk) == total_frames(encodings) or sum(map(len, waiting)) >= size:  # many files may be short
            together = np.concatenate(waiting)
            waiting.clear()
            together.sort()
            kept.append(together[:: max(1, size // PIVOTS)].copy())  # a view would keep all of it in memory
    pool = np.sort(np.concatenate(kept))
    step = PIVOTS * 7 // 8
    chosen = np.unique(pool[step::step])
    return [-np.inf, *chosen.tolist(), np.inf]


def _pick(encodings: Sequence[Encoding], dim: int, ranks: npt.NDArray[np.int64]) -> Floats:
    """The values at the places `ranks` of a sorted dim that is never in memory as a whole."""
    result = np.empty(len(ranks), column_type(encodings))
    start = 0
    for low, high in pairwise(borders(encodings, dim, GROUP_BYTES // result.itemsize)):
        inside, equal = [], 0
        for _, chunk in chunks(encodings, dim, READ_VALUES):
            inside.append(chunk[(chunk > low) & (chunk < high)])
            equal += int(np.count_nonzero(chunk == high))
        values = np.sort(np.concatenate(inside))
        here = (ranks >= start) & (ranks < start + len(values))
        result[here] = values[ranks[here] - start]
        start += len(values)
        result[(ranks >= start) & (ranks < start + equal)] = high
        start += equal
    return result
