"""How loud a sound is: its integrated loudness and its peak; a sound brought to a loudness; fades at its ends."""

import contextlib
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from unravel_lib.audio.blocks import Sound
from unravel_lib.audio.descriptors import BRIGHTNESS, LOUDNESS, Describer, Descriptors

LAYOUTS = {1: "mono", 2: "stereo"}  # more channels are metered as loudspeakers of equal weight
GATE_SECONDS = 0.4  # of a gating block of EBU R128; a shorter sound is metered with silence behind it
SILENCE = -70.0  # LUFS, the absolute gate of EBU R128
LOWEST_RATE = 8000  # Hz; the weighting filter of EBU R128 is undefined far below
CEILING = 10 ** (-1 / 20)  # normalised sounds peak at most here: 1 dB is left for what players do between samples
DESCRIBED_SECONDS = 0.05  # of a frame by which a sound is found to be silent or static
INAUDIBLE, MOMENT_FRAMES = -50.0, 8  # LUFS over 0.4 s: a sound that is nowhere louder is silent
STATIC_DB, STATIC_OCTAVES = 3.0, 0.25  # a sound that moves by less is static
SPOOL_BYTES = 1 << 22  # read at a time
TOLERANCE, MEASUREMENTS = 0.1, 5  # LU by which normalised sound may miss its loudness, and how often it is measured


@dataclass(frozen=True)
class Level:
    """How loud a sound is.

    Attributes
    ----------
    loudness : integrated loudness in LUFS (EBU R128); None for silence, and at rates below 8 kHz
    peak : the largest absolute sample, where 1 is full scale
    silent : whether it is nowhere louder than -50 LUFS over 0.4 s
    static : whether it is the same all the time: loudness moves by less than 3 dB, brightness by a quarter octave
    """

    loudness: float | None
    peak: float
    silent: bool = False
    static: bool = False


class Meter:
    """Measures the level of a sound that passes in blocks, by the EBU R128 meter of FFmpeg.

    Parameters
    ----------
    sample_rate : in Hz
    channels : number of channels
    """

    def __init__(self, sample_rate: float, channels: int) -> None:
        import av  # here, as --help and encoder.py do not need it

        self._rate, self._channels, self._samples = round(sample_rate), channels, 0
        self._layout = LAYOUTS.get(channels, f"{channels}C")
        self._peak, self._loudness = 0.0, SILENCE
        self._graph = graph = av.filter.Graph()
        time_base = Fraction(1, self._rate)
        self._source = graph.add_abuffer(None, self._rate, "flt", self._layout, time_base=time_base)
        self._sink = graph.add("abuffersink")
        meter = graph.add("ebur128", "metadata=1:peak=none:framelog=quiet")
        graph.link_nodes(self._source, meter, self._sink).configure()
        self._describer = Describer(sample_rate, round(DESCRIBED_SECONDS * sample_rate), channels)

    def add(self, block: Sound) -> None:
        """Measure the next block, float32 [channels, n]."""
        if not block.shape[1]:
            return
        self._peak = max(self._peak, float(np.abs(block).max()))
        self._describer.add(block)
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T).reshape(1, -1), "flt", self._layout)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += block.shape[1]
        self._measure(frame)

    @cached_property
    def level(self) -> Level:
        """The level of all blocks together; no block may follow."""
        silent, static = character(self._describer.result(math.ceil(self._samples / self._describer.compression)))
        missing = math.ceil(GATE_SECONDS * self._rate) - self._samples
        if missing > 0:
            self.add(np.zeros((self._channels, missing), np.float32))
        self._measure(None)
        measured = self._loudness > SILENCE and self._rate >= LOWEST_RATE
        return Level(round(self._loudness, 2) if measured else None, self._peak, silent, static)

    def _measure(self, frame: Any) -> None:
        """Pass on a frame, or the end of the sound, and read what the meter says."""
        self._source.push(frame)
        with contextlib.suppress(BlockingIOError, EOFError):  # nothing more to read
            while True:
                text = self._sink.pull().metadata.get("lavfi.r128.I")
                self._loudness = float(text) if text else self._loudness


def character(descriptors: Descriptors) -> tuple[bool, bool]:
    """Return whether a sound is silent and whether it is static, by its descriptors in frames of 50 ms."""
    n = min(MOMENT_FRAMES, descriptors.shape[1])
    power = 10 ** (descriptors[LOUDNESS].astype(np.float64) / 10)
    moments = 10 * np.log10(np.convolve(power, np.full(n, 1 / n), "valid"))
    silent = bool(moments.max() < INAUDIBLE)
    bright = np.quantile(descriptors[BRIGHTNESS], (0.05, 0.95))
    static = len(moments) > n and bool(np.ptp(moments) < STATIC_DB and np.ptp(bright) < STATIC_OCTAVES)
    return silent, static and not silent


