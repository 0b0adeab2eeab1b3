"""What is heard in each frame of a sound: its loudness, its brightness, its attack."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.blocks import Sound

Descriptors = npt.NDArray[np.float32]  # [3, frames]: LOUDNESS, BRIGHTNESS, ATTACK

LOUDNESS, BRIGHTNESS, ATTACK = range(3)  # rows: dB, log2 Hz, dB
NAMES = ("loudness", "brightness", "attack")
SMOOTH_SECONDS = 0.046  # over which loudness is smoothed: half the length of the Hann window of a frame
SILENCE = -70.0  # dB, the lowest loudness, as the absolute gate of EBU R128
DARKEST = 20.0  # Hz, the lowest centroid
MELS, MEL_HZ = 40, (30.0, 16_000.0)  # bands of the attack
BLOCK_FRAMES = 256  # described at a time


class Describer:
    """Describes a sound that passes in blocks.

    A frame is seen through a Hann window of about 92 ms around its middle. Its loudness is the power of all channels
    weighted by frequency as ITU-R BS.1770 does, in dB like LUFS without gates. Its brightness is the centroid of its
    magnitude spectrum. Its attack is how far its mel bands have risen since the frame before, mean of all bands, where
    a fall counts as 0.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    compression : int
        Samples per frame.
    channels : int
        Of the sound.
    """

    def __init__(self, sample_rate: float, compression: int, channels: int = 1) -> None:
        self.compression = compression
        self._size = 1 << round(math.log2(2 * SMOOTH_SECONDS * sample_rate))  # a power of two: as fast as can be
        self._window = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._hertz: npt.NDArray[np.float64] = np.fft.rfftfreq(self._size, 1 / sample_rate).astype(np.float64)
        self._weights = k_weighting(self._hertz).astype(np.float32)
        self._bands = mel_bands(self._hertz, MELS, MEL_HZ[0], min(MEL_HZ[1], sample_rate / 2)).astype(np.float32)
        self._before = np.full(MELS, SILENCE)  # mel bands of the last frame
        begin = compression // 2 - self._size // 2  # of the window of the first frame, before the sound or inside of it
        self._skip = max(0, begin)  # samples to drop from what comes next
        self._waiting = np.zeros((channels, max(0, -begin)), np.float32)  # samples that no frame has seen to its end
        self._parts: list[Descriptors] = []

    def follow(self, blocks: Iterable[Sound]) -> Iterator[Sound]:
        """Pass on blocks [channels, n], and describe them."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: Sound) -> None:
        """Take in the next block [channels, n]."""
        skipped = min(self._skip, block.shape[1])
        self._skip -= skipped
        self._waiting = np.concatenate([self._waiting, block[:, skipped:].astype(np.float32, copy=False)], axis=1)
        while (n := self._complete()) >= BLOCK_FRAMES:
            self._describe(min(n, BLOCK_FRAMES))

    def result(self, frames: int, delay: int = 0) -> Descriptors:
        """Return the descriptors, float32 [3, frames]; what is behind the end of the sound is silence.

        Parameters
        ----------
        frames : int
            How many the latents have.
        delay : int
            By how many samples the latents are later than the sound, as those of a streaming export are.
        """
        self._waiting = np.pad(self._waiting, ((0, 0), (0, self._size + self.compression)))
        while n := self._complete():
            self._describe(min(n, BLOCK_FRAMES))
        silence = np.array([[SILENCE], [np.log2(DARKEST)], [0.0]], np.float32)
        shift = round(delay / self.compression)
        known = np.concatenate([np.repeat(silence, shift, axis=1), *self._parts], axis=1)[:, :frames]
        return np.concatenate([known, np.repeat(silence, frames - known.shape[1], axis=1)], axis=1)

    def _complete(self) -> int:
        """How many frames the waiting samples have to the end of their windows."""
        return max(0, (self._waiting.shape[1] - self._size) // self.compression + 1)

    def _describe(self, n: int) -> None:
        every = np.lib.stride_tricks.sliding_window_view(self._waiting, self._size, axis=1)
        spectra = np.abs(np.fft.rfft(every[:, : n * self.compression : self.compression] * self._window)) ** 2
        self._waiting = self._waiting[:, n * self.compression :]
        power = spectra.sum(axis=0) * (
            2 / (self._size * np.sum(self._window**2))
        )  # one-sided: it sums to the mean square
        weighted = power @ self._weights
        magnitude = np.sqrt(power)
        centroid = magnitude @ self._hertz / np.maximum(magnitude.sum(axis=1), 1e-12)
        mels = np.maximum(SILENCE, 10 * np.log10(power @ self._bands + 1e-12))
        rise = np.maximum(0, np.diff(mels, axis=0, prepend=self._before[np.newaxis])).mean(axis=1)
        self._before = mels[-1]
        loudness = np.maximum(SILENCE, -0.691 + 10 * np.log10(weighted + 1e-12))  # -0.691: of BS.1770
        brightness = np.log2(np.maximum(DARKEST, centroid))
        self._parts.append(np.stack([loudness, brightness, rise]).astype(np.float32))


def describe(sound: npt.ArrayLike, sample_rate: float, compression: int) -> Descriptors:
    """Describe a sound frame by frame: float32 [3, frames], loudness (dB), brightness (log2 Hz), attack (dB).

    Parameters
    ----------
    sound : array [channels, samples] or [samples]
    sample_rate : float
        In Hz.
    compression : int
        Samples per frame.

    Examples
    --------
    >>> describe(np.zeros(4096), 44100, 2048)[LOUDNESS].tolist()
    [-70.0, -70.0]
    """
    array = np.atleast_2d(np.asarray(sound, np.float32))
    describer = Describer(sample_rate, compression, len(array))
    describer.add(array)
    return describer.result(-(-array.shape[1] // compression))


def mel_bands(hertz: npt.NDArray[np.float64], bands: int, low: float, high: float) -> npt.NDArray[np.float64]:
    """Return the weights of frequencies in triangular bands from `low` to `high`, equally wide in mel.

    Their shape is [frequencies, bands].

    O'Shaughnessy, "Speech Communication" (1987): mel = 2595 log10(1 + f / 700).
    """
    bottom, top = (2595 * np.log10(1 + f / 700) for f in (low, high))
    edges = 700 * (10 ** (np.linspace(bottom, top, bands + 2) / 2595) - 1)
    return np.stack([np.interp(hertz, edges[i : i + 3], [0.0, 1.0, 0.0]) for i in range(bands)], axis=1)


def k_weighting(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the gain in power of the K-weighting of ITU-R BS.1770-4 at these frequencies.

    Two analog filters of second order with the frequencies and qualities behind its coefficients at 48 kHz: a high
    shelf of 4 dB and a high-pass, after De Man, "Evaluation of implementations of the EBU R128 loudness measurement"
    (2018).
    """
    s = 1j * hertz / 1681.97445
    top = 10 ** (3.99984385 / 20)
    shelf = (top * s**2 + top**0.49966677 / 0.70717524 * s + 1) / (s**2 + s / 0.70717524 + 1)
    s = 1j * hertz / 38.1354709
    high_pass = s**2 / (s**2 + s / 0.50032704 + 1)
    gain: npt.NDArray[np.float64] = np.abs(shelf * high_pass) ** 2
    return gain
