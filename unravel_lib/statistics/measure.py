"""Measure latents: moments, quantiles and rank correlation of all frames of all files. No random numbers.

All but the rank correlation is exact. At most one dim of all files is in memory at a time.
"""

import bisect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.statistics.encodings import Encoding, read_dim, total_frames
from unravel_lib.statistics.sources import common_facts
from unravel_lib.statistics.summary import FLOAT32_MAX, PERCENTS, Array, Statistics, fences
from unravel_lib.text import printable

MAX_FRAMES = 1 << 29  # 2 GiB a dim as float32; at 21.5 frames a second 289 days of sound
MAX_RANKED = 1 << 26  # values that are ranked, 512 MiB of ranks; of more frames every n-th is ranked
NO_SPREAD = 1e-12  # a spread below this share of the whole is rounding

log = logging.getLogger("unravel_lib")


def measure(latents: Sequence[str | Path | npt.ArrayLike], iqr: bool = False) -> Statistics:
    """Measure all frames of all encodings.

    Parameters
    ----------
    latents : sequence of paths or arrays
        Latents files of the same model, or values [dims, frames].
    iqr : bool
        Also measure the robust correlation, and use the robust statistics.

    Raises
    ------
    InputError
        A file is not a latents file, holds NaN or Inf, has other dims than the first, or comes from another model;
        or they have more than MAX_FRAMES frames together.
    """
    common_facts([Path(file) for file in latents if isinstance(file, (str, Path))])
    encodings = tuple(Encoding.of(one) for one in latents)
    first = encodings[0]
    for encoding in encodings:
        if encoding.shape[0] != first.shape[0]:
            raise InputError(
                f"{printable(encoding.path)} has {encoding.shape[0]} dims, {printable(first.path)} has "
                f"{first.shape[0]}: give `input` encodings of one model"
            )
    if total_frames(encodings) > MAX_FRAMES:
        raise InputError(f"{total_frames(encodings):,} frames are too many to measure, at most {MAX_FRAMES:,}")
    found = moments(encodings)
    quantiles, outlier_share = marginals(encodings)
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
        outlier_share=outlier_share,
        robust_correlation=robust_correlation(encodings) if iqr else None,
        encodings=encodings,
    )


class RunningMoments:
    """Count, mean and sum of squared deviations of blocks of values, merged block by block.

    The pairwise update of Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979): no digits are lost to a mean that is large beside the deviations. `squares` makes the sum of
    squares out of one deviation from the mean.
    """

    def __init__(self, squares: Callable[[Array], Array]) -> None:
        self.squares = squares
        self.count = 0
        self.mean: Array = np.zeros(())
        self.sum: Array = np.zeros(())

    def add(self, count: int, mean: Array, total: Array) -> None:
        """Merge a block of `count` values with its own mean and its own sum of squared deviations from that."""
        if count == 0:
            return
        both = self.count + count
        delta = mean - self.mean
        self.sum = self.sum + total + self.squares(delta) * (self.count * count / both)
        self.mean = self.mean + delta * (count / both)
        self.count = both


@dataclass(frozen=True)
class Moments:
    """Results of one pass over the frames; arrays are [dims], the correlation is [dims, dims]."""

    frames: int
    mean: Array
    std: Array
    correlation: Array
    autocorrelation: Array


def moments(encodings: Sequence[Encoding]) -> Moments:
    """Measure mean, standard deviation, correlation and lag-1 autocorrelation of all frames.

    The standard deviation has ddof=1 and is 0 for a single frame. A constant dim has correlation 0 with every
    other, and 1 with itself. The autocorrelation is Pearson's correlation of all neighbouring frames (x[t], x[t + 1])
    within a file; 0 where there are fewer than two pairs or the dim is constant.

    Raises
    ------
    InputError
        NaN, Inf or a value beyond float32, by file, dim and frame.
    """
    spread = RunningMoments(lambda delta: np.outer(delta, delta))
    pairs = RunningMoments(lambda delta: np.stack([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]]))
    dims = encodings[0].shape[0]
    low, high = np.full(dims, np.inf), np.full(dims, -np.inf)
    for encoding in encodings:
        before: Array | None = None
        for block in encoding.blocks():
            low, high = np.minimum(low, block.min(axis=1)), np.maximum(high, block.max(axis=1))
            if not max(abs(low.min()), abs(high.max())) <= FLOAT32_MAX:  # also true for NaN
                encoding.refuse_not_finite()
            values = block.astype(np.float64)
            _add_block(spread, pairs, values)
            if before is not None:  # the pair that spans two blocks
                pairs.add(1, np.stack([before, values[:, 0]]), np.zeros((3, dims)))
            before = values[:, -1]
    constant = (low == high) | (np.diagonal(spread.sum) == 0)  # exactly 0: rounding would give a deviation of 1e-17
    std = np.where(constant, 0.0, np.sqrt(np.diagonal(spread.sum) / max(spread.count - 1, 1)))
    mean = np.where(low == high, low, spread.mean)
    return Moments(spread.count, mean, std, correlation_of(spread.sum, constant), _autocorrelation(pairs, constant))


