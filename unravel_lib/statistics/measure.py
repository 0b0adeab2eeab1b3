"""statistics.measure."""

from collections.abc import Sequence
from pathlib import Path

from unravel_lib.errors import InputError
from unravel_lib.statistics.encodings import Encoding
from unravel_lib.statistics.moments import moments
from unravel_lib.statistics.quantiles import marginals
from unravel_lib.statistics.ranks import robust_correlation
from unravel_lib.statistics.sources import common_facts
from unravel_lib.statistics.summary import PERCENTS, Statistics, fences
from unravel_lib.text import printable


def measure(paths: Sequence[Path], iqr: bool = False) -> Statistics:
    """Measure all frames of all encodings, exactly, without ever holding more than a part of them in memory.

    Parameters
    ----------
    paths : sequence of Path
        Latents files of the same model.
    iqr : bool
        Also measure the robust correlation, and let the robust view be in use.

    Raises
    ------
    InputError
        A file is not a latents file, holds NaN or Inf, has other dims than the first, or comes from another model.
    """
    common_facts(paths)
    encodings = tuple(Encoding.of(path) for path in paths)
    first = encodings[0]
    for encoding in encodings:
        if encoding.shape[0] != first.shape[0]:
            raise InputError(
                f"{printable(encoding.path)} has {encoding.shape[0]} dims, {printable(first.path)} has "
                f"{first.shape[0]}: give `input` encodings of one model"
            )
    found = moments(encodings)
    quantiles, beyond = marginals(encodings, PERCENTS, fences)
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
        beyond=beyond,
        robust_correlation=robust_correlation(encodings) if iqr else None,
        arrays=encodings,
    )
