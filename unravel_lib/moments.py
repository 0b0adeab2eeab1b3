"""Mean, covariance and lag-1 autocorrelation of latents in one pass over the files, in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.encodings import Encoding, checked_blocks

Array = npt.NDArray[np.float64]
NO_SPREAD = 1e-12  # a spread below this part of the whole is what rounding leaves of none


class Scatter:
    """Count, mean and sum of squared deviations of blocks of values, merged block by block.

    The pairwise update of Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979): no digits are lost to a mean that is large beside the deviation.
    `squares` makes the sum of squares out of one deviation from the mean.
    """

    def __init__(self, squares: Callable[[Array], Array]) -> None:
        self.squares = squares
        self.count = 0
        self.mean: Array = np.zeros(())
        self.sum: Array = np.zeros(())

    def add(self, count: int, mean: Array, total: Array) -> None:
        """Merge a block of `count` values with its own mean and its own sum of squared deviations from that."""
        both = self.count + count
        if count == 0:
            return
        delta = mean - self.mean
        self.sum = self.sum + total + self.squares(delta) * (self.count * count / both)
        self.mean = self.mean + delta * (count / both)
        self.count = both


@dataclass(frozen=True)
class Moments:
    """What one pass tells; arrays are [dims], the correlation is [dims, dims]."""

    frames: int
    mean: Array
    std: Array
    correlation: Array
    autocorrelation: Array


def moments(encodings: Sequence[Encoding]) -> Moments:
    """Measure all frames of all files.

    The standard deviation has n - 1 below the line and is 0 for a single frame. A dim that never moves has
    correlation 0 with every other, and 1 with itself. The autocorrelation is Pearson's
    correlation of all neighbouring frames (x[t], x[t + 1]) within a file: each pair weighs the same, none spans two
    files; 0 where there are no two pairs or no movement.

    Raises
    ------
    InputError
        NaN, Inf or a value beyond float32, by file, dim and frame.
    """
    spread = Scatter(lambda delta: np.outer(delta, delta))
    pairs = Scatter(lambda delta: np.stack([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]]))
    low = np.full(encodings[0].shape[0], np.inf)
    high = -low
    for encoding in encodings:
        last: Array | None = None
        for block in checked_blocks(encoding):
            low = np.minimum(low, block.min(axis=1))
            high = np.maximum(high, block.max(axis=1))
            if last is not None:  # the pair that spans two blocks of the same file
                pairs.add(1, np.stack([last, block[:, 0]]), np.zeros((3, len(low))))
            last = block[:, -1].copy()
            _add_block(spread, pairs, block)
    # a dim that never moves gets an exact 0; rounding would leave it a deviation of 1e-17
    still = (low == high) | (np.diagonal(spread.sum) == 0)
    std = np.where(still, 0.0, np.sqrt(np.diagonal(spread.sum) / max(spread.count - 1, 1)))
    return Moments(
        frames=spread.count,
        mean=np.where(still, low, spread.mean),
        std=std,
        correlation=correlation_of(spread.sum, still),
        autocorrelation=_autocorrelation(pairs, still),
    )


def correlation_of(sums: Array, still: npt.NDArray[np.bool_]) -> Array:
    """Correlation [dims, dims] out of sums of products [dims, dims]; dims that are `still` have 0 with all others."""
    spread = np.sqrt(np.where(still, 1.0, np.diagonal(sums)))
    result = np.clip(sums / spread / spread[:, np.newaxis], -1.0, 1.0)
    result[still, :] = result[:, still] = 0.0
    np.fill_diagonal(result, 1.0)
    return result


def _add_block(spread: Scatter, pairs: Scatter, block: Array) -> None:
    """Add a block [dims, n] to both sums. Overwrites the block."""
    n = block.shape[1]
    mean = block.mean(axis=1)
    block -= mean[:, np.newaxis]
    total = block @ block.T
    spread.add(n, mean, total)
    if n == 1:
        return
    first, last, squares = block[:, 0], block[:, -1], np.diagonal(total)
    ahead = np.einsum("ij,ij->i", block[:, :-1], block[:, 1:])
    # the block sums to 0, so all but the last frame sum to -last, and all but the first to -first
    means = np.stack([-last, -first]) / (n - 1)
    sums = np.stack([squares - last**2, squares - first**2, ahead])
    pairs.add(n - 1, mean + means, sums - (n - 1) * pairs.squares(means))


def _autocorrelation(pairs: Scatter, still: npt.NDArray[np.bool_]) -> Array:
    result = np.zeros(len(still))
    if pairs.count < 2:
        return result
    before, after, both = pairs.sum
    most = np.maximum(before, after)
    moving = ~still & (np.minimum(before, after) > NO_SPREAD * most)
    result[moving] = both[moving] / np.sqrt(before[moving]) / np.sqrt(after[moving])
    return np.clip(result, -1.0, 1.0)