def _add_block(spread: RunningMoments, pairs: RunningMoments, values: Array) -> None:
    """Add a block [dims, n] of neighbouring frames, and its n - 1 pairs of neighbours."""
    mean = values.mean(axis=1)
    deviations = values - mean[:, np.newaxis]
    mean = mean + deviations.mean(axis=1)
    products = np.dot(deviations, deviations.T)
    spread.add(values.shape[1], mean, products)
    count = values.shape[1] - 1
    if count:
        first, last, squares = values[:, 0] - mean, values[:, -1] - mean, np.diagonal(products)
        # the deviations sum to 0, so all but the last frame sum to -last, and all but the first to -first
        means = np.stack([-last, -first]) / count
        ahead = np.einsum("ij,ij->i", deviations[:, :-1], deviations[:, 1:])
        sums = np.stack([squares - last**2, squares - first**2, ahead])
        pairs.add(count, mean + means, sums - count * pairs.squares(means))


def _autocorrelation(pairs: RunningMoments, constant: npt.NDArray[np.bool_]) -> Array:
    result = np.zeros(len(constant))
    if pairs.count < 2:
        return result
    before, after, both = pairs.sum
    varying = ~constant & (np.minimum(before, after) > NO_SPREAD * np.maximum(before, after))
    result[varying] = both[varying] / np.sqrt(before[varying]) / np.sqrt(after[varying])
    return np.clip(result, -1.0, 1.0)


def correlation_of(sums: Array, constant: npt.NDArray[np.bool_]) -> Array:
    """Return the correlation [dims, dims] of sums of products [dims, dims]; `constant` dims have 0 with all others."""
    spread = np.sqrt(np.where(constant, 1.0, np.diagonal(sums)))
    result = np.clip(sums / spread / spread[:, np.newaxis], -1.0, 1.0)
    result[constant, :] = result[:, constant] = 0.0
    np.fill_diagonal(result, 1.0)
    return result


def marginals(encodings: Sequence[Encoding]) -> tuple[Array, Array]:
    """Measure quantiles [len(PERCENTS), dims] of all frames, and the share [dims] of frames outside Tukey's fences.

    Linear between neighbouring values, as `numpy.quantile` does by default, but in float64.
    """
    dims = encodings[0].shape[0]
    quantiles, outlier_share = np.empty((len(PERCENTS), dims)), np.empty(dims)
    for dim in range(dims):
        values = read_dim(encodings, dim)
        values.sort()
        places = np.array(PERCENTS) / 100 * (len(values) - 1)
        left = np.floor(places).astype(np.int64)
        low, high = (values[i].astype(np.float64) for i in (left, np.minimum(left + 1, len(values) - 1)))
        quantiles[:, dim] = np.minimum(low + (high - low) * (places - left), high)
        lower, upper = fences(quantiles[:, dim])
        # numpy's searchsorted would copy float32 values to compare them with a float64
        outside = bisect.bisect_left(values, lower) + len(values) - bisect.bisect_right(values, upper)
        outlier_share[dim] = outside / len(values)
    return quantiles, outlier_share


def robust_correlation(encodings: Sequence[Encoding]) -> Array:
    """Return 2 sin(pi r / 6) of Spearman's r, [dims, dims]: Pearson's correlation if values are normal, but robust.

    K. Pearson, "On further methods of determining correlation" (1907). Not always positive semi-definite.
    """
    result: Array = 2 * np.sin(np.pi / 6 * spearman(encodings))
    np.fill_diagonal(result, 1.0)
    return result


def spearman(encodings: Sequence[Encoding]) -> Array:
    """Measure Spearman's rank correlation [dims, dims], equal values sharing their mean rank.

    Of all frames up to MAX_RANKED values, beyond that of every n-th frame, which is logged. A constant dim has
    correlation 0 with every other, and 1 with itself.
    """
    import pandas as pd

    dims, count = encodings[0].shape[0], total_frames(encodings)
    every = -(-dims * count // MAX_RANKED)  # rounded up
    if every > 1:
        ordinal = f"{every}{ {2: 'nd', 3: 'rd'}.get(every, 'th') }"
        log.warning(f"{count:,} frames are too many to rank: the robust correlation is of every {ordinal} frame")
    ranks = np.stack([pd.Series(read_dim(encodings, dim)[::every]).rank().to_numpy() for dim in range(dims)])
    centred = 2 * ranks - (ranks.shape[1] + 1)  # whole numbers, so the sums are exact
    total = centred @ centred.T
    return correlation_of(total, np.diagonal(total) == 0)
