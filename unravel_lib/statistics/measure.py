"""What is known about latents: where each dim lies, how far it spreads, how the dims correlate. No random numbers."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.descriptors import Descriptors
from unravel_lib.errors import InputError
from unravel_lib.latents import Latents
from unravel_lib.latents.files import ONE_MODEL, LatentsFile, common_facts, find_encodings
from unravel_lib.latents.formats import narrowed
from unravel_lib.text import printable

Array = npt.NDArray[np.float64]

PERCENTS = (0, 0.01, 0.1, 0.5, *range(1, 100), 99.5, 99.9, 99.99, 100)  # where the marginals are measured
Q1, MEDIAN, Q3 = PERCENTS.index(25), PERCENTS.index(50), PERCENTS.index(75)
WHISKER = 1.5  # bounds lie so many IQR outside the quartiles: Tukey, "Exploratory Data Analysis" (1977)
NORMAL_IQR = 1.349  # IQR of the standard normal distribution, 2 * 0.6745
FLOAT32_MAX = float(np.finfo(np.float32).max)
BLOCK_VALUES = 1 << 20  # values whose moments are taken at a time; the last digit depends on it
NO_SPREAD = 1e-12  # a spread below this share of the whole is rounding


@dataclass(frozen=True, eq=False)
class Encoding:
    """One encoding that was measured.

    Attributes
    ----------
    latents : [dims, frames]
    descriptors : float32 [3, frames] or None
        Loudness, brightness and attack of the recording; see `unravel_lib.audio.descriptors`.
    name : str
        Of the recording; "" where it is not known.
    weight : float
        How much it counts among the others.
    """

    latents: Latents = field(repr=False)
    descriptors: Descriptors | None = field(default=None, repr=False)
    name: str = ""
    weight: float = 1.0


_Given = str | Path | npt.ArrayLike | Encoding | LatentsFile


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known about the latents of one or many encodings. Arrays are float64 [dims] unless stated.

    Attributes
    ----------
    dims, frames, files : int
    iqr : bool
        What `location`, `scale`, `active_correlation` and `active_covariance` give: mean, standard deviation and
        Pearson's correlation, or median, IQR / 1.349 and the robust correlation.
    mean, std : Array
        ddof=1; std is 0 for a single frame.
    correlation : Array [dims, dims]
        Pearson's; a constant dim has correlation 0 with every other.
    autocorrelation : Array
        Pearson's correlation of neighbouring frames, never across files; 0 where a dim is constant.
    quantiles : Array [len(PERCENTS), dims]
        Values at PERCENTS; exact, linear between neighbouring values as `numpy.quantile` does.
    outlier_share : Array
        Share of frames (0..1) below `lower` or above `upper`.
    robust_correlation : Array [dims, dims] or None
        2 sin(pi r / 6) of Spearman's rank correlation r, which is Pearson's if values are normal (K. Pearson, "On
        further methods of determining correlation", 1907). Only measured with `iqr`.
    encodings : tuple of Encoding
        What was measured; empty when read back from CSV.
    frame_rate : float or None
        Frames a second, where the encodings state it.
    """

    dims: int
    frames: int
    files: int
    iqr: bool
    mean: Array
    std: Array
    correlation: Array
    autocorrelation: Array
    quantiles: Array = field(repr=False)
    outlier_share: Array
    robust_correlation: Array | None = None
    encodings: tuple[Encoding, ...] = field(default=(), repr=False)
    frame_rate: float | None = None

    @property
    def minimum(self) -> Array:
        """The lowest value."""
        return np.asarray(self.quantiles[0])

    @property
    def maximum(self) -> Array:
        """The highest value."""
        return np.asarray(self.quantiles[-1])

    @property
    def q1(self) -> Array:
        """The lower quartile."""
        return np.asarray(self.quantiles[Q1])

    @property
    def median(self) -> Array:
        """The median."""
        return np.asarray(self.quantiles[MEDIAN])

    @property
    def q3(self) -> Array:
        """The upper quartile."""
        return np.asarray(self.quantiles[Q3])

    @property
    def lower(self) -> Array:
        """Q1 - 1.5 IQR, the lower of Tukey's fences ("Exploratory Data Analysis", 1977)."""
        return fences(self.quantiles)[0]

    @property
    def upper(self) -> Array:
        """Q3 + 1.5 IQR, the upper of Tukey's fences."""
        return fences(self.quantiles)[1]

    @property
    def robust_std(self) -> Array:
        """IQR / 1.349, which is the standard deviation if values are normal."""
        return (self.q3 - self.q1) / NORMAL_IQR

    @property
    def location(self) -> Array:
        """Where each dim lies: its mean, or its median with `iqr`."""
        return self.median if self.iqr else self.mean

    @property
    def scale(self) -> Array:
        """How far each dim spreads: its standard deviation, or IQR / 1.349 with `iqr`."""
        return self.robust_std if self.iqr else self.std

    @property
    def active_correlation(self) -> Array:
        """Correlation of the dims [dims, dims]: Pearson's, or the robust one with `iqr`."""
        return self.correlation if not self.iqr or self.robust_correlation is None else self.robust_correlation

    @property
    def active_covariance(self) -> Array:
        """Covariance [dims, dims] by the statistics in use; the robust one may lack positive semi-definiteness."""
        return np.asarray(np.outer(self.scale, self.scale) * self.active_correlation)


