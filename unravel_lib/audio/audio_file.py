"""An open sound file: its sample rate, channels and length, and its samples in checked blocks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unravel_lib.audio.containers import cut_short
from unravel_lib.audio.windows import Sound
from unravel_lib.errors import InputError
from unravel_lib.text import printable

BLOCK_SAMPLES = 1 << 17  # samples per block that the readers give, about 3 s
SAMPLE_RATES = (1000, 2_000_000)  # Hz; below is latent audio, above are damaged headers
LOSSY_SLACK = 0.2  # seconds by which compressed formats may be shorter than their headers state: padding of the codecs


class AudioFile:
    """A sound file that is open for reading.

    Parameters
    ----------
    path : Path
        The file, for error texts.
    sample_rate : int
        In Hz.
    channels : int
        Number of channels.
    samples : int or None
        Length in samples per channel; None where the file does not state it.
    blocks : iterator of Sound
        The output of the decoder.

    Raises
    ------
    InputError
        The sample rate is not one of a sound.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, samples: int | None, blocks: Iterator[Sound]):
        self.path, self.sample_rate, self.channels, self.samples = path, sample_rate, channels, samples
        self._blocks = blocks
        low, high = SAMPLE_RATES
        if not low <= sample_rate <= high:
            hint = "decode latent audio with decoder.py" if sample_rate < low else "is its header damaged?"
            raise InputError(f"{printable(path)} runs at {sample_rate} Hz, expected {low} to {high}: {hint}")

    @property
    def seconds(self) -> float:
        """Length in seconds; 0 where the file does not state it."""
        return (self.samples or 0) / self.sample_rate

    def blocks(self) -> Iterator[Sound]:
        """Yield the sound as float32 blocks [channels, n]; works once.

        Raises
        ------
        InputError
            The file is damaged or cut short, contains NaN or Inf, or has no samples.
        """
        start = 0
        for block in self._blocks:
            finite = np.isfinite(block)
            if not finite.all():
                at = start + int(np.argwhere(~finite)[0][1])
                raise InputError(f"{printable(self.path)} holds NaN or Inf at sample {at}: repair or render it again")
            start += block.shape[1]
            yield block
        if not start:
            raise InputError(f"{printable(self.path)} holds 0 samples: expected at least one")
        if self.samples is not None and start < self.samples - LOSSY_SLACK * self.sample_rate:
            raise cut_short(self.path, f"{start / self.sample_rate:.1f} s of {self.seconds:.1f} s")
