"""Distributions that are new signals with the second-order statistics of the recordings: smooth, without a seam."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import distribution
from unravel_lib.music.following import Recordings
from unravel_lib.statistics.measure import Statistics

MAX_LAG = 32  # frames
BLOCK = 512  # frequencies at a time
FADE = 8  # frames in which one stretch gives way to the next


@distribution(needs_frames=True, spreads_by_iqr="never")
def spectral(statistics: Statistics, rng: np.random.Generator, n_frames: int) -> Frames:
    """Smooth new motion with the recordings' spectra, their values and the dims moving together; a closed ring.

    Notes
    -----
    Multivariate surrogate data, after Schreiber & Schmitz, "Surrogate time series" (2000): for each recording of an
    itinerary Gaussian signals with its cross-covariances, each dim bent to the recording's own values. Neighbouring
    stretches are cross-faded: their means linearly, what deviates from these with equal power.
    """
    recordings = Recordings.of(statistics)
    itinerary = recordings.itinerary(rng, n_frames, min_frames=2)
    styles = {number: _Style.of(recordings.frames(number)) for number in sorted({number for number, _ in itinerary})}
    if len(itinerary) == 1:
        result = _surrogate(styles[itinerary[0][0]], rng, n_frames)
    else:
        result = np.zeros((n_frames, statistics.dims))
        start = 0
        for number, size in itinerary:
            style, length = styles[number], size + FADE
            stretch = _surrogate(style, rng, length + MAX_LAG)[:length]
            ramps = np.full(FADE + 1, 1 / (FADE + 1))  # the shares of neighbouring stretches sum to 1
            share = np.convolve(np.ones(size), ramps)[:, np.newaxis]
            places = np.arange(start - FADE // 2, start - FADE // 2 + length) % n_frames
            np.add.at(result, places, share * style.mean + np.sqrt(share) * (stretch - style.mean))
            start += size
    return np.clip(result * recordings.scale, statistics.minimum, statistics.maximum)


@dataclass(frozen=True)
class _Style:
    """What is taken over from a recording: its sorted values [frames, dims], their mean, and its covariances."""

    ordered: Frames
    mean: Frames
    covariances: Frames

    @classmethod
    def of(cls, frames: Frames) -> "_Style":
        """Measure a recording [frames, dims]."""
        from scipy.special import ndtri

        scores = ndtri((frames.argsort(axis=0).argsort(axis=0) + 0.5) / len(frames))
        return cls(np.sort(frames, axis=0), frames.mean(axis=0), _covariances(scores))


def _surrogate(style: _Style, rng: np.random.Generator, n_frames: int) -> Frames:
    """A ring [n_frames, dims] with the spectra, the coherence and the values of a recording."""
    from scipy.special import ndtr

    n, dims = style.ordered.shape
    spectrum = np.fft.rfft(rng.standard_normal((n_frames, dims)), axis=0)
    variance = np.zeros(dims)
    for start in range(0, len(spectrum), BLOCK):
        frequencies = np.arange(start, min(start + BLOCK, len(spectrum)))
        values, vectors = np.linalg.eigh(_cross_spectra(style.covariances, frequencies / n_frames))
        power = np.maximum(values, 0)
        root = (vectors * np.sqrt(power)[:, np.newaxis]) @ vectors.conj().transpose(0, 2, 1)
        spectrum[frequencies] = np.einsum("fij,fj->fi", root, spectrum[frequencies])
        twice = np.where((frequencies == 0) | (2 * frequencies == n_frames), 1, 2)  # for the negative frequencies
        variance += np.einsum("f,fij,fj->i", twice, np.abs(vectors) ** 2, power) / n_frames
    ring = np.fft.irfft(spectrum, n_frames, axis=0) if n_frames > 1 else spectrum.real
    places = ndtr(ring / np.sqrt(np.maximum(variance, 1e-12))) * n - 0.5
    bent = [np.interp(place, np.arange(n), column) for place, column in zip(places.T, style.ordered.T, strict=True)]
    return np.stack(bent, axis=1)


def _covariances(scores: Frames) -> Frames:
    """Cross-covariances of x[t + lag] and x[t], [lags, dims, dims], for lags from 0 up, under a Parzen window.

    Parzen, "Mathematical considerations in the estimation of spectra" (1961).
    """
    n = len(scores)
    lags = np.arange(min(MAX_LAG, n - 1) + 1)
    u = lags / (MAX_LAG + 1)
    window = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    return np.stack([w * (scores[lag:].T @ scores[: n - lag]) / n for lag, w in zip(lags, window, strict=True)])


def _cross_spectra(covariances: Frames, frequencies: Frames) -> npt.NDArray[np.complex128]:
    """Cross-spectral matrices [frequencies, dims, dims], Hermitian; frequencies in cycles per frame."""
    turns = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(len(covariances))))
    half: npt.NDArray[np.complex128] = np.tensordot(turns, covariances, 1)
    whole: npt.NDArray[np.complex128] = half + half.conj().transpose(0, 2, 1) - covariances[0]
    return whole
