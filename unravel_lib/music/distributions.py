"""Distributions: statistics -> new frames. `kinds` defines what a distribution is.

One of your own is five lines in a file of yours:

    from unravel_lib import distribution

    @distribution
    def triangle(statistics, rng, n_frames):
        'Between the measured minimum and maximum, most often at the centre.'
        low, mode, high = statistics.minimum, statistics.location, statistics.maximum
        return rng.triangular(low, mode, high, (n_frames, statistics.dims))

and is drawn from with `distribution` my_distributions.py:triangle.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError, check_seed, whole_number
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import DISTRIBUTIONS, distribution
from unravel_lib.music.kinds import MAX_BYTES, Entry, Function, Options, checked_loop
from unravel_lib.music.recordings import Recordings, first_place, recordings_of
from unravel_lib.music.steering import read_wishes
from unravel_lib.statistics.measure import FLOAT32_MAX, PERCENTS, Array, Statistics

UNIFORM_REACH = 3.0  # bounds of uniform, in standard deviations
MAX_LAG_1 = 0.9999  # a lag-1 coefficient of 1 would repeat its first frame
ROUNDING = 1e-8  # eigenvalues of a correlation matrix that are not below minus this count as not negative
STRAYS = "the dims move together otherwise than in the recordings, so the timbre may stray; retrace stays close to it"
HEARD = 0.05  # smaller changes of correlations are not worth a warning

log = logging.getLogger("unravel_lib")


@distribution
def normal(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Each dim for itself, normal around its mean (`iqr`: median and IQR / 1.349)."""
    return statistics.location + statistics.scale * rng.standard_normal((n_frames, statistics.dims))


