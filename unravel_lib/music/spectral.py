"""Distributions that are new signals with the second-order statistics of the recordings: smooth, without a seam."""

import numpy as np
import numpy.typing as npt

from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import distribution
from unravel_lib.music.recordings import Index, Recording, Recordings
from unravel_lib.statistics.measure import Array, Statistics

LAG_SECONDS = 1.5  # up to which cross-covariances are kept
FADE_SECONDS = 0.37  # in which one stretch gives way to the next
LEAST = 2  # frames that a recording must have


@distribution
def spectral(
    statistics: Statistics, recordings: Recordings, rng: np.random.Generator, n_frames: int, place: float
) -> Frames:
    """Smooth new motion with the recordings' spectra, their values and the dims moving together; a closed ring.

    Notes
    -----
    Multivariate surrogate data, after Schreiber & Schmitz, "Surrogate time series" (2000): Gaussian signals with the
    cross-covariances of a recording, each dim bent to the recording's own values. Where a recording has a period, its
    mean period is kept, and the signals are made of what deviates from it. Long rings are made of stretches of other
    recordings; neighbours are cross-faded, their means linearly, what deviates from these with equal power.
    """
    max_lag = max(1, round(LAG_SECONDS * recordings.frame_rate))
    stretches = recordings.stretches(place, n_frames, LEAST)
    if len(stretches) == 1:
        course, rest = _drawn_like(stretches[0][0], max_lag, rng, n_frames)
        result = course + rest
    else:
        fade = max(2, round(FADE_SECONDS * recordings.frame_rate) // 2 * 2)
        result = np.zeros((n_frames, statistics.dims))
        start = 0
        for recording, _, size in stretches:
            length = size + fade
            course, rest = (part[:length] for part in _drawn_like(recording, max_lag, rng, length + max_lag))
            ramps = np.full(fade + 1, 1 / (fade + 1))  # the shares of neighbouring stretches sum to 1
            share = np.convolve(np.ones(size), ramps)[:, np.newaxis]
            frames = np.arange(start - fade // 2, start - fade // 2 + length) % n_frames
            np.add.at(result, frames, share * course + np.sqrt(share) * rest)
            start += size
    return np.clip(result * recordings.scale, statistics.minimum, statistics.maximum)


def _drawn_like(recording: Recording, max_lag: int, rng: np.random.Generator, n_frames: int) -> tuple[Frames, Frames]:
    """Draw a ring like a recording: the mean of its periods, and a new signal of what deviates; both [n_frames, dims].

    For a recording without a period the first is its mean.
    """
    frames, period = recording.frames, recording.period or 1.0
    size, n_periods = round(period), len(recording) / period
    phases = _phases(len(recording), period, size)
    course = np.zeros((size, frames.shape[1]))
    np.add.at(course, phases, frames)
    course /= np.maximum(np.bincount(phases, minlength=size), 1)[:, np.newaxis]
    rest = frames - course[phases]
    if recording.period is not None:
        rest *= np.sqrt(n_periods / (n_periods - 1))  # what the mean of so few periods has taken away
    return course[_phases(n_frames, period, size)], _surrogate(rest, max_lag, rng, n_frames)


def _surrogate(like: Frames, max_lag: int, rng: np.random.Generator, n_frames: int) -> Frames:
    """Draw a ring [n_frames, dims] with the values of a signal, and its cross-covariances up to a lag.

    The covariances are those of normal scores: normal values of the same ranks as those of the signal.
    """
    from scipy.special import ndtr, ndtri

    n, dims = like.shape
    scores = ndtri((like.argsort(axis=0).argsort(axis=0) + 0.5) / n)  # ranks as normal values
    spectrum = np.fft.rfft(rng.standard_normal((n_frames, dims)), axis=0)
    frequencies = np.arange(len(spectrum))
    values, vectors = np.linalg.eigh(_cross_spectra(_covariances(scores, max_lag), frequencies / n_frames))
    power = np.maximum(values, 0)
    root = (vectors * np.sqrt(power)[:, np.newaxis]) @ vectors.conj().transpose(0, 2, 1)
    spectrum = np.einsum("fij,fj->fi", root, spectrum)
    twice = np.where((frequencies == 0) | (2 * frequencies == n_frames), 1, 2)  # for the negative frequencies
    variance = np.einsum("f,fij,fj->i", twice, np.abs(vectors) ** 2, power) / n_frames
    ring = np.fft.irfft(spectrum, n_frames, axis=0) if n_frames > 1 else spectrum.real
    places = ndtr(ring / np.sqrt(np.maximum(variance, 1e-12))) * n - 0.5
    bent = [np.interp(at, np.arange(n), column) for at, column in zip(places.T, np.sort(like, axis=0).T, strict=True)]
    return np.stack(bent, axis=1)


def _phases(n_frames: int, period: float, size: int) -> Index:
    """Which of `size` parts of a period each frame is in."""
    phases: Index = np.minimum(np.arange(n_frames) % period / period * size, size - 1).astype(np.int64)
    return phases


def _covariances(scores: Frames, max_lag: int) -> Array:
    """Cross-covariances of x[t + lag] and x[t], [lags, dims, dims], for lags from 0 up, under a Parzen window.

    Parzen, "Mathematical considerations in the estimation of spectra" (1961).
    """
    n = len(scores)
    lags = np.arange(min(max_lag, n - 1) + 1)
    u = lags / (max_lag + 1)
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    return np.stack([w * (scores[lag:].T @ scores[: n - lag]) / n for lag, w in zip(lags, window, strict=True)])


def _cross_spectra(covariances: Array, frequencies: Array) -> npt.NDArray[np.complex128]:
    """Cross-spectral matrices [frequencies, dims, dims], Hermitian; frequencies in cycles per frame."""
    turns = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(len(covariances))))
    half: npt.NDArray[np.complex128] = np.tensordot(turns, covariances, 1)
    whole: npt.NDArray[np.complex128] = half + half.conj().transpose(0, 2, 1) - covariances[0]
    return whole
