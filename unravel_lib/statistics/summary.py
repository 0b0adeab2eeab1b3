"""What is known about latents: where each dim lies, how far it spreads, how the dims belong together."""

from dataclasses import dataclass, field, fields

import numpy as np

from unravel_lib.statistics.encodings import Encoding, frames_at
from unravel_lib.statistics.moments import Array

PERCENTS = (0, 0.01, 0.1, 0.5, *range(1, 100), 99.5, 99.9, 99.99, 100)  # where the marginals are measured
Q1, MEDIAN, Q3 = PERCENTS.index(25), PERCENTS.index(50), PERCENTS.index(75)
WHISKER = 1.5  # bounds lie so many IQR outside the quartiles: Tukey, "Exploratory Data Analysis" (1977)
NORMAL_IQR = 1.349  # IQR of the standard normal distribution, 2 * 0.6745: IQR / 1.349 estimates its deviation


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known about the latents of one or many encodings. Arrays are float64; [dims] unless told.

    Attributes
    ----------
    dims, frames, files : int
    iqr : bool
        Which view `location`, `scale`, `relation` and `association` give: mean, deviation and Pearson's correlation,
        or median, IQR / 1.349 and the robust correlation.
    mean, std : Array
        n - 1 below the line, 0 for a single frame.
    covariance, correlation : Array [dims, dims]
        Pearson's; a dim that never moves has correlation 0 with every other.
    minimum, maximum : Array
    autocorrelation : Array
        Pearson's correlation of neighbouring frames, never across files; 0 where nothing moves.
    median, q1, q3 : Array
        Exact, linear between neighbouring values as `numpy.quantile` does.
    lower, upper : Array
        Q1 - 1.5 IQR and Q3 + 1.5 IQR, Tukey's fences ("Exploratory Data Analysis", 1977).
    deviation : Array
        IQR / 1.349, which is the standard deviation if values are normal (normal quartiles lie at +-0.6745).
    robust_correlation : Array [dims, dims] or None
        2 sin(pi r / 6) of Spearman's rank correlation r, which is Pearson's if values are normal (K. Pearson, "On
        further methods of determining correlation", 1907). Only measured with `iqr`.
    beyond : Array
        Share of frames (0..1) below `lower` or above `upper`.
    quantiles : Array [len(PERCENTS), dims]
        Values at PERCENTS.
    arrays : tuple of Encoding
        The files, readable like (dims, frames) arrays; empty when read back from CSV.
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
    beyond: Array
    robust_correlation: Array | None = None
    arrays: tuple[Encoding, ...] = field(default=(), repr=False)

    @property
    def covariance(self) -> Array:
        result: Array = np.outer(self.std, self.std) * self.correlation
        return result

    @property
    def minimum(self) -> Array:
        return self._quantile(0)

    @property
    def maximum(self) -> Array:
        return self._quantile(-1)

    @property
    def q1(self) -> Array:
        return self._quantile(Q1)

    @property
    def median(self) -> Array:
        return self._quantile(MEDIAN)

    @property
    def q3(self) -> Array:
        return self._quantile(Q3)

    def _quantile(self, place: int) -> Array:
        row: Array = self.quantiles[place]
        return row

    @property
    def lower(self) -> Array:
        return fences(self.quantiles)[0]

    @property
    def upper(self) -> Array:
        return fences(self.quantiles)[1]

    @property
    def deviation(self) -> Array:
        return (self.q3 - self.q1) / NORMAL_IQR

    @property
    def location(self) -> Array:
        """Where each dim lies: its mean, or its median with `iqr`."""
        return self.median if self.iqr else self.mean

    @property
    def scale(self) -> Array:
        """How far each dim spreads: its standard deviation, or IQR / 1.349 with `iqr`."""
        return self.deviation if self.iqr else self.std

    @property
    def association(self) -> Array:
        """How the dims belong together, [dims, dims], ones on the diagonal: Pearson's, or the robust with `iqr`."""
        return self.correlation if not self.iqr or self.robust_correlation is None else self.robust_correlation

    @property
    def relation(self) -> Array:
        """Covariance [dims, dims] in the view in use; the robust one may lack positive semi-definiteness."""
        result: Array = np.outer(self.scale, self.scale) * self.association
        return result

    def sample(self, most: int) -> Array:
        """At most `most` frames, evenly spaced over all files, float64 [n, dims]; none when read back from CSV."""
        if not self.arrays:
            return np.empty((0, self.dims))
        index = np.linspace(0, self.frames - 1, min(most, self.frames)).astype(np.int64)
        return frames_at(self.arrays, index)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        names = [f.name for f in fields(self) if f.name != "arrays"]
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)


def fences(quantiles: Array) -> tuple[Array, Array]:
    """Tukey's fences of quantiles [len(PERCENTS), ...]: Q1 - 1.5 IQR and Q3 + 1.5 IQR."""
    reach = WHISKER * (quantiles[Q3] - quantiles[Q1])
    return quantiles[Q1] - reach, quantiles[Q3] + reach
