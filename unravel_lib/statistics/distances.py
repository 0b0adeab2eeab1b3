"""How far two groups of time series are from each other: values, correlation over time, steps, windows, copies.

Files are arrays [frames, dims]; no lag, no step and no window crosses from one to the next. Generated ones come first,
recorded ones second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

LAGS = range(1, 17)  # of the autocorrelation, in frames
STEP_LAGS = range(5)  # of the cross-correlation of steps, in frames
WINDOW = 4  # frames of the windows of the two-sample test and of the search for copies
K = 5  # of the coverage, as its authors recommend
APART = 16  # frames, 0.75 s at 21.5 a second: windows of a file whose starts are no further apart are adjacent
MAX_DISTINCT = 4000  # windows per side where all are compared with all: 16 million distances
BLOCK_VALUES = 1 << 21  # distances in memory at a time, 16 MiB
COPY = 1e-4  # root mean square difference, in standard deviations, up to which a window is a copy
NEAR_COPY = 0.05  # of the usual distance between recorded windows, up to which a window is a near copy
MAX_ASKED = 1000  # windows whose nearest recorded one is looked for among all, whatever its distance


def ks(values: Array, others: Array) -> float:
    """Measure the Kolmogorov-Smirnov distance of two samples, the largest difference of their distribution functions.

    `scipy.stats.ks_2samp` gives the same; importing `scipy.stats` takes longer than a small comparison.
    """
    values, others = np.sort(values), np.sort(others)
    at = np.concatenate([values, others])
    below = np.searchsorted(values, at, side="right") / len(values)
    return float(np.abs(below - np.searchsorted(others, at, side="right") / len(others)).max())


def marginal_ks(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Measure the Kolmogorov-Smirnov distance of each dim, and take the mean."""
    pairs = zip(np.concatenate(files).T, np.concatenate(others).T, strict=True)
    return float(np.mean([ks(values, other) for values, other in pairs]))


