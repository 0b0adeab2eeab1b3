"""Draw new frames from measured latents: a registry of distributions. Knows no time, no files.

Add your own in five lines; the first line of its docstring is what `list_distributions` shows:

    @distribution("triangle")
    def triangle(statistics, rng, n_frames):
        \"\"\"Between the measured minimum and maximum, most often at the centre.\"\"\"
        low, mode, high = statistics.minimum, statistics.location, statistics.maximum
        return rng.triangular(low, mode, high, (n_frames, statistics.dims))
"""

import functools
import inspect
import logging
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError
from unravel_lib.statistics.encodings import frames_at
from unravel_lib.statistics.summary import FLOAT32_MAX, PERCENTS, Statistics
from unravel_lib.text import did_you_mean, printable

Array = npt.NDArray[np.float64]
Distribution = Callable[..., Array]

DISTRIBUTIONS: dict[str, Distribution] = {}
SPREAD = 3.0  # uniform reaches so many deviations to both sides
STEADIEST = 0.9999  # a lag-1 coefficient of 1 would never leave its first frame
BY_QUANTILES = ("empirical", "copula")  # neither location nor scale is used here
NOTEWORTHY = 1e-8  # negative eigenvalues of a correlation matrix smaller than this are rounding

log = logging.getLogger("unravel_lib")


def distribution(name: str) -> Callable[[Distribution], Distribution]:
    """Register a function (statistics, rng, n_frames) -> [n_frames, dims] as `distribution` name."""

    def register(function: Distribution) -> Distribution:
        DISTRIBUTIONS[name] = function
        return function

    return register


def listing() -> list[tuple[str, str]]:
    """(name, what it does) of every distribution, for `list_distributions`."""
    return [(name, (inspect.getdoc(function) or "").split("\n")[0]) for name, function in DISTRIBUTIONS.items()]


def find(name: str) -> Distribution:
    """The distribution of that name. Raises UsageError, with the names that exist, where there is none."""
    if name not in DISTRIBUTIONS:
        known = list(DISTRIBUTIONS)
        raise UsageError(
            f"`distribution` {printable(name)} is unknown: choose from {', '.join(known)}{did_you_mean(name, known)}"
        )
    return DISTRIBUTIONS[name]


def draw(name: str, statistics: Statistics, rng: np.random.Generator, n_frames: int, **parameters: Any) -> Array:
    """Draw frames from a distribution by name: float64 [n_frames, dims], finite.

    Parameters
    ----------
    name : str
        A key of DISTRIBUTIONS.
    statistics : Statistics
        What was measured; `statistics.iqr` chooses between the classic and the robust view.
    rng : numpy.random.Generator
        The only source of chance: same state, same bytes.
    n_frames : int
        How many frames, at least 1.
    **parameters
        Further arguments of that distribution (`closed` of `walk`).

    Raises
    ------
    UsageError
        No such distribution, or it cannot be used with these statistics.
    """
    function = find(name)
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, got {n_frames}")
    try:
        inspect.signature(function).bind(statistics, rng, n_frames, **parameters)
    except TypeError as error:
        raise UsageError(f"`distribution` {name}: {error}") from error
    frames = np.asarray(function(statistics, rng, n_frames, **parameters), dtype=np.float64)
    if frames.shape != (n_frames, statistics.dims):
        raise UsageError(
            f"`distribution` {name} returned shape {frames.shape}, expected (frames, dims) = "
            f"{(n_frames, statistics.dims)}: mend the function"
        )
    if not np.isfinite(frames).all():
        raise UsageError(f"`distribution` {name} returned NaN or Inf: mend the function or choose another")
    largest = float(np.abs(frames).max())
    if largest > FLOAT32_MAX:  # which the encodings nearly reach, and a draw may go beyond them
        raise UsageError(
            f"`distribution` {name} drew values up to {largest:.2g}, latents end at {FLOAT32_MAX:.2g} (32 bits): take "
            "copula, which stays within the measured values, or encodings with smaller ones"
        )
    return frames


def frozen_dims(name: str, statistics: Statistics) -> list[int]:
    """The dims that move in the encodings and will not in what is drawn.

    Silence, most of whose frames are equal, makes the IQR 0; a distribution that spreads by the IQR then stands still.
    """
    by_iqr = name == "iqr-uniform" or (statistics.iqr and name not in BY_QUANTILES)
    return np.flatnonzero((statistics.robust_std == 0) & (statistics.std > 0)).tolist() if by_iqr else []


