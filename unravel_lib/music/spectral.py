"""Distributions that are new signals with the second-order statistics of the recordings: smooth, without a seam."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import distribution
from unravel_lib.music.recordings import Index, Recording, Recordings
from unravel_lib.statistics.measure import Statistics

LAG_SECONDS = 1.5
FADE_SECONDS = 0.37  # in which one stretch gives way to the next
LEAST = 2  # frames of a recording


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
    styles = [_Style.of(recording, max_lag) for recording, _, _ in stretches]
    if len(styles) == 1:
        course, rest = styles[0].ring(rng, n_frames)
        result = course + rest
    else:
        fade = max(2, round(FADE_SECONDS * recordings.frame_rate) // 2 * 2)
        result = np.zeros((n_frames, statistics.dims))
        start = 0
        for style, (_, _, size) in zip(styles, stretches, strict=True):
            length = size + fade
            course, rest = (part[:length] for part in style.ring(rng, length + max_lag))
            ramps = np.full(fade + 1, 1 / (fade + 1))  # the shares of neighbouring stretches sum to 1
            share = np.convolve(np.ones(size), ramps)[:, np.newaxis]
            frames = np.arange(start - fade // 2, start - fade // 2 + length) % n_frames
            np.add.at(result, frames, share * course + np.sqrt(share) * rest)
            start += size
    return np.clip(result * recordings.scale, statistics.minimum, statistics.maximum)


@dataclass(frozen=True, eq=False)
class _Style:
    """What is taken over from a recording.

    Attributes
    ----------
    course : float64 [frames, dims]
        The mean of its periods; of one without a period its mean, a single frame.
    period : float
        How many frames the course lasts.
    ordered : float64 [frames, dims]
        The sorted values of what deviates from the course.
    covariances : float64 [lags, dims, dims]
        Of the ranks of these, as normal values.
    """

    course: Frames
    period: float
    ordered: Frames
    covariances: Frames

    @classmethod
    def of(cls, recording: Recording, max_lag: int) -> "_Style":
        """Measure a recording."""
        from scipy.special import ndtri

        frames, period = recording.frames, recording.period or len(recording)
        n_periods = len(recording) / period
        size = round(period) if recording.period is not None else 1
        phases = _phases(len(recording), period, size)
        count = np.bincount(phases, minlength=size)[:, np.newaxis]
        course = np.zeros((size, frames.shape[1]))
        np.add.at(course, phases, frames)
        course /= np.maximum(count, 1)
        rest = frames - course[phases]
        if recording.period is not None:
            rest *= np.sqrt(n_periods / (n_periods - 1))  # what the mean of so few periods has taken away
        scores = ndtri((rest.argsort(axis=0).argsort(axis=0) + 0.5) / len(rest))
        return cls(course, period, np.sort(rest, axis=0), _covariances(scores, max_lag))

    def ring(self, rng: np.random.Generator, n_frames: int) -> tuple[Frames, Frames]:
        """Return the course over `n_frames` frames, and what deviates from it, a ring; both [n_frames, dims]."""
        from scipy.special import ndtr

        n, dims = self.ordered.shape
        spectrum = np.fft.rfft(rng.standard_normal((n_frames, dims)), axis=0)
        frequencies = np.arange(len(spectrum))
        values, vectors = np.linalg.eigh(_cross_spectra(self.covariances, frequencies / n_frames))
        power = np.maximum(values, 0)
        root = (vectors * np.sqrt(power)[:, np.newaxis]) @ vectors.conj().transpose(0, 2, 1)
        spectrum = np.einsum("fij,fj->fi", root, spectrum)
        twice = np.where((frequencies == 0) | (2 * frequencies == n_frames), 1, 2)  # for the negative frequencies
        variance = np.einsum("f,fij,fj->i", twice, np.abs(vectors) ** 2, power) / n_frames
        ring = np.fft.irfft(spectrum, n_frames, axis=0) if n_frames > 1 else spectrum.real
        places = ndtr(ring / np.sqrt(np.maximum(variance, 1e-12))) * n - 0.5
        bent = [np.interp(place, np.arange(n), column) for place, column in zip(places.T, self.ordered.T, strict=True)]
        return self.course[_phases(n_frames, self.period, len(self.course))], np.stack(bent, axis=1)


def _phases(n_frames: int, period: float, size: int) -> Index:
    """Which of `size` parts of a period each frame is in."""
    phases: Index = np.minimum(np.arange(n_frames) % period / period * size, size - 1).astype(np.int64)
    return phases


def _covariances(scores: Frames, max_lag: int) -> Frames:
    """Cross-covariances of x[t + lag] and x[t], [lags, dims, dims], for lags from 0 up, under a Parzen window.

    Parzen, "Mathematical considerations in the estimation of spectra" (1961).
    """
    n = len(scores)
    lags = np.arange(min(max_lag, n - 1) + 1)
    u = lags / (max_lag + 1)
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    return np.stack([w * (scores[lag:].T @ scores[: n - lag]) / n for lag, w in zip(lags, window, strict=True)])


def _cross_spectra(covariances: Frames, frequencies: Frames) -> npt.NDArray[np.complex128]:
    """Cross-spectral matrices [frequencies, dims, dims], Hermitian; frequencies in cycles per frame."""
    turns = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(len(covariances))))
    half: npt.NDArray[np.complex128] = np.tensordot(turns, covariances, 1)
    whole: npt.NDArray[np.complex128] = half + half.conj().transpose(0, 2, 1) - covariances[0]
    return whole
