"""Loops judged by ear, as far as numbers can: is it silent, does it keep a beat, does the beat divide the loop.

All functions take mono sound [samples] and its sample rate. They are measures of sound, so that they also hear what a
decoder does to latents that are true.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unravel_lib.audio import descriptors
from unravel_lib.audio.descriptors import LOUDNESS, describe

Array = npt.NDArray[np.float64]

HOP, SIZE, MELS = 512, 2048, 40  # samples, samples, bands of the onset strength
SMOOTHED = np.array([1, 3, 4, 3, 1]) / 12  # onsets may be a few milliseconds off
WINDOW_SECONDS, STEP_SECONDS = 3.0, 1.5
BEAT_SECONDS = (0.15, 1.5)  # lags at which the autocorrelations of onsets are compared
DIVISORS = (2, 3, 4, 6, 8)
SILENT = -50.0  # LUFS momentary
CHANGE_SECONDS = 1.6


def mel_bands(sound: Array, sample_rate: float) -> Array:
    """Power in mel bands, in dB, [frames, bands]."""
    n = (len(sound) - SIZE) // HOP + 1
    if n < 1:
        return np.empty((0, MELS))
    frames = np.lib.stride_tricks.sliding_window_view(sound, SIZE)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(SIZE))) ** 2 / SIZE**2
    low, high = descriptors.MEL_HZ[0], min(descriptors.MEL_HZ[1], sample_rate / 2)
    bands = descriptors.mel_bands(np.fft.rfftfreq(SIZE, 1 / sample_rate), descriptors.MELS, low, high)
    return 10 * np.log10(power @ bands + 1e-7)


def onsets(sound: Array, sample_rate: float, circular: bool = False) -> Array:
    """Onset strength: how far the mel bands have risen since 512 samples before, mean of all bands."""
    bands = mel_bands(np.concatenate([sound, sound[:SIZE]]) if circular else sound, sample_rate)
    rises = np.maximum(0, np.diff(bands, axis=0)).mean(axis=1)
    if len(rises) < len(SMOOTHED):
        return rises
    return np.convolve(np.pad(rises, 2, mode="wrap" if circular else "edge"), SMOOTHED, "valid")


def momentary(sound: Array, sample_rate: float) -> Array:
    """Loudness of 400 ms at a time, a value each 46 ms; a shorter sound is repeated, as it is where it loops."""
    sound = np.tile(sound, int(np.ceil(0.8 * sample_rate / len(sound))))
    hop = round(0.0464 * sample_rate)
    power = 10 ** (describe(sound, sample_rate, hop)[LOUDNESS].astype(np.float64) / 10)
    n = max(1, round(0.4 * sample_rate / hop))
    return 10 * np.log10(np.convolve(np.concatenate([power, power[: n - 1]]), np.full(n, 1 / n), "valid"))


def is_silent(sound: Array, sample_rate: float) -> bool:
    """Whether a loop is nowhere above -50 LUFS momentary."""
    return bool(momentary(sound, sample_rate).max() < SILENT)


def change_of_loudness(sound: Array, sample_rate: float) -> float:
    """How far the loudness moves within 1.6 s, in dB, median."""
    loudness, lag = momentary(sound, sample_rate), round(CHANGE_SECONDS / 0.0464)
    return float(np.median(np.abs(loudness[lag:] - loudness[:-lag]))) if len(loudness) > lag else np.nan


def rhythms(sound: Array, sample_rate: float) -> list[Array]:
    """Autocorrelation of the onset strength, at lags from 0.15 to 1.5 s, of windows of 3 s."""
    size, step = int(WINDOW_SECONDS * sample_rate), int(STEP_SECONDS * sample_rate)
    low, high = (int(seconds * sample_rate / HOP) for seconds in BEAT_SECONDS)
    found = []
    for start in range(0, len(sound) - size + 1, step):
        strength = onsets(sound[start : start + size], sample_rate)
        strength = strength - strength.mean()
        spectrum = np.fft.rfft(strength, 2 * len(strength))
        found.append(np.fft.irfft(np.abs(spectrum) ** 2)[low:high])
    return found


def correlation(one: Array, other: Array) -> float:
    """Pearson's correlation; 0 where one of the two is constant."""
    a, b = one - one.mean(), other - other.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def beat_distance(drawn: Sequence[Array], recorded: Sequence[Array]) -> float:
    """1 - correlation of each rhythm with the nearest recorded one, mean: 0 is the same beat."""
    return float(np.mean([1 - max(correlation(one, other) for other in recorded) for one in drawn]))


def steadiness(windows: Sequence[Array]) -> float:
    """Correlation of the rhythms of one sound with each other, mean; NaN for fewer than two."""
    pairs = [correlation(one, other) for i, one in enumerate(windows) for other in windows[i + 1 :]]
    return float(np.mean(pairs)) if pairs else np.nan


def division(sound: Array, sample_rate: float) -> float:
    """Circular autocorrelation of a loop's onsets at a half, third, quarter, sixth or eighth of it: the highest."""
    strength = onsets(sound, sample_rate, circular=True)
    strength = strength - strength.mean()
    power = np.abs(np.fft.fft(strength)) ** 2
    turns = np.fft.fftfreq(len(strength))
    if not power.any():
        return 0.0
    return max(float(power @ np.cos(2 * np.pi * turns * len(strength) / n) / power.sum()) for n in DIVISORS)


def distinct(sounds: Sequence[Array], sample_rate: float) -> float:
    """How many different sounds there are, as a share of all: the Vendi score over their number.

    Friedman & Dieng, "The Vendi Score" (2023), with a Gaussian kernel of unit width on the means and deviations of mel
    bands and onsets, each in standard deviations over all sounds.
    """
    rows = []
    for sound in sounds:
        bands = mel_bands(np.tile(sound, int(np.ceil(2 * SIZE / len(sound)))), sample_rate)
        rises = np.maximum(0, np.diff(bands, axis=0)).mean(axis=1)
        rows.append(np.concatenate([bands.mean(axis=0), bands.std(axis=0), [rises.mean(), rises.std()]]))
    features = np.array(rows)
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-9) / np.sqrt(features.shape[1])
    squares = ((features[:, np.newaxis] - features) ** 2).sum(axis=2)
    values = np.linalg.eigvalsh(np.exp(-squares / 2 / 0.25**2) / len(sounds))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()) / len(sounds))


def mel_frechet(drawn: Sequence[Array], recorded: Sequence[Array], sample_rate: float) -> float:
    """Frechet distance of the mel bands of all frames, per band in units of the recorded variance."""
    from scipy.linalg import sqrtm

    one, other = (np.concatenate([mel_bands(s, sample_rate) for s in side]) for side in (drawn, recorded))
    a, b = np.cov(one.T), np.cov(other.T)
    distance = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    return float(distance / np.trace(b))