@dataclass
class Normalised:
    """A sound of any length brought to a loudness without clipping, by one gain.

    The gain is measured and corrected until it is within `TOLERANCE`, or the peak is the limit.

    Parameters
    ----------
    blocks : iterable of Sound
    sample_rate, channels : of the sound
    loudness : in LUFS
    max_gain_db : in dB; a quiet sound is raised by no more
    folder : where the sound is kept, in a file without a name, while it is measured

    Attributes
    ----------
    gain : the factor, known from the first block on
    """

    blocks: Iterable[Sound]
    sample_rate: float
    channels: int
    loudness: float
    max_gain_db: float
    folder: Path
    gain: float = 1.0

    def __iter__(self) -> Iterator[Sound]:
        with tempfile.TemporaryFile(dir=self.folder) as spool:
            meter = Meter(self.sample_rate, self.channels)
            for block in self.blocks:
                meter.add(block)
                spool.write(np.ascontiguousarray(block.T).data)
            self.gain = self._find_gain(spool, meter.level)
            yield from self._scaled(spool, self.gain)

    def _find_gain(self, spool: IO[bytes], level: Level) -> float:
        """Return the gain, of those tried, whose result is nearest to the loudness."""
        if level.loudness is None:
            return 1.0
        limit = min(CEILING / level.peak, 10 ** (self.max_gain_db / 20))
        gain = 10 ** ((self.loudness - level.loudness) / 20)
        errors: dict[float, float] = {}  # by gain, in LU
        for _ in range(MEASUREMENTS):
            if gain >= limit:
                return limit
            meter = Meter(self.sample_rate, self.channels)
            for block in self._scaled(spool, gain):
                meter.add(block)
            error = self.loudness - (SILENCE if meter.level.loudness is None else meter.level.loudness)
            errors.setdefault(gain, abs(error))
            if abs(error) <= TOLERANCE:
                break
            gain *= 10 ** (error / 20)
        return min(errors, key=errors.__getitem__)

    def _scaled(self, spool: IO[bytes], gain: float) -> Iterator[Sound]:
        size = SPOOL_BYTES // (4 * self.channels) * 4 * self.channels  # whole samples
        spool.seek(0)
        while data := spool.read(size):
            samples = np.frombuffer(data, np.float32).reshape(-1, self.channels)
            yield np.ascontiguousarray(samples.T) * np.float32(gain)


def faded(blocks: Iterable[Sound], samples: int, fade_samples: int) -> Iterator[Sound]:
    """Fade the first and the last `fade_samples` of a sound in and out, along half a period of a cosine.

    Parameters
    ----------
    blocks : iterable of Sound
    samples : int
        Length of the sound; a short one is faded by half of it.
    fade_samples : int
        Length of each fade.
    """
    length = min(fade_samples, samples // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))
    gains = np.append(rise, 1).astype(np.float32)  # by the distance to the nearer end
    start = 0
    for block in blocks:
        places = np.arange(start, start + block.shape[1])
        yield block * gains[np.clip(np.minimum(places, samples - 1 - places), 0, length)]
        start += block.shape[1]


def looped(blocks: Iterable[Sound], lead: int, samples: int, fade_samples: int) -> Iterator[Sound]:
    """Cut a loop out of a sound that goes on around it; its end is faded into what precedes its start.

    The cross-fade has equal power. What follows the end of the loop is then its start, as it was decoded.

    Parameters
    ----------
    blocks : iterable of Sound
        The loop with more of itself before and behind it.
    lead : int
        Samples before the loop.
    samples : int
        Length of the loop.
    fade_samples : int
        Length of the cross-fade; at most `lead`, and half of the loop.
    """
    fade = min(fade_samples, lead, samples // 2)
    turn = (np.arange(fade) + 0.5) / max(1, fade) * np.pi / 2
    start, before, tail = 0, [], []
    for block in blocks:
        stop = start + block.shape[1]
        before.append(part(block, start, lead - fade, lead))
        yield part(block, start, lead, lead + samples - fade)
        tail.append(part(block, start, lead + samples - fade, lead + samples))
        start = stop
    if fade:
        mixed = np.concatenate(tail, axis=1) * np.cos(turn) + np.concatenate(before, axis=1) * np.sin(turn)
        yield mixed.astype(np.float32)


def part(block: Sound, start: int, first: int, last: int) -> Sound:
    """Return what a block that begins at sample `start` has of the samples from `first` to `last`."""
    return block[:, max(0, first - start) : max(0, last - start)]