def fences(quantiles: Array) -> tuple[Array, Array]:
    """Return Tukey's fences of quantiles [len(PERCENTS), ...]: Q1 - 1.5 IQR and Q3 + 1.5 IQR."""
    reach = WHISKER * (quantiles[Q3] - quantiles[Q1])
    return quantiles[Q1] - reach, quantiles[Q3] + reach


def measure(latents: _Given | Iterable[_Given], iqr: bool = False, frame_rate: float | None = None) -> Statistics:
    """Measure all frames of all encodings.

    Parameters
    ----------
    latents : path, array [dims, frames], Encoding, or iterable of these
        Latents files of the same model, folders of them (without results of generator.py), values, or values with
        descriptors, which `unravel_lib.describe` makes; also a `LatentsFile`, which was read already.
    iqr : bool
        Also measure the robust correlation, and use the robust statistics.
    frame_rate : float, optional
        Frames a second, where no sidecar states it.

    Raises
    ------
    InputError
        A file is not a latents file, holds NaN or Inf, has other dims than the first, or comes from another model.
    ValueError
        There is nothing to measure, or an array is not (dims, frames) of finite real numbers.
    """
    one = isinstance(latents, (str, os.PathLike, Encoding)) or getattr(latents, "ndim", None) == 2
    files, encodings = list[LatentsFile](), list[Encoding]()
    for item in [latents] if one else latents:  # type: ignore[union-attr]
        if isinstance(item, (str, os.PathLike, LatentsFile)):
            found = [item] if isinstance(item, LatentsFile) else find_encodings([Path(item)])
            encodings += [Encoding(file.latents, file.descriptors, file.name) for file in found]
            files += found
        else:
            encodings.append(_checked(item if isinstance(item, Encoding) else Encoding(np.asarray(item))))
    for file in files:
        dims, first = len(file.latents), len(files[0].latents)
        if dims != first:
            raise InputError(f"has {dims} dims, {printable(files[0].path)} has {first}", path=file.path, **ONE_MODEL)
    if not encodings:
        raise ValueError("there is nothing to measure, expected at least one encoding")
    arrays = [encoding.latents for encoding in encodings]
    if len({len(array) for array in arrays}) > 1:
        raise ValueError("encodings have different dims, expected those of one model")
    quantiles, outlier_share = marginals(arrays)
    mean, std, correlation, autocorrelation = moments(arrays, quantiles[0], quantiles[-1])
    facts = common_facts({file.path: file.sidecar for file in files})
    stated = facts.sample_rate / facts.compression if facts.sample_rate and facts.compression else None
    return Statistics(
        dims=len(mean),
        frames=sum(array.shape[1] for array in arrays),
        files=len(arrays),
        iqr=iqr,
        mean=mean,
        std=std,
        correlation=correlation,
        autocorrelation=autocorrelation,
        quantiles=quantiles,
        outlier_share=outlier_share,
        robust_correlation=robust_correlation(arrays) if iqr else None,
        encodings=tuple(encodings),
        frame_rate=frame_rate or stated,
    )


def _checked(encoding: Encoding) -> Encoding:
    array, descriptors = np.asarray(encoding.latents), encoding.descriptors
    narrowed(array, "<f4", option="latents")  # refuses what could not be written as latents
    if descriptors is not None and descriptors.shape != (3, array.shape[1]):
        raise ValueError(f"descriptors have shape {descriptors.shape}, expected (3, {array.shape[1]})")
    return replace(encoding, latents=array)


