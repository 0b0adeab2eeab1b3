"""Correlated normal values, and the nearest positive semi-definite matrix."""

import functools
import logging

import numpy as np

from unravel_lib.latents.blocks import Frames
from unravel_lib.statistics.measure import Array

ROUNDING = 1e-8  # negative eigenvalues of a correlation matrix smaller than this

log = logging.getLogger("unravel_lib")


def correlated(rng: np.random.Generator, n_frames: int, covariance: Array) -> Frames:
    """Draw normal values [n_frames, dims] around 0 with a positive semi-definite covariance [dims, dims]."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # symmetric, so eigenvector signs do not matter
    frames: Frames = rng.standard_normal((n_frames, len(covariance))) @ root
    return frames


def nearest_psd(covariance: Array, name: str) -> Array:
    """Return a covariance as it is if it is positive semi-definite, else the nearest that is, and log that once.

    Parameters
    ----------
    covariance : float64 [dims, dims]
    name : str
        What it is, for the message.

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
    warn_once(
        f"{name} is not positive semi-definite (smallest eigenvalue of its correlation {values[0]:.2g}): repaired to "
        f"the nearest that is, correlations change by up to {np.abs(near - correlation).max():.2g}"
    )
    result: Array = near * np.outer(scale, scale)
    return result


@functools.lru_cache(maxsize=64)
def warn_once(text: str) -> None:
    """Log a warning the first time only: a run draws many times from the same matrix."""
    log.warning("%s", text)