@distribution
def uniform(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Each dim for itself, anywhere within 3 standard deviations of its mean (`iqr`: of its median)."""
    reach = UNIFORM_REACH * statistics.scale
    return statistics.location + reach * rng.uniform(-1.0, 1.0, (n_frames, statistics.dims))


@distribution
def iqr_uniform(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Each dim for itself, anywhere between Q1 - 1.5 IQR and Q3 + 1.5 IQR."""
    return rng.uniform(statistics.lower, statistics.upper, (n_frames, statistics.dims))


@distribution
def correlation_based(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Normal, with the dims moving together as they were measured to (`iqr`: by the robust correlation)."""
    covariance = nearest_psd(statistics.active_covariance, "correlation-based")
    frames: Frames = statistics.location + correlated(rng, n_frames, covariance)
    return frames


@distribution
def empirical(recordings: Recordings, rng: np.random.Generator, n_frames: int) -> Frames:
    """Whole frames of the encodings in random order, with replacement (`iqr` changes nothing).

    All frames count alike, silent ones too.
    """
    latents = np.concatenate([encoding.latents for encoding in recordings.encodings], axis=1)
    return latents[:, rng.integers(0, latents.shape[1], n_frames)].T.astype(np.float64)


@distribution
def copula(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Each dim shaped as it was measured, with the dims moving together (best with `iqr`: by their ranks).

    A Gaussian copula: correlated normal values, each dim mapped so that its quantiles become the measured ones. Between
    PERCENTS the map is linear over the normal axis, and no value is outside the measured minimum and maximum. Under
    `iqr` the rank correlation is the measured one; otherwise Pearson's is used for the normal values, which is exact
    for normal dims and approximate for others. See Nelsen, "An Introduction to Copulas" (2006), 2.3 and 5.1.
    """
    normals = correlated(rng, n_frames, nearest_psd(statistics.active_correlation, "copula"))
    standard_normal = NormalDist()
    inner = [standard_normal.inv_cdf(percent / 100) for percent in PERCENTS[1:-1]]
    lowest = min(PERCENTS[1] / 100, 1 / statistics.frames) / 2  # share of values below the minimum of so many frames
    end = standard_normal.inv_cdf(lowest)
    knots = [end, *inner, -end]
    mapped = [np.interp(z, knots, q) for z, q in zip(normals.T, statistics.quantiles.T, strict=True)]
    return np.stack(mapped, axis=1)


@distribution
def walk(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Frames that follow each other as neighbours in the encodings do; the last leads back to the first.

    A ring, in which the first frame follows the last as any other follows the one before: every frame has the measured
    covariance, and neighbours have (as far as a ring of so few frames can) the measured lag-1 coefficients.

    Notes
    -----
    An AR(1) process per dim, x[t] = m + phi (x[t - 1] - m) + e[t], with the measured lag-1 coefficients phi and the
    measured covariance S, see Luetkepohl, "New Introduction to Multiple Time Series Analysis" (2005), 2.1.4: the
    innovations e have the covariance S_ij (1 - phi_i phi_j). Where that is not positive semi-definite (two dims
    that are correlated but have different lag-1 coefficients), it is repaired: variances and lag-1 coefficients stay,
    correlations change.
    """
    phi = ring_coefficients(np.clip(statistics.autocorrelation, -MAX_LAG_1, MAX_LAG_1), n_frames)
    lap = phi**n_frames  # what is left of a frame after one lap of the ring
    # the stationary covariance is gain * covariance of e: a geometric series, cut off and repeated by a ring
    gain = (1 - np.outer(lap, lap)) / np.outer(1 - lap, 1 - lap) / (1 - np.outer(phi, phi))
    innovations = nearest_psd(statistics.active_covariance / gain, "walk")
    steps = correlated(rng, n_frames, innovations)
    frame = np.zeros_like(phi)
    for step in steps:  # one lap from 0; the geometric series of endless laps gives the start of the stationary ring
        frame = phi * frame + step
    frame = frame / (1 - lap)
    for number, step in enumerate(steps):
        steps[number] = frame = phi * frame + step
    return statistics.location + steps


def draw(
    name: str | Function | Entry,
    statistics: Statistics,
    n_frames: int,
    seed: int = 42,
    *,
    place: float | None = None,
    in_time: bool = False,
    note: Callable[[str], None] = lambda text: None,
    wishes: str | Sequence[str] = (),
    target: npt.ArrayLike | None = None,
    **options: int | float | bool | str,
) -> Frames:
    """Draw frames from a distribution: float64 [n_frames, dims]; same seed, same frames.

    Parameters
    ----------
    name : str, function or entry of DISTRIBUTIONS
        A name of DISTRIBUTIONS or of your own distribution, `FILE.py:name`, or your own distribution itself.
    statistics : Statistics
        What was measured; `statistics.iqr` chooses between the classic and the robust statistics.
    n_frames, seed : int
    place : float, optional
        Where in all recordings, from 0 to 1, for distributions that follow them; without it the seed chooses.
    in_time : bool
        Fit what is drawn to the length of the loop, for distributions that can.
    note : function of a text
        Is called with what was done.
    wishes : str or sequence of str
        How it is to sound, such as "loudness 0.1 0.9 0.1"; see `unravel_lib.music.steering`.
    target : [frames, dims], optional
        Latents of another sound, for `mosaic`.
    **options
        Options of the distribution.

    Raises
    ------
    UsageError
        No such distribution or option; it cannot be used with these statistics, wishes or target; its function failed,
        or drew values that are not finite as float32.
    """
    entry = DISTRIBUTIONS.find(name)
    check_seed(seed)
    if place is not None and not 0 <= place <= 1:
        raise UsageError("is out of range", option="place", value=f"{place:g}", expected="0 to 1")
    given: dict[str, Any] = {"statistics": statistics, "n_frames": n_frames, "in_time": in_time, "note": note}
    given |= {"place": first_place(seed) if place is None else place, "wishes": read_wishes(wishes)}
    given["target"] = None if target is None else np.asarray(target, np.float64)
    return drawn(entry, entry.complete(options), np.random.SeedSequence(seed), **given)


def drawn(entry: Entry, options: Options, seed: np.random.SeedSequence, **given: Any) -> Frames:
    """Draw frames as `draw` does; `given` are all inputs that `kinds` names but `rng` and `recordings`."""
    statistics, n_frames = checked_statistics(given["statistics"]), given["n_frames"]
    whole_number("n_frames", n_frames, MAX_BYTES // (8 * statistics.dims))
    if "recordings" in entry.inputs:
        if not statistics.encodings:
            remedy = "give the encodings"
            raise entry.wrong("takes frames of encodings, not a table", remedy=remedy, remedy_options=("input",))
        given["recordings"] = recordings_of(statistics)
    check_inputs(entry, wishes=given["wishes"], target=given["target"])
    with entry.naming_errors():
        frames = checked_loop(entry.call(given, options, seed), statistics.dims)
        if len(frames) != n_frames:
            raise ValueError(f"drew {len(frames)} frames, expected {n_frames}")
        largest = float(np.abs(frames).max())
        if not largest <= FLOAT32_MAX:  # which the encodings nearly reach, and a draw may go beyond them
            advice = "take copula, which stays within the measured values, or encodings with smaller ones"
            raise ValueError(f"drew values up to {largest:.2g}, in latents {FLOAT32_MAX:.2g} at most: {advice}")
    return frames


def checked_statistics(statistics: object) -> Statistics:
    """Return what was given as statistics; raise UsageError where it is no Statistics."""
    if not isinstance(statistics, Statistics):
        found = f"is of type {type(statistics).__name__}"
        raise UsageError(found, option="statistics", expected="what measure returns")
    return statistics


def check_inputs(entry: Entry, **given: Any) -> None:
    """Raise UsageError where a distribution does not take the wishes or the target given, or lacks a target."""
    for name, value in given.items():
        if value is not None and len(value) and name not in entry.inputs:
            takers = " or ".join(key for key, other in DISTRIBUTIONS.items() if name in other.inputs)
            option = "steer" if name == "wishes" else name
            raise entry.wrong(f"takes no {name}", remedy=f"take {takers}, or leave out", remedy_options=(option,))
    if "target" in entry.inputs and given["target"] is None:
        wanted = "give latents of another sound"
        raise entry.wrong("needs a target", remedy=wanted, remedy_options=("target",))


def ring_coefficients(lag_1: Array, n_frames: int) -> Array:
    """Find AR(1) coefficients [dims] that give a ring of `n_frames` the wanted lag-1 autocorrelation, or the nearest.

    Around a ring a frame is reached from both sides: with coefficient c neighbours correlate by
    (c + c^(n - 1)) / (1 + c^n), which grows with c and is solved for c by halving.
    """
    if n_frames == 1:
        return np.zeros_like(lag_1)
    low, high = np.full_like(lag_1, -MAX_LAG_1), np.full_like(lag_1, MAX_LAG_1)
    for _ in range(60):
        middle = (low + high) / 2
        less = (middle + middle ** (n_frames - 1)) / (1 + middle**n_frames) < lag_1
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return (low + high) / 2


def correlated(rng: np.random.Generator, n_frames: int, covariance: Array) -> Frames:
    """Draw normal values [n_frames, dims] around 0 with a positive semi-definite covariance [dims, dims]."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # symmetric, so eigenvector signs do not matter
    frames: Frames = rng.standard_normal((n_frames, len(covariance))) @ root
    return frames


def nearest_psd(covariance: Array, name: str) -> Array:
    """Return a covariance if it is positive semi-definite, else a near one that is, and log that once.

    Parameters
    ----------
    covariance : float64 [dims, dims]
    name : str
        The distribution that draws with it, for the message.

    Notes
    -----
    Negative eigenvalues of the correlation become 0, which is the nearest positive semi-definite matrix (Higham,
    "Computing a nearest symmetric positive semidefinite matrix", 1988); then the diagonal is scaled back, so that
    variances stay (Rebonato & Jaeckel, "The most general methodology to create a valid correlation matrix", 1999).
    """
    scale = np.sqrt(np.diagonal(covariance))
    divisor = np.where(scale > 0, scale, 1.0)
    correlation = covariance / divisor / divisor[:, np.newaxis]
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= -ROUNDING:
        return covariance
    near = (vectors * np.maximum(values, 0)) @ vectors.T
    rescale = np.sqrt(np.where(scale > 0, np.diagonal(near), 1.0))
    near = near / rescale / rescale[:, np.newaxis]
    change = float(np.abs(near - correlation).max())
    tell_repair(name, change, f"smallest eigenvalue {values[0]:.2g}, correlations change by up to {change:.2g}")
    result: Array = near * np.outer(scale, scale)
    return result


@functools.lru_cache(maxsize=64)
def tell_repair(name: str, change: float, detail: str) -> None:
    """Log that a correlation was repaired, the first time only: a run draws many times from the same matrix."""
    log.debug("%s: the covariance is not positive semi-definite and was repaired: %s", name, detail)
    if change > HEARD:
        log.warning("%s: %s", name, STRAYS)
