"""What is known about latents: where each dim lies, how far it spreads, how the dims correlate."""

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from unravel_lib.statistics.encodings import Encoding

Array = npt.NDArray[np.float64]

PERCENTS = (0, 0.01, 0.1, 0.5, *range(1, 100), 99.5, 99.9, 99.99, 100)  # where the marginals are measured
Q1, MEDIAN, Q3 = PERCENTS.index(25), PERCENTS.index(50), PERCENTS.index(75)
WHISKER = 1.5  # bounds lie so many IQR outside the quartiles: Tukey, "Exploratory Data Analysis" (1977)
NORMAL_IQR = 1.349  # IQR of the standard normal distribution, 2 * 0.6745
FLOAT32_MAX = float(np.finfo(np.float32).max)


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
        The files that were measured; empty when read back from CSV.
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

    @property
    def minimum(self) -> Array:
        """The lowest value."""
        return self._quantile(0)

    @property
    def maximum(self) -> Array:
        """The highest value."""
        return self._quantile(-1)

    @property
    def q1(self) -> Array:
        """The lower quartile."""
        return self._quantile(Q1)

    @property
    def median(self) -> Array:
        """The median."""
        return self._quantile(MEDIAN)

    @property
    def q3(self) -> Array:
        """The upper quartile."""
        return self._quantile(Q3)

    def _quantile(self, place: int) -> Array:
        row: Array = self.quantiles[place]
        return row

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
        result: Array = np.outer(self.scale, self.scale) * self.active_correlation
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        names = [f.name for f in fields(self) if f.name != "encodings"]
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)


def fences(quantiles: Array) -> tuple[Array, Array]:
    """Return Tukey's fences of quantiles [len(PERCENTS), ...]: Q1 - 1.5 IQR and Q3 + 1.5 IQR."""
    reach = WHISKER * (quantiles[Q3] - quantiles[Q1])
    return quantiles[Q1] - reach, quantiles[Q3] + reach
