"""How true generated latents are to recorded ones: distances between the two, and what to compare those with.

Files are arrays [frames, dims] in standard deviations of the recordings; no lag, no step and no window crosses from one
to the next. Generated ones come first, recorded ones second. The only random numbers are those of the generator that is
passed: it chooses windows where there are too many, and draws the frames of the ceiling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from unravel_lib.errors import InputError
from unravel_lib.latents import Latents
from unravel_lib.statistics.measure import Array
from unravel_lib.text import frames_text, table

Index = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

BLOCK = 64  # frames of the blocks of the floor
SEED = 0  # of the choice of windows
MAX_VALUES = 1 << 22  # compared per side; their windows take 128 MiB
LAGS = range(1, 17)  # of the autocorrelation, in frames
STEP_LAGS = range(5)  # of the cross-correlation of steps, in frames
WINDOW = 4  # frames of the windows of the two-sample test and of the search for copies
K = 5  # of the coverage, as its authors recommend
APART = 16  # frames, 0.75 s at 21.5 a second: windows of a file whose starts are no further apart are adjacent
MAX_DISTINCT = 4000  # windows per side where all are compared with all: 16 million distances
COPY = 1e-4  # root mean square difference, in standard deviations, up to which a window is a copy
NEAR_COPY = 0.05  # of the usual distance between recorded windows, up to which a window is a near copy
MAX_ASKED = 1000  # windows that are searched for near copies
MAX_USUAL = 250  # recorded windows that the usual distance is measured at


@dataclass(frozen=True)
class Fidelity:
    """Distances between generated and recorded latents. Each field has its line in the report: label, format, good.

    Attributes
    ----------
    marginal_ks : float, 0 to 1
        Kolmogorov-Smirnov distance of the values of a dim, mean of all dims.
    autocorrelation : float, 0 to 2
        Mean absolute difference of the autocorrelations at lags 1 to 16.
    step_cross_correlation : float, 0 to 2
        Mean absolute difference of the correlations between the steps of all pairs of dims at lags 0 to 4. Dim i
        before dim j and j before i are averaged, so that the direction of time does not matter here.
    step_ks : float, 0 to 1
        Kolmogorov-Smirnov distance of the step sizes, the Euclidean lengths of the steps of all dims.
    asymmetry : float, from 0
        Mean absolute difference of E[d^3] / E[d^2]^1.5 of the steps d, which changes its sign when time is reversed.
    nearest_neighbour : float, 0 to 1, or None
        How well windows of 4 frames are told apart, 0.5 not at all, below 0.5 for copies; `two_sample` explains it and
        when it is None.
    coverage : float, 0 to 1, or None
        Share of the recorded frames that have a generated one near them (Naeem et al. 2020); None as above.
    copied_share, near_copied_share : float, 0 to 1
        Share of the generated windows of 4 frames that are copies of recorded ones, or nearly (copies included).
    longest_copy : int
        Frames of the longest copied run.
    seam_percentile : float, 0 to 100, or None
        Where the step from the last frame to the first stands among the steps of its file, mean of all files. None
        for the floor and the ceiling, which are no loops.
    """

    marginal_ks: float = field(metadata={"line": ("values of each dim", ".3f", "low")})
    autocorrelation: float = field(metadata={"line": ("correlation over time", ".3f", "low")})
    step_cross_correlation: float = field(metadata={"line": ("steps of dims together", ".3f", "low")})
    step_ks: float = field(metadata={"line": ("sizes of steps", ".3f", "low")})
    asymmetry: float = field(metadata={"line": ("direction of time", ".3f", "low")})
    nearest_neighbour: float | None = field(metadata={"line": ("windows told apart", ".3f", "near 0.5; less: copies")})
    coverage: float | None = field(metadata={"line": ("recorded frames reached", ".3f", "high")})
    copied_share: float = field(metadata={"line": ("windows copied", ".3f", "0, unless copies are wanted")})
    near_copied_share: float = field(metadata={"line": ("windows nearly copied", ".3f", "0, unless copies are wanted")})
    longest_copy: int = field(metadata={"line": ("longest copy, frames", "d", "0, unless copies are wanted")})
    seam_percentile: float | None = field(metadata={"line": ("seam among the steps, percentile", ".0f", "below 95")})


def fidelity(generated: Sequence[Latents], recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how true generated latents are to recorded ones.

    Generate at least as many frames as the recordings have: fewer are compared with windows that lie further apart in
    time than their own, and small samples differ by chance.

    Parameters
    ----------
    generated, recorded : sequences of arrays [dims, frames]
        One array per file, all of the same dims. Of more than MAX_VALUES values a random choice of files is compared.
    rng : numpy.random.Generator
        Chooses windows.

    Raises
    ------
    InputError
        No file of one side has 4 frames.
    """
    files, others = _files(generated, "generated", rng), _files(recorded, "recorded", rng)
    return _compare(_scaled(files, others), _scaled(others, others), rng)


