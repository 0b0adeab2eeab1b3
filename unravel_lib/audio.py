"""Sound files in and out: blocks of float32 [channels, samples], read, mixed, resampled and written as they come."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from unravel_lib.errors import InputError
from unravel_lib.files import shown, write_whole
from unravel_lib.windows import in_windows

Block = npt.NDArray[np.float32]

EXTENSIONS = (".wav", ".mp3", ".ogg", ".aac", ".opus", ".aif", ".aiff", ".flac", ".m4a")
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
BLOCK_SAMPLES = 1 << 17  # samples read in one go, about 3 s
RIFF_LIMIT = (1 << 32) - (1 << 16)  # bytes of sound that a plain WAV can hold, with room for its header
MAX_STEP = 2000  # a rate ratio is taken as p/q with q up to this: off by less than 1e-6, and the filter stays small
RESAMPLE_SECONDS = 3.0  # length of one resampled window
# What FFmpeg may read: single sound and film files. No playlists, which could lead to other files or to the network.
FFMPEG_FORMATS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp2,mp3,"
    "mpeg,mpegts,ogg,opus,rm,tta,voc,w64,wav,wv"
)


class AudioFile:
    """A sound file that is open for reading.

    Attributes
    ----------
    sample_rate : Hz
    channels : number of channels
    samples : length in samples per channel, None where the file does not say
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, samples: int | None, blocks: Iterator[Block]):
        self.path, self.sample_rate, self.channels, self.samples = path, sample_rate, channels, samples
        self._blocks = blocks

    @property
    def seconds(self) -> float:
        """Length in seconds; 0 where the file does not say."""
        return (self.samples or 0) / self.sample_rate

    def blocks(self) -> Iterator[Block]:
        """The sound as float32 blocks [channels, n], once.

        Raises
        ------
        InputError
            Damaged on the way, NaN or Inf, or no sample at all.
        """
        start = 0
        for block in self._blocks:
            finite = np.isfinite(block)
            if not finite.all():
                at = start + int(np.argwhere(~finite)[0][1])
                raise InputError(f"{shown(self.path)} holds NaN or Inf at sample {at}: repair or render it again")
            start += block.shape[1]
            yield block
        if not start:
            raise InputError(f"{shown(self.path)} holds 0 samples: expected at least one")


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a sound file with libsndfile (WAV, AIFF, FLAC, OGG, Opus, MP3, ...) or else with FFmpeg (AAC, M4A, ...).

    Raises
    ------
    InputError
        Not a readable sound file.
    """
    with contextlib.ExitStack() as stack:
        try:
            if path.stat().st_size == 0:
                raise InputError(f"{shown(path)} is empty (0 bytes), expected a sound file")
            raw = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from error
        try:
            sound = stack.enter_context(soundfile.SoundFile(raw))
        except soundfile.LibsndfileError:
            raw.seek(0)
            yield _open_with_ffmpeg(path, raw, stack)
        else:
            yield AudioFile(path, sound.samplerate, sound.channels, sound.frames, _soundfile_blocks(path, sound))


def _soundfile_blocks(path: Path, sound: Any) -> Iterator[Block]:
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{shown(path)} is damaged: {error}") from error


def _open_with_ffmpeg(path: Path, raw: Any, stack: contextlib.ExitStack) -> AudioFile:
    import av

    try:
        container = stack.enter_context(av.open(raw, options={"format_whitelist": FFMPEG_FORMATS}))
        if not container.streams.audio:
            raise InputError(f"{shown(path)} holds no sound: expected at least one audio track")
        stream = container.streams.audio[0]
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{shown(path)} is not a sound file that libsndfile or FFmpeg can read") from error
    if not rate or not channels:
        raise InputError(f"{shown(path)} does not say its sample rate or channels: is it complete?")
    samples = int(stream.duration * stream.time_base * rate) if stream.duration and stream.time_base else None
    return AudioFile(path, rate, channels, samples, _ffmpeg_blocks(path, container, stream))


def _ffmpeg_blocks(path: Path, container: Any, stream: Any) -> Iterator[Block]:
    import av

    convert = av.AudioResampler(
        format="fltp", layout=stream.codec_context.layout, rate=stream.codec_context.sample_rate
    )
    parts: list[Block] = []
    try:
        for frame in _ffmpeg_frames(container, stream):
            parts += [np.asarray(piece.to_ndarray(), np.float32) for piece in convert.resample(frame)]
            if sum(part.shape[1] for part in parts) >= BLOCK_SAMPLES:
                yield np.concatenate(parts, axis=1)
                parts = []
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{shown(path)} is damaged: {getattr(error, 'strerror', None) or error}") from error
    if parts:
        yield np.concatenate(parts, axis=1)


def _ffmpeg_frames(container: Any, stream: Any) -> Iterator[Any]:
    yield from container.decode(stream)
    yield None  # flushes the format converter


def to_channels(blocks: Iterable[Block], channels: int) -> Iterator[Block]:
    """Fit blocks to `channels`: equal stays, more are mixed to mono by their mean, mono is repeated."""
    for block in blocks:
        if block.shape[0] != channels:
            mono = block.mean(axis=0, keepdims=True, dtype=np.float32)
            block = np.repeat(mono, channels, axis=0)
        yield block


def resampled(blocks: Iterable[Block], sample_rate: float, target: float) -> Iterator[Block]:
    """Change the sample rate on the way, with torchaudio's windowed sinc; equal to resampling the whole at once.

    The length becomes ceil(samples * target / sample_rate). Odd ratios are rounded to a fraction with a denominator
    of at most 2000: for every rate in use a pitch error below 0.01 cent and a drift of a few ms an hour at most.

    Source: the filter is torchaudio.transforms.Resample with its defaults (Hann window, six zero crossings).
    """
    ratio = Fraction(target / sample_rate).limit_denominator(MAX_STEP)
    if ratio == 1:
        yield from blocks
        return
    import torch
    import torchaudio.transforms

    step_out, step_in = ratio.numerator, ratio.denominator
    resample = torchaudio.transforms.Resample(step_in, step_out)
    context = math.ceil(resample.width / step_in) + 1
    window = max(math.ceil(RESAMPLE_SECONDS * sample_rate / step_in), 4 * context)

    def process(x: Block) -> Block:
        with torch.no_grad():
            result: Block = resample(torch.from_numpy(x)).numpy()
        return result

    sizes = {"step_in": step_in, "step_out": step_out, "window": window, "left": context, "right": context}
    yield from in_windows(blocks, process, **sizes)


def write_audio(
    path: Path, blocks: Iterable[Block], sample_rate: float, channels: int, subtype: str, samples: int
) -> float:
    """Write blocks [channels, n] to a WAV as they come, whole or not at all; RF64 where it would outgrow 4 GiB.

    Parameters
    ----------
    samples : expected length, per channel
    subtype : one of SUBTYPES; the PCM ones clip at full scale

    Returns
    -------
    the peak, absolute: above 1.0 a PCM file has clipped
    """
    peak = 0.0
    width = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    kind = "WAV" if samples * channels * width < RIFF_LIMIT else "RF64"
    with (
        write_whole(path) as part,
        open(part, "wb+") as file,
        soundfile.SoundFile(file, "w", round(sample_rate), channels, subtype, format=kind) as sound,
    ):
        without_peak_chunk(sound)
        for block in blocks:
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            sound.write(block.T)
    return peak


def without_peak_chunk(sound: soundfile.SoundFile) -> None:
    """Keep libsndfile from writing a PEAK chunk, which holds the time of day: same sound, same bytes.

    Source: SFC_SET_ADD_PEAK_CHUNK = 0x1050 in libsndfile's command interface. python-soundfile has no public call for
    it.
    """
    soundfile._snd.sf_command(sound._file, 0x1050, soundfile._ffi.NULL, 0)
