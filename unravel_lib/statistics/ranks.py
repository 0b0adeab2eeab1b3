"""Spearman's rank correlation of latents of any size, exact; ranks that do not fit in memory go to a temporary file."""

import io
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import OutputError
from unravel_lib.latents.blocks import BLOCK_VALUES
from unravel_lib.statistics.encodings import Encoding, Floats, chunks, in_threads, read_dims, total_frames
from unravel_lib.statistics.moments import Array, correlation_of
from unravel_lib.statistics.quantiles import borders

RANK_VALUES = 1 << 23  # values ranked in one go, about 40 bytes each
RANKS_IN_MEMORY = 1 << 25  # more ranks than these go to a temporary file

# Ranks are counted from 0 and doubled, so that the mean rank of equal values is a whole number.
Ranks = npt.NDArray[np.unsignedinteger[Any]]


def robust_correlation(encodings: Sequence[Encoding]) -> Array:
    """Spearman's r as 2 sin(pi r / 6) [dims, dims]: Pearson's correlation if values are normal, but deaf to outliers.

    K. Pearson, "On further methods of determining correlation" (1907). Not always positive semi-definite.
    """
    result: Array = 2 * np.sin(np.pi / 6 * spearman(encodings))
    np.fill_diagonal(result, 1.0)
    return result


def spearman(encodings: Sequence[Encoding]) -> Array:
    """Spearman's rank correlation [dims, dims] of all frames, equal values sharing their mean rank.

    A dim that never moves has correlation 0 with every other, and 1 with itself.

    Raises
    ------
    OutputError
        The folder for temporary files has no room for the ranks (4 or 8 bytes per value).
    """
    dims, count = encodings[0].shape[0], total_frames(encodings)
    if dims == 1:
        return np.ones((1, 1))
    table, file = _rank_table(dims, count)
    with file:
        if count > RANK_VALUES:
            for dim in range(dims):
                _rank_long_dim(encodings, dim, table)
        else:
            step = max(1, RANK_VALUES // count)
            for start in range(0, dims, step):
                rows = read_dims(encodings, range(start, min(start + step, dims)))
                for dim, ranks in enumerate(in_threads(mean_ranks, rows), start):
                    table()[dim] = ranks
        return _correlation(table, dims, count)


def _rank_table(dims: int, count: int) -> tuple[Callable[[], Ranks], IO[bytes]]:
    """A function that opens the table of ranks [dims, count], and the file it lies in, if in any.

    A mapped table is opened anew for each use, because the pages touched through one mapping count as our memory.
    """
    kind = np.dtype(np.uint32 if count < 2**31 else np.uint64)
    if dims * count <= RANKS_IN_MEMORY:
        ranks: Ranks = np.empty((dims, count), kind)
        return lambda: ranks, io.BytesIO()
    need, folder = dims * count * kind.itemsize, tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OutputError(
            f"{folder} has {free / 1e9:.1f} GB free, ranking these latents for `iqr` takes {need / 1e9:.1f} GB: "
            "free some, or name another folder by the environment variable TMPDIR"
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    file.truncate(need)
    return lambda: np.memmap(file, kind, "r+", shape=(dims, count)), file


def mean_ranks(values: Floats) -> npt.NDArray[np.int64]:
    """Doubled ranks (first + last place of equal values, from 0) of values that fit in memory."""
    ordered, order = _sorted_with_places(values)
    first = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    equal = np.diff(first, append=len(values))
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.repeat(2 * first + equal - 1, equal)
    return ranks


def _sorted_with_places(values: Floats) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Sorted values (or whole numbers in the same order) and the places that they came from."""
    if values.dtype != np.float32:
        order = np.argsort(values)
        return values[order], order
    # The bits of a float32, read as a whole number, are in its order but for the sign. With the place below them in
    # one number a plain sort replaces argsort, several times faster.
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
    keys |= np.arange(len(values))
    keys.sort()
    return keys >> 32, keys & 0xFFFFFFFF


def _rank_long_dim(encodings: Sequence[Encoding], dim: int, table: Callable[[], Ranks]) -> None:
    """Rank a dim slice by slice, from its lowest values to its highest."""
    start, border_rank = 0, 0
    for low, high in pairwise(borders(encodings, dim, RANK_VALUES)):
        inside, places, equal = [], [], 0
        for place, chunk in chunks(encodings, dim, BLOCK_VALUES):
            table()[dim, place : place + len(chunk)][chunk == low] = border_rank
            here = np.flatnonzero((chunk > low) & (chunk < high))
            inside.append(chunk[here])
            places.append(here + place)
            equal += int(np.count_nonzero(chunk == high))
        ranks = 2 * start + mean_ranks(np.concatenate(inside))
        start += len(ranks)
        border_rank = 2 * start + equal - 1  # of the values at `high`, which the next slice writes
        start += equal
        for some in places:
            table()[dim, some] = ranks[: len(some)]
            ranks = ranks[len(some) :]


def _correlation(table: Callable[[], Ranks], dims: int, count: int) -> Array:
    total = np.zeros((dims, dims))
    step = max(1, BLOCK_VALUES // dims)
    for start in range(0, count, step):
        centred = table()[:, start : start + step] - float(count - 1)  # the mean of the doubled ranks
        total += centred @ centred.T
    return correlation_of(total, np.diagonal(total) == 0)