def floor(recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how far recordings are from themselves: every second block of 64 frames against the blocks between.

    Between two blocks of a recording 16 frames are left out, so that no window is adjacent to one of the other side. A
    recording that is shorter than a block is a block; where there is only one block, its halves are compared.

    Raises
    ------
    InputError
        The recordings have no two blocks of 4 frames.
    """
    files = _files(recorded, "recorded", rng)
    blocks = [file[i : i + BLOCK] for file in _scaled(files, files) for i in range(0, len(file), BLOCK + APART)]
    blocks = [block for block in blocks if len(block) >= WINDOW]
    if len(blocks) == 1:
        blocks = np.array_split(blocks[0], 2)
    if len(blocks[-1]) < WINDOW:
        has = frames_text(len(blocks[0]) + len(blocks[1]))
        raise InputError(f"the recorded latents have {has}, comparing them with themselves needs {2 * WINDOW} or more")
    return replace(_compare(blocks[1::2], blocks[::2], rng), seam_percentile=None)


def ceiling(recorded: Sequence[Latents], rng: np.random.Generator) -> Fidelity:
    """Measure how far draws that know no more than mean and standard deviation of each dim are from the recordings.

    The frames are independent and normal, as many per file as the recordings have.

    Raises
    ------
    InputError
        No recording has 4 frames.
    """
    files = _files(recorded, "recorded", rng)
    files = _scaled(files, files)
    everything = np.concatenate(files)
    mean, spread = everything.mean(axis=0), everything.std(axis=0)
    draws = [mean + spread * rng.standard_normal(file.shape) for file in files]
    return replace(_compare(draws, files, rng), seam_percentile=None)


def compared(generated: Sequence[Latents], recorded: Sequence[Latents]) -> dict[str, Fidelity]:
    """How true generated latents are to recorded ones: `value`, and the `floor` and `ceiling` to compare it with.

    The same latents give the same figures. Raises InputError as `fidelity` and `floor` do.
    """
    return {
        "value": fidelity(generated, recorded, np.random.default_rng(SEED)),
        "floor": floor(recorded, np.random.default_rng(SEED)),
        "ceiling": ceiling(recorded, np.random.default_rng(SEED)),
    }


def report(value: Fidelity, floor: Fidelity, ceiling: Fidelity) -> str:
    """Write the measures as an aligned table, one line each: the value, the floor, the ceiling and what is good."""
    rows = [["", "value", "floor", "ceiling", "good is"]]
    for measure in fields(Fidelity):
        label, form, good = measure.metadata["line"]
        values = (getattr(one, measure.name) for one in (value, floor, ceiling))
        rows.append([label, *("-" if one is None else format(one, form) for one in values), good])
    return table(rows)


def _files(latents: Sequence[Latents], what: str, rng: np.random.Generator) -> list[Array]:
    """The files as float64 [frames, dims], about MAX_VALUES values at most; one is long enough for a window."""
    longest = max((array.shape[1] for array in latents), default=0)
    if longest < WINDOW:
        raise InputError(f"the {what} latents have {frames_text(longest)} at most, comparing needs {WINDOW} or more")
    left = MAX_VALUES // len(latents[0])
    order = list(range(len(latents)))
    if sum(array.shape[1] for array in latents) > left:
        rng.shuffle(order)
    files = []
    for index in order:
        files.append(latents[index][:, :left].T.astype(np.float64, order="C"))
        left -= len(files[-1])
        if left < WINDOW:
            break
    return files


def _scaled(files: Sequence[Array], recorded: Sequence[Array]) -> list[Array]:
    """The files in standard deviations of all recorded frames; in their own unit where a dim of these never moves."""
    everything = np.concatenate(recorded)
    std = np.where(np.ptp(everything, axis=0) == 0, 1.0, everything.std(axis=0))
    return [file / std for file in files]


def _compare(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> Fidelity:
    """Compare generated files with recorded others [frames, dims], both in standard deviations."""
    near_copied_share, copied = copies(files, others, rng)
    dims = zip(np.concatenate(files).T, np.concatenate(others).T, strict=True)
    return Fidelity(
        marginal_ks=float(np.mean([ks(values, other) for values, other in dims])),
        autocorrelation=autocorrelation_error(files, others),
        step_cross_correlation=cross_correlation_error(files, others),
        step_ks=ks(*(np.linalg.norm(np.concatenate(steps(side)), axis=1) for side in (files, others))),
        asymmetry=float(np.abs(asymmetry(files) - asymmetry(others)).mean()),
        nearest_neighbour=two_sample(files, others, rng),
        coverage=coverage(files, others, rng),
        copied_share=float(np.mean(np.concatenate(copied))),
        near_copied_share=near_copied_share,
        longest_copy=longest_run(copied),
        seam_percentile=seam_percentile(files),
    )


def ks(values: Array, others: Array) -> float:
    """Measure the Kolmogorov-Smirnov distance of two samples, the largest difference of their distribution functions.

    `scipy.stats.ks_2samp` gives the same; importing `scipy.stats` takes longer than a small comparison.
    """
    values, others = np.sort(values), np.sort(others)
    at = np.concatenate([values, others])
    below = np.searchsorted(values, at, side="right") / len(values)
    return float(np.abs(below - np.searchsorted(others, at, side="right") / len(others)).max())


def steps(files: Sequence[Array]) -> list[Array]:
    """Return the differences of neighbouring frames, [frames - 1, dims] per file."""
    return [np.diff(file, axis=0) for file in files]


def autocorrelation_error(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Take the mean absolute difference of the autocorrelations of each dim at LAGS."""
    difference = lagged_correlation(files, LAGS) - lagged_correlation(others, LAGS)
    return float(np.nanmean(np.abs(np.diagonal(difference, axis1=1, axis2=2))))


def cross_correlation_error(files: Sequence[Array], others: Sequence[Array]) -> float:
    """Take the mean absolute difference of the correlations of the steps of all pairs of dims at STEP_LAGS."""
    difference = lagged_correlation(steps(files), STEP_LAGS) - lagged_correlation(steps(others), STEP_LAGS)
    return float(np.nanmean(np.abs(difference + difference.transpose(0, 2, 1))) / 2)


def lagged_correlation(files: Sequence[Array], lags: range) -> Array:
    """Measure the correlation of each dim with each dim so many frames later, [lags, dims, dims].

    All files share one mean and one variance. A dim that never moves has 0; NaN where no file is longer than the lag.
    """
    everything = np.concatenate(files)
    mean = everything.mean(axis=0)
    std = np.where(np.ptp(everything, axis=0) == 0, np.inf, everything.std(axis=0))
    scaled = [(file - mean) / std for file in files]
    found = np.full((len(lags), len(mean), len(mean)), np.nan)
    for place, lag in enumerate(lags):
        long = [file for file in scaled if len(file) > lag]
        if long:
            products = [file[: len(file) - lag].T @ file[lag:] for file in long]
            found[place] = np.sum(products, axis=0) / sum(len(file) - lag for file in long)
    return found


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
    rings = [np.linalg.norm(np.diff(file, axis=0, append=file[:1]), axis=1) for file in files if len(file) > 1]
    found = [50 * np.mean(1 + np.sign(sizes[-1] - sizes[:-1])) for sizes in rings]
    return float(np.mean(found)) if found else None


def all_windows(files: Sequence[Array], length: int) -> tuple[Array, Index]:
    """Return the windows of all files that are long enough as rows [n, length * dims], and of which file each is."""
    shape = length, files[0].shape[1]
    long = [file for file in files if len(file) >= length]
    rows = [np.lib.stride_tricks.sliding_window_view(file, shape).reshape(-1, shape[0] * shape[1]) for file in long]
    return np.concatenate(rows), np.repeat(np.arange(len(long)), [len(one) for one in rows])


def equal_rows(rows: Array) -> tuple[Index, Index]:
    """Find where each different row occurs first, and for every row which of those it equals."""
    values = np.ascontiguousarray(rows + 0.0)  # -0.0 becomes 0.0: equal values have equal bytes
    keys = values.view(np.dtype((np.void, values.shape[1] * values.itemsize)))[:, 0]
    _, first, label = np.unique(keys, return_index=True, return_inverse=True)
    return first, label


def balanced(
    files: Sequence[Array], others: Sequence[Array], length: int, rng: np.random.Generator
) -> list[tuple[Array, Flags]]:
    """Choose at random the same number of different windows from both sides, at most MAX_DISTINCT of each.

    Returns
    -------
    windows : float64 [n, length * dims], of each side
        No two of them are equal.
    adjacent : bool [n, n], of each side
        Pairs that are one moment of a file: each window with itself, and two whose starts are at most APART frames
        apart wherever they occur. A loop that repeats leaves each of its windows once, and the first ones of its
        second pass are adjacent to the last ones of its first.
    """
    sides = [all_windows(side, length) for side in (files, others)]
    distinct = [equal_rows(rows) for rows, _ in sides]
    n = min(MAX_DISTINCT, *(len(first) for first, _ in distinct))
    chosen = []
    for (rows, file), (first, label) in zip(sides, distinct, strict=True):
        kept = np.sort(rng.choice(len(first), n, replace=False))
        place = np.full(len(first), -1)
        place[kept] = np.arange(n)
        place = place[label]  # of every window: where its equal is among the chosen, -1 where it is not
        adjacent = np.eye(n, dtype=np.bool_)
        for lag in range(1, APART + 1):
            before, after = place[:-lag], place[lag:]
            both = (before >= 0) & (after >= 0) & (file[:-lag] == file[lag:])
            adjacent[before[both], after[both]] = adjacent[after[both], before[both]] = True
        chosen.append((rows[first[kept]], adjacent))
    return chosen


def distances(rows: Array, others: Array, left_out: Flags | None = None) -> Array:
    """Measure the Euclidean distances [n, n others] of rows; inf for pairs that are `left_out`.

    In many dims this is ten times as fast as `cdist`.
    """
    squares = np.dot(rows, -2 * others.T)
    squares += np.einsum("ij,ij->i", others, others)
    squares += np.einsum("ij,ij->i", rows, rows)[:, np.newaxis]
    found: Array = np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)
    if left_out is not None:
        found[left_out] = np.inf
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
    sides = balanced(files, others, WINDOW, rng)
    across = distances(sides[0][0], sides[1][0])
    shares = []
    for (windows, adjacent), foreign in zip(sides, (across.min(axis=1), across.min(axis=0)), strict=True):
        own = distances(windows, windows, adjacent).min(axis=1)
        counts = np.isfinite(own)
        if not counts.any():
            return None
        shares.append(np.where(own == foreign, 0.5, own < foreign)[counts].mean())
    return float(max(shares))


