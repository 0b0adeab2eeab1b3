"""What tells two groups of time series apart: values, correlation over time, steps, direction. No random numbers.

Files are arrays [frames, dims]; neither lags nor steps cross from one to the next.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LAGS = range(1, 17)  # of the autocorrelation, in frames
STEP_LAGS = range(5)  # of the cross-correlation of steps, in frames


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