def step_ks(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Measure the Kolmogorov-Smirnov distance of the step sizes, the Euclidean lengths of the steps of all dims."""
    return ks(*(np.linalg.norm(np.concatenate(steps(side)), axis=1) for side in (files, others)))


def steps(files: Sequence[Array]) -> list[Array]:
    """Return the differences of neighbouring frames, [frames - 1, dims] per file."""
    return [np.diff(file, axis=0) for file in files]


def autocorrelation_error(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Take the mean absolute difference of the autocorrelations of each dim at LAGS."""

    def product(before: Array, after: Array) -> Array:
        return np.asarray(np.sum(before * after, axis=0))

    return _mean_difference(_lagged(files, LAGS, product), _lagged(others, LAGS, product))


def cross_correlation_error(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Take the mean absolute difference of the correlations of the steps of all pairs of dims at STEP_LAGS.

    Dim i before dim j and j before i are averaged, so that the direction of time does not matter here.
    """

    def product(before: Array, after: Array) -> Array:
        one_way: Array = np.dot(before.T, after)
        return (one_way + one_way.T) / 2

    return _mean_difference(_lagged(steps(files), STEP_LAGS, product), _lagged(steps(others), STEP_LAGS, product))


def _lagged(files: Sequence[Array], lags: range, product: Callable[[Array, Array], Array]) -> list[Array | None]:
    """For each lag the mean product of frames that far apart, in standard deviations; None where there are no pairs.

    All files share one mean and one variance. A dim that never moves has 0.
    """
    everything = np.concatenate(files)
    mean = everything.mean(axis=0)
    std = np.where(np.ptp(everything, axis=0) == 0, np.inf, everything.std(axis=0))
    scaled = [(file - mean) / std for file in files]
    found: list[Array | None] = []
    for lag in lags:
        long = [file for file in scaled if len(file) > lag]
        sums = [product(file[: len(file) - lag], file[lag:]) for file in long]
        found.append(np.sum(sums, axis=0) / sum(len(file) - lag for file in long) if long else None)
    return found


def _mean_difference(found: Sequence[Array | None], others: Sequence[Array | None]) -> float:
    """Over all lags that both have."""
    pairs = zip(found, others, strict=True)
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs if a is not None and b is not None]))


def asymmetry_error(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Take the mean absolute difference, over the dims, of the asymmetry of time."""
    return float(np.abs(asymmetry(files) - asymmetry(others)).mean())


def asymmetry(files: Sequence[Array]) -> Array:
    """Return E[d^3] / E[d^2]^1.5 of the steps d of each dim, [dims]; 0 for a dim that never moves.

    Positive where a dim rises fast and falls slowly; time reversed, it changes its sign (Ramsey & Rothman, "Time
    Irreversibility and Business Cycle Asymmetry", 1996; without the absolute value of the lag, which is 1).
    """
    found = np.concatenate(steps(files))
    power = np.mean(found**2, axis=0)
    return np.asarray(np.mean(found**3, axis=0) / np.where(power == 0, 1.0, power) ** 1.5)


def seam_percentile(files: Sequence[Array]) -> float | None:
    """Say where the step from the last frame to the first stands among the steps within, 0 to 100; mean of all files.

    Equal steps count half. None where no file has a step.
    """
    found = []
    for file in files:
        if len(file) > 1:
            inner = np.linalg.norm(np.diff(file, axis=0), axis=1)
            seam = np.linalg.norm(file[0] - file[-1])
            found.append(100 * (np.mean(inner < seam) + np.mean(inner <= seam)) / 2)
    return float(np.mean(found)) if found else None


def windows_of(frames: Array, length: int) -> Array:
    """Return all windows of one file [frames, dims] as rows [frames - length + 1, length * dims]; none if shorter."""
    dims = frames.shape[1]
    if len(frames) < length:
        return np.empty((0, length * dims))
    return np.lib.stride_tricks.sliding_window_view(np.ravel(frames), length * dims)[::dims]


def all_windows(files: Sequence[Array], length: int) -> tuple[Array, Index]:
    """Return the windows of all files [frames, dims] as rows, and the number of the file that each is from."""
    windows = [windows_of(file, length) for file in files]
    return np.concatenate(windows), np.repeat(np.arange(len(files)), [len(rows) for rows in windows])


@dataclass(frozen=True, eq=False)
class DistinctWindows:
    """Windows of one side, no two of them equal.

    Attributes
    ----------
    windows : float64 [n, length * dims]
    adjacent : bool [n, n]
        Pairs that are one moment of a file: each window with itself, and two whose starts are at most APART frames
        apart wherever they occur. A loop that repeats leaves each of its windows once, and the first ones of its
        second pass are adjacent to the last ones of its first.
    """

    windows: Array
    adjacent: Flags


def balanced(
    files: Sequence[Array], others: Sequence[Array], length: int, rng: np.random.Generator
) -> tuple[DistinctWindows, DistinctWindows]:
    """Choose at random the same number of different windows from both sides, at most MAX_DISTINCT of each."""
    rows, file = all_windows(files, length)
    other_rows, other_file = all_windows(others, length)
    equal, other_equal = equal_rows(rows), equal_rows(other_rows)
    n = min(MAX_DISTINCT, len(equal[0]), len(other_equal[0]))
    return _choose(rows, file, *equal, n, rng), _choose(other_rows, other_file, *other_equal, n, rng)


def _choose(rows: Array, file: Index, first: Index, label: Index, n: int, rng: np.random.Generator) -> DistinctWindows:
    kept = np.sort(rng.choice(len(first), n, replace=False))
    place = np.full(len(first), -1)
    place[kept] = np.arange(n)
    place = place[label]  # of every window: where its equal is among the chosen, -1 where it is not
    adjacent = np.eye(n, dtype=np.bool_)
    for lag in range(1, APART + 1):
        before, after = place[:-lag], place[lag:]
        both = (before >= 0) & (after >= 0) & (file[:-lag] == file[lag:])
        adjacent[before[both], after[both]] = adjacent[after[both], before[both]] = True
    return DistinctWindows(rows[first[kept]], adjacent)


def equal_rows(rows: Array) -> tuple[Index, Index]:
    """Find where each different row occurs first, and for every row which of those it equals."""
    values = np.ascontiguousarray(rows + 0.0)  # -0.0 becomes 0.0: equal values have equal bytes
    keys = values.view(np.dtype((np.void, values.shape[1] * values.itemsize)))[:, 0]
    _, first, label = np.unique(keys, return_index=True, return_inverse=True)
    return first, label


def nearest_distances(rows: Array, others: Array, k: int = 1, left_out: Flags | None = None) -> Array:
    """Measure the Euclidean distances [n, k] of each row to its k nearest others, nearest first; inf for those missing.

    Pairs that `left_out`, bool [n, n others], names do not count.
    """
    found = np.full((len(rows), k), np.inf)
    squares = np.einsum("ij,ij->i", others, others)
    k = min(k, len(others))
    step = max(1, BLOCK_VALUES // len(others))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        table = squares - 2 * np.dot(part, others.T)
        table += np.einsum("ij,ij->i", part, part)[:, np.newaxis]
        if left_out is not None:
            table[left_out[start : start + step]] = np.inf
        if k > 1:
            table = np.sort(np.partition(table, k - 1, axis=1)[:, :k], axis=1)
        else:  # 40 times as fast
            table = table.min(axis=1, keepdims=True)
        found[start : start + step, :k] = np.sqrt(np.maximum(table, 0.0))
    return found


def two_sample(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> float | None:
    """Measure how well a window's nearest neighbour says which side the window is from: 0.5 not at all, 1 always.

    The 1-nearest-neighbour test, leave-one-out (Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", 2017), on
    equally many windows of both sides. Less than 0.5 means that windows have their neighbours on the other side more
    often than chance gives: copies. Three things differ from the plain test:

    - The share that is right is taken of each side, and the larger one counts. In many dims the nearest neighbour
      of a window with noise is a window without: one side is nearly always right, the other nearly always wrong, and
      the share of all is 0.5 (Chen & Friedman, "A New Graph-Based Two-Sample Test for Multivariate and Object Data",
      2017). The same goes for latents that are shrunk or smoothed, with the sides exchanged.
    - Windows of one file are no neighbours when they start within APART frames of each other: a file would be
      recognised by the moments before and after. Between the blocks of the floor as many frames are left out.
    - Of equal windows of a side only one is used, with the times of all: a loop that repeats would be recognised by
      its other passes, silence by more silence.

    A window that has no neighbour left on its own side does not count. None where that is so of all windows of a
    side: a single file of at most APART + WINDOW frames, or a loop of at most 2 * APART + 1 that repeats.
    """
    a, b = balanced(files, others, WINDOW, rng)
    shares = []
    for side, other in ((a, b), (b, a)):
        own = nearest_distances(side.windows, side.windows, 1, side.adjacent)[:, 0]
        foreign = nearest_distances(side.windows, other.windows)[:, 0]
        counts = np.isfinite(own)
        if not counts.any():
            return None
        right = np.where(own == foreign, 0.5, own < foreign)
        shares.append(float(right[counts].mean()))
    return max(shares)


def coverage(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> float | None:
    """Measure which share of the other frames has one of the files' frames near it: nearer than its 5th neighbour.

    Coverage by Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), k = 5, on equally
    many different frames of both sides; 1 - 2^-5 = 0.97 is expected of equals. Neighbours within APART frames in the
    same file do not count; nor do frames without any other neighbour, and of those alone it is None. It looks at
    single frames: it says what is reached, and leaves it to the other measures in which order.
    """
    a, b = balanced(files, others, 1, rng)
    radius = nearest_distances(b.windows, b.windows, K, b.adjacent)
    radius = np.where(np.isfinite(radius), radius, -1.0).max(axis=1)  # the furthest of those that there are
    near = nearest_distances(b.windows, a.windows)[:, 0] <= radius
    return float(near[radius >= 0].mean()) if (radius >= 0).any() else None


def copies(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> tuple[float, list[Flags]]:
    """Search windows of the files for those that the others have too: the share of near copies, and the copies.

    A copy differs from a recorded window by a root mean square of at most COPY standard deviations, which is far more
    than rounding to float32. A near copy is nearer to one than NEAR_COPY of the usual distance between recorded
    windows, the median of those to the nearest window that is not adjacent.

    Returns
    -------
    share : float
        Of near copies, copies included, among a random choice of MAX_ASKED windows.
    copied : list of bool [n windows]
        For each file long enough for one, which of its windows are copies; all are searched.
    """
    rows, file = all_windows(files, WINDOW)
    recorded, recorded_file = all_windows(others, WINDOW)
    limit = COPY * np.sqrt(rows.shape[1])
    first, label = equal_rows(rows)
    tree = cKDTree(recorded[equal_rows(recorded)[0]])
    copied = np.isfinite(tree.query(rows[first], distance_upper_bound=limit)[0])[label]
    near = max(limit, NEAR_COPY * _usual_distance(recorded, recorded_file, rng))
    asked = rng.choice(len(rows), min(MAX_ASKED, len(rows)), replace=False)
    nearly = copied[asked] | (nearest_distances(rows[asked], recorded)[:, 0] <= near)
    return float(nearly.mean()), np.split(copied, np.flatnonzero(np.diff(file)) + 1)


def _usual_distance(rows: Array, file: Index, rng: np.random.Generator) -> float:
    """The median distance of a random choice of windows to the nearest that is not adjacent; 0 if none has one."""
    asked = rng.choice(len(rows), min(MAX_ASKED // 4, len(rows)), replace=False)
    adjacent = np.zeros((len(asked), len(rows)), np.bool_)
    for flags, index in zip(adjacent, asked, strict=True):
        near = slice(max(0, index - APART), index + APART + 1)
        flags[near] = file[near] == file[index]
    found = nearest_distances(rows[asked], rows, 1, adjacent)
    return float(np.median(found[np.isfinite(found)])) if np.isfinite(found).any() else 0.0


def longest_run(copied: Sequence[Flags]) -> int:
    """Count the frames of the longest run of copied windows within a file."""
    longest = 0
    for flags in copied:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
        longest = max(longest, *(edges[1::2] - edges[::2]), 0)
    return int(longest) + WINDOW - 1 if longest else 0