def coverage(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> float | None:
    """Measure which share of the other frames has one of the files' frames near it: nearer than its 5th neighbour.

    Coverage by Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), k = 5, on equally
    many different frames of both sides; 1 - 2^-5 = 0.97 is expected of equals. Neighbours within APART frames in the
    same file do not count; nor do frames without any other neighbour, and of those alone it is None. It looks at
    single frames: it says what is reached, and leaves it to the other measures in which order.
    """
    (frames, _), (recorded, adjacent) = balanced(files, others, 1, rng)
    own = distances(recorded, recorded, adjacent)
    nearest = np.partition(own, min(K, len(own)) - 1, axis=1)[:, :K]
    radius = nearest.max(axis=1, where=np.isfinite(nearest), initial=-1.0)  # the furthest of those that there are
    near = distances(recorded, frames).min(axis=1) <= radius
    return float(near[radius >= 0].mean()) if (radius >= 0).any() else None


def copies(files: Sequence[Array], others: Sequence[Array], rng: np.random.Generator) -> tuple[float, list[Flags]]:
    """Search windows of the files for those that the others have too: the share of near copies, and the copies.

    A copy differs from a recorded window by a root mean square of less than COPY standard deviations, which is far more
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
    tree = cKDTree(recorded[equal_rows(recorded)[0]])
    limit = COPY * np.sqrt(rows.shape[1])
    near = max(limit, NEAR_COPY * _usual_distance(recorded, recorded_file, rng))
    first, label = equal_rows(rows)
    copied = np.isfinite(tree.query(rows[first], distance_upper_bound=limit)[0])[label]
    asked = rng.choice(len(rows), min(MAX_ASKED, len(rows)), replace=False)
    share = np.isfinite(tree.query(rows[asked], distance_upper_bound=near)[0]).mean()
    return float(share), np.split(copied, np.flatnonzero(np.diff(file)) + 1)


def _usual_distance(rows: Array, file: Index, rng: np.random.Generator) -> float:
    """The median distance of a random choice of windows to the nearest that is not adjacent; 0 if none has one."""
    nearest = []
    for index in rng.choice(len(rows), min(MAX_USUAL, len(rows)), replace=False):
        found = cdist(rows[[index]], rows)[0]
        around = slice(max(0, index - APART), index + APART + 1)
        found[around][file[around] == file[index]] = np.inf
        nearest.append(found.min())
    known = np.array(nearest)[np.isfinite(nearest)]
    return float(np.median(known)) if len(known) else 0.0


def longest_run(copied: Sequence[Flags]) -> int:
    """Count the frames of the longest run of copied windows within a file."""
    runs = [sum(1 for _ in run) for flags in copied for is_copy, run in groupby(flags) if is_copy]
    return max(runs) + WINDOW - 1 if runs else 0