@distribution("normal")
def normal(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Each dim for itself, normal around its mean (`iqr`: median and IQR / 1.349)."""
    return statistics.location + statistics.scale * rng.standard_normal((n_frames, statistics.dims))


@distribution("uniform")
def uniform(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Each dim for itself, anywhere within 3 standard deviations of its mean (`iqr`: of its median)."""
    reach = SPREAD * statistics.scale
    return statistics.location + reach * rng.uniform(-1.0, 1.0, (n_frames, statistics.dims))


@distribution("iqr-uniform")
def iqr_uniform(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Each dim for itself, anywhere between Q1 - 1.5 IQR and Q3 + 1.5 IQR."""
    return rng.uniform(statistics.lower, statistics.upper, (n_frames, statistics.dims))


@distribution("correlation-based")
def correlation_based(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Normal, with the dims moving together as they were measured to (`iqr`: by the robust correlation)."""
    covariance = nearest_psd(statistics.active_covariance, "the covariance of the encodings")
    frames: Array = statistics.location + correlated(rng, n_frames, covariance)
    return frames


@distribution("empirical")
def empirical(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Whole frames of the encodings in random order, with replacement (`iqr` changes nothing)."""
    if not statistics.encodings:
        raise UsageError("`distribution` empirical takes frames of encodings: give `input`, not `statistics`")
    return frames_at(statistics.encodings, rng.integers(0, statistics.frames, n_frames))


@distribution("copula")
def copula(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Array:
    """Each dim shaped as it was measured, with the dims moving together (best with `iqr`: by their ranks).

    A Gaussian copula: correlated normal values, each dim bent so that its quantiles become the measured ones. Between
    PERCENTS the bend is linear over the normal axis, and nothing leaves the measured minimum and maximum. Under
    `iqr` the rank correlation is the measured one; otherwise Pearson's is used for the normal values, which is exact
    for normal dims and near for others. See Nelsen, "An Introduction to Copulas" (2006), 2.3 and 5.1.
    """
    normals = correlated(rng, n_frames, nearest_psd(statistics.active_correlation, "the correlation of the encodings"))
    bell = NormalDist()
    inner = [bell.inv_cdf(percent / 100) for percent in PERCENTS[1:-1]]
    end = bell.inv_cdf(min(PERCENTS[1] / 100, 1 / statistics.frames) / 2)  # where a minimum of so many frames lies
    knots = [end, *inner, -end]
    bent = [np.interp(z, knots, q) for z, q in zip(normals.T, statistics.quantiles.T, strict=True)]
    return np.stack(bent, axis=1)


@distribution("walk")
def walk(statistics: Statistics, rng: np.random.Generator, n_frames: int, closed: bool = True) -> Array:
    """Frames that follow each other as neighbours in the encodings do; the last leads back to the first.

    An AR(1) process per dim, x[t] = m + phi (x[t - 1] - m) + e[t], with the measured lag-1 coefficients phi and the
    measured covariance S, see Luetkepohl, "New Introduction to Multiple Time Series Analysis" (2005), 2.1.4: the
    innovations e have the covariance S_ij (1 - phi_i phi_j). Where that is not positive semi-definite (two dims
    that move together but at different speeds), it is repaired: variances and speeds stay, correlations change.

    Parameters
    ----------
    closed : bool
        True: a ring, in which the first frame follows the last as any other follows the one before, with the same
        covariance and (as far as a ring of so few frames can) the same lag-1 coefficients. False: an open end.
    """
    phi = np.clip(statistics.autocorrelation, -STEADIEST, STEADIEST)
    lap = np.zeros_like(phi)  # what is left of a frame after one lap of the ring
    if closed:
        phi = ring_coefficients(phi, n_frames)
        lap = phi**n_frames
    # the stationary covariance is gain * covariance of e: a geometric series, cut off and repeated by a ring
    gain = (1 - np.outer(lap, lap)) / np.outer(1 - lap, 1 - lap) / (1 - np.outer(phi, phi))
    innovations = nearest_psd(statistics.active_covariance / gain, "the covariance of the steps of `distribution` walk")
    steps = correlated(rng, n_frames, innovations)
    frame = np.zeros_like(phi) if closed else correlated(rng, 1, innovations * gain)[0]
    if closed:
        for step in steps:  # from 0 once around; what comes back, added up over endless laps, is the true start
            frame = phi * frame + step
        frame = frame / (1 - lap)
    for place, step in enumerate(steps):
        steps[place] = frame = phi * frame + step
    return statistics.location + steps


def ring_coefficients(lag_1: Array, n_frames: int) -> Array:
    """AR(1) coefficients [dims] that give a ring of `n_frames` the wanted lag-1 autocorrelation, or the nearest it has.

    Around a ring a frame is reached from both sides: with coefficient c neighbours correlate by
    (c + c^(n - 1)) / (1 + c^n), which grows with c and is solved for c by halving.
    """
    if n_frames == 1:
        return np.zeros_like(lag_1)
    low, high = np.full_like(lag_1, -STEADIEST), np.full_like(lag_1, STEADIEST)
    for _ in range(60):
        middle = (low + high) / 2
        less = (middle + middle ** (n_frames - 1)) / (1 + middle**n_frames) < lag_1
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return (low + high) / 2


def correlated(rng: np.random.Generator, n_frames: int, covariance: Array) -> Array:
    """Normal values [n_frames, dims] around 0 with a positive semi-definite covariance [dims, dims]."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # the symmetric one: no signs left to LAPACK's taste
    frames: Array = rng.standard_normal((n_frames, len(covariance))) @ root
    return frames


def nearest_psd(covariance: Array, name: str) -> Array:
    """A covariance as it is if it is positive semi-definite, else the near one that is, which is said once.

    Negative eigenvalues of the correlation become 0, which is the nearest positive semi-definite matrix (Higham,
    "Computing a nearest symmetric positive semidefinite matrix", 1988); then the diagonal is scaled back, so that
    variances stay (Rebonato & Jaeckel, "The most general methodology to create a valid correlation matrix", 1999).
    """
    scale = np.sqrt(np.diagonal(covariance))
    divisor = np.where(scale > 0, scale, 1.0)
    correlation = covariance / divisor / divisor[:, np.newaxis]
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= -NOTEWORTHY:
        return covariance
    near = (vectors * np.maximum(values, 0)) @ vectors.T
    rescale = np.sqrt(np.where(scale > 0, np.diagonal(near), 1.0))
    near = near / rescale / rescale[:, np.newaxis]
    _say_once(
        f"{name} is not positive semi-definite (smallest eigenvalue of its correlation {values[0]:.2g}): repaired to "
        f"the nearest that is, correlations change by up to {np.abs(near - correlation).max():.2g}"
    )
    result: Array = near * np.outer(scale, scale)
    return result


@functools.lru_cache(maxsize=64)
def _say_once(text: str) -> None:
    """A run draws many times from the same matrix."""
    log.warning("%s", text)
