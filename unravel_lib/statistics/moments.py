"""Mean, covariance and lag-1 autocorrelation of latents in one pass over the files, in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.latents.npy import load_latents
from unravel_lib.statistics.encodings import Encoding, block_borders, in_threads

Array = npt.NDArray[np.float64]
FLOAT32_MAX = float(np.finfo(np.float32).max)
TILE_VALUES = 1 << 17  # values summed in one go: 1 MiB of float64, which stays in the cache of a core
NO_SPREAD = 1e-12  # a spread below this part of the whole is what rounding leaves of none


class RunningMoments:
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
        if count == 0:
            return
        both = self.count + count
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


@dataclass(frozen=True)
class _Block:
    """What is to know about a run of neighbouring frames of one file. Arrays are [dims]."""

    begins_file: bool
    count: int
    mean: Array
    low: Array
    high: Array
    first: Array
    last: Array
    products: Array  # [dims, dims], sums of products of deviations from the mean
    ahead: Array  # sums of products of each deviation and the next


def moments(encodings: Sequence[Encoding]) -> Moments:
    """Measure all frames of all files.

    The standard deviation has n - 1 below the line and is 0 for a single frame. A dim that never moves has
    correlation 0 with every other, and 1 with itself. The autocorrelation is Pearson's correlation of all
    neighbouring frames (x[t], x[t + 1]) within a file: each pair weighs the same, none spans two files; 0 where
    there are no two pairs or no movement.

    Raises
    ------
    InputError
        NaN, Inf or a value beyond float32, by file, dim and frame.
    """
    spread = RunningMoments(lambda delta: np.outer(delta, delta))
    pairs = RunningMoments(lambda delta: np.stack([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]]))
    low = high = encodings[0][:, 0].astype(np.float64)
    before = low
    places = [(encoding, *borders) for encoding in encodings for borders in block_borders(encoding)]
    for block in in_threads(lambda place: _look_at(*place), places):
        low, high = np.minimum(low, block.low), np.maximum(high, block.high)
        spread.add(block.count, block.mean, block.products)
        if not block.begins_file:  # the pair that spans two blocks of the same file
            pairs.add(1, np.stack([before, block.first]), np.zeros((3, len(low))))
        _add_pairs(pairs, block)
        before = block.last
    # a dim that never moves gets an exact 0; rounding would leave it a deviation of 1e-17
    still = (low == high) | (np.diagonal(spread.sum) == 0)
    std = np.where(still, 0.0, np.sqrt(np.diagonal(spread.sum) / max(spread.count - 1, 1)))
    return Moments(
        frames=spread.count,
        mean=np.where(low == high, low, spread.mean),
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


def _look_at(encoding: Encoding, start: int, stop: int) -> _Block:
    values = encoding.piece(slice(None), slice(start, stop))
    low, high = values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64)
    if not max(abs(low.min()), abs(high.max())) <= FLOAT32_MAX:  # also true for NaN
        load_latents(encoding.path)  # knows where it is and says it
    dims, count = values.shape
    total, ahead, products = np.zeros(dims), np.zeros(dims), np.zeros((dims, dims))
    step = max(1, TILE_VALUES // dims)
    near = values[:, :step].mean(axis=1, dtype=np.float64)  # the mean, nearly
    before = np.zeros(dims)
    for place in range(0, count, step):
        tile = values[:, place : place + step].astype(np.float64)
        tile -= near[:, np.newaxis]
        total += tile.sum(axis=1)
        products += np.dot(tile, tile.T)  # unlike `@` it lets other threads run
        ahead += before * tile[:, 0] + np.einsum("ij,ij->i", tile[:, :-1], tile[:, 1:])
        before = tile[:, -1]
    first, last = values[:, 0].astype(np.float64), values[:, -1].astype(np.float64)
    off = total / count  # from sums of products of deviations from `near` to those of deviations from the mean
    products -= count * np.outer(off, off)
    ahead -= off * (2 * total - (first - near) - (last - near)) - (count - 1) * off**2
    return _Block(start == 0, count, near + off, low, high, first, last, products, ahead)


def _add_pairs(pairs: RunningMoments, block: _Block) -> None:
    """Add the neighbours within a block."""
    count = block.count - 1
    if count == 0:
        return
    first, last, squares = block.first - block.mean, block.last - block.mean, np.diagonal(block.products)
    # the deviations sum to 0, so all but the last frame sum to -last, and all but the first to -first
    means = np.stack([-last, -first]) / count
    sums = np.stack([squares - last**2, squares - first**2, block.ahead])
    pairs.add(count, block.mean + means, sums - count * pairs.squares(means))


def _autocorrelation(pairs: RunningMoments, still: npt.NDArray[np.bool_]) -> Array:
    result = np.zeros(len(still))
    if pairs.count < 2:
        return result
    before, after, both = pairs.sum
    moving = ~still & (np.minimum(before, after) > NO_SPREAD * np.maximum(before, after))
    result[moving] = both[moving] / np.sqrt(before[moving]) / np.sqrt(after[moving])
    return np.clip(result, -1.0, 1.0)