@dataclass
class RunningMoments:
    """Count, mean and sum of squared deviations of blocks of values, merged block by block.

    The pairwise update of Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979): no digits are lost to a mean that is large beside the deviations. `squares` makes the sum of
    squares out of one deviation from the mean.
    """

    squares: Callable[[Array], Array]
    count: int = 0
    mean: Any = 0.0  # arrays, from the first block on
    sum: Any = 0.0

    def add(self, count: int, mean: Array, total: Array) -> None:
        """Merge a block of `count` values with its own mean and its own sum of squared deviations from that."""
        both = self.count + count
        delta = mean - self.mean
        self.sum = self.sum + total + self.squares(delta) * (self.count * count / both)
        self.mean = self.mean + delta * (count / both)
        self.count = both


def moments(encodings: Sequence[Latents], low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Measure mean, standard deviation, correlation [dims, dims] and lag-1 autocorrelation of all frames.

    `low` and `high` are the lowest and the highest value of each dim.
    The standard deviation has ddof=1 and is 0 for a single frame. A constant dim has correlation 0 with every
    other, and 1 with itself. The autocorrelation is Pearson's correlation of all neighbouring frames (x[t], x[t + 1])
    within a file; 0 where there are fewer than two pairs or the dim is constant.
    """
    spread = RunningMoments(lambda delta: np.outer(delta, delta))
    pairs = RunningMoments(lambda delta: np.stack([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]]))
    step = max(1, BLOCK_VALUES // len(low))
    for encoding in encodings:
        before: Array | None = None
        for start in range(0, encoding.shape[1], step):
            values = encoding[:, start : start + step].astype(np.float64)
            _add_block(spread, pairs, values)
            if before is not None:  # the pair that spans two blocks
                pairs.add(1, np.stack([before, values[:, 0]]), np.zeros((3, len(low))))
            before = values[:, -1]
    constant = (low == high) | (np.diagonal(spread.sum) == 0)  # exactly 0: rounding would give a deviation of 1e-17
    std = np.where(constant, 0.0, np.sqrt(np.diagonal(spread.sum) / max(spread.count - 1, 1)))
    mean = np.where(low == high, low, spread.mean)
    return mean, std, correlation_of(spread.sum, constant), _autocorrelation(pairs, constant)


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


def marginals(encodings: Sequence[Latents]) -> tuple[Array, Array]:
    """Measure quantiles [len(PERCENTS), dims] of all frames, and the share [dims] of frames outside Tukey's fences.

    Linear between neighbouring values, as `numpy.quantile` does by default, but in float64.
    """
    dims = len(encodings[0])
    quantiles, outlier_share = np.empty((len(PERCENTS), dims)), np.empty(dims)
    for dim in range(dims):
        values = np.sort(np.concatenate([encoding[dim] for encoding in encodings], dtype=np.float64))
        places = np.array(PERCENTS) / 100 * (len(values) - 1)
        left = np.floor(places).astype(np.int64)
        low, high = values[left], values[np.minimum(left + 1, len(values) - 1)]
        quantiles[:, dim] = np.minimum(low + (high - low) * (places - left), high)
        lower, upper = fences(quantiles[:, dim])
        outlier_share[dim] = np.mean((values < lower) | (values > upper))
    return quantiles, outlier_share


def robust_correlation(encodings: Sequence[Latents]) -> Array:
    """Return 2 sin(pi r / 6) of Spearman's r, [dims, dims]: Pearson's correlation if values are normal, but robust.

    K. Pearson, "On further methods of determining correlation" (1907). Not always positive semi-definite. Equal values
    share their mean rank. A constant dim has correlation 0 with every other, and 1 with itself.
    """
    ranks = np.empty((len(encodings[0]), sum(encoding.shape[1] for encoding in encodings)))
    for dim, row in enumerate(ranks):
        values = np.concatenate([encoding[dim] for encoding in encodings])
        order = np.argsort(values)
        values = values[order]
        row[order] = np.searchsorted(values, values) + np.searchsorted(values, values, "right")
    ranks -= ranks.shape[1]  # twice the mean rank of equal values, around 0
    total = ranks @ ranks.T
    result: Array = 2 * np.sin(np.pi / 6 * correlation_of(total, np.diagonal(total) == 0))
    np.fill_diagonal(result, 1.0)
    return result
