"""Sound files in and out: blocks of float32 [channels, samples], read, mixed, resampled and written as they come."""

import contextlib
import errno
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from unravel_lib.containers import Part, cut_short, parts_of
from unravel_lib.errors import InputError
from unravel_lib.files import shown
from unravel_lib.sidecar import Sidecar, write_described
from unravel_lib.windows import in_windows

Block = npt.NDArray[np.float32]

EXTENSIONS = (".wav", ".mp3", ".ogg", ".aac", ".opus", ".aif", ".aiff", ".flac", ".m4a")
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
BLOCK_SAMPLES = 1 << 17  # samples read in one go, about 3 s
RIFF_LIMIT = (1 << 32) - (1 << 16)  # bytes of sound that a plain WAV can hold, with room for its header
MAX_STEP = 2000  # a rate ratio is taken as p/q with p and q up to this, so that the filter stays small
SAMPLE_RATES = (1000, 2_000_000)  # Hz; below is latent audio, above are damaged headers
MAX_CHANNELS = 1024  # what libsndfile takes at most
# What libsndfile may read: formats whose files tell that they were cut short.
SNDFILE_FORMATS = ("AIFF", "AU", "CAF", "FLAC", "MP3", "OGG", "RF64", "W64", "WAV", "WAVEX")
# How libsndfile's log tells that the header promises more bytes of sound than there are, format by format.
CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Riff size|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
SIZE_UNKNOWN = (0x7FFFF000, 0xFFFFF000)  # writers to a pipe put such a size or a little more: they cannot know it
LOSSY_SLACK = 0.2  # seconds that compressed formats may be shorter than they say: padding of the codecs
# FFmpeg's names of bare streams, whose length it guesses from the first frames' bit rate.
GUESSED_LENGTH = ("aac", "mp3", "ac3", "eac3", "dts", "loas", "amr", "rm", "mpeg", "mpegts")
RESAMPLE_SECONDS = 3.0  # length of one resampled window
# What FFmpeg may read: single sound and film files. No playlists, which could lead to other files or to the network.
FFMPEG_FORMATS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp2,mp3,"
    "mpeg,mpegts,ogg,opus,rm,tta,w64,wav,wv"
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
        low, high = SAMPLE_RATES
        if not low <= sample_rate <= high:
            hint = "decode latent audio with decoder.py" if sample_rate < low else "is its header damaged?"
            raise InputError(f"{shown(path)} runs at {sample_rate} Hz, expected {low} to {high}: {hint}")

    @property
    def seconds(self) -> float:
        """Length in seconds; 0 where the file does not say."""
        return (self.samples or 0) / self.sample_rate

    def blocks(self) -> Iterator[Block]:
        """The sound as float32 blocks [channels, n], once.

        Raises
        ------
        InputError
            Damaged on the way, cut short, NaN or Inf, or no sample at all.
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
        if self.samples is not None and start < self.samples - LOSSY_SLACK * self.sample_rate:
            raise cut_short(self.path, f"{start / self.sample_rate:.1f} s of {self.seconds:.1f} s")


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a sound file with libsndfile (WAV, AIFF, FLAC, OGG, Opus, MP3, ...) or else with FFmpeg (AAC, M4A, ...).

    Recordings that follow each other in one Ogg or MP3 become one sound, at the rate and with the channels of the
    first.

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
            first, *rest = parts_of(path, raw)
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from error
        sound = stack.enter_context(_open_part(path, raw, first))
        if rest:
            sound = AudioFile(path, sound.sample_rate, sound.channels, None, _joined_blocks(path, raw, sound, rest))
        yield sound


@contextlib.contextmanager
def _open_part(path: Path, file: BinaryIO, part: Part) -> Iterator[AudioFile]:
    """Open one recording in a file; if there is more in the file out of a copy, since readers know no limits."""
    with contextlib.ExitStack() as stack:
        try:
            if part != (0, file.seek(0, os.SEEK_END), part.counted):
                file = _copied(file, part, stack.enter_context(tempfile.TemporaryFile()))
            file.seek(0)
            sound = _open_with_libsndfile(path, file, stack)
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from error
        if sound is None or (sound.format == "MP3" and not part.counted):  # libsndfile would stop where it guesses
            file.seek(0)
            yield _open_with_ffmpeg(path, file, stack)
        else:
            _refuse_cut_short(path, sound)
            yield AudioFile(path, sound.samplerate, sound.channels, sound.frames, _soundfile_blocks(path, sound))


def _copied(file: BinaryIO, part: Part, copy: BinaryIO) -> BinaryIO:
    file.seek(part.start)
    while chunk := file.read(min(1 << 20, part.stop - file.tell())):
        copy.write(chunk)
    copy.flush()
    return copy


def _joined_blocks(path: Path, file: BinaryIO, first: AudioFile, rest: list[Part]) -> Iterator[Block]:
    yield from first.blocks()
    for part in rest:
        with _open_part(path, file, part) as sound:
            if sound.samples == 0:  # a radio may send an empty one between two songs
                continue
            blocks = to_channels(sound.blocks(), first.channels)
            yield from resampled(blocks, sound.sample_rate, first.sample_rate)


def _open_with_libsndfile(path: Path, raw: BinaryIO, stack: contextlib.ExitStack) -> Any:
    """A soundfile.SoundFile, or None if libsndfile cannot read it."""
    try:
        # libsndfile reads by itself: errors and Ctrl-C cannot get lost in a callback from C
        source = raw if sys.platform == "win32" else raw.fileno()
        sound = stack.enter_context(soundfile.SoundFile(source, closefd=False))
    except soundfile.LibsndfileError:
        return None
    if sound.format not in SNDFILE_FORMATS:
        raise InputError(
            f"{shown(path)} is of the format {sound.format_info}, which does not tell whether a file is whole: "
            "convert it to WAV"
        )
    return sound


def _refuse_cut_short(path: Path, sound: Any) -> None:
    """libsndfile reads what is left of a sound file and says nothing: not what a musician wants of a broken copy.

    The header's promise tells in WAV, AIFF and their like. FLAC and MP4 fail or fall short while they are read, Ogg and
    CAF have been looked through before. MP3 and AAC without a header for the whole do not know their length.
    """
    for promised, there in CUT_SHORT.findall(sound.extra_info):
        unknown = any(size <= int(promised) <= size + 0x1000 for size in SIZE_UNKNOWN)
        if int(promised) > int(there) + 8 and not unknown:
            raise cut_short(path, f"{there} bytes of {promised}")


def _soundfile_blocks(path: Path, sound: Any) -> Iterator[Block]:
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{shown(path)} is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).rstrip(".")


def _open_with_ffmpeg(path: Path, raw: Any, stack: contextlib.ExitStack) -> AudioFile:
    import av

    try:
        container = stack.enter_context(
            av.open(raw, options={"format_whitelist": FFMPEG_FORMATS}, metadata_errors="replace")
        )
        if not container.streams.audio:
            raise InputError(f"{shown(path)} holds no sound: expected at least one audio track")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # a codec that FFmpeg does not know
            raise ValueError(stream.type)
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{shown(path)} is not a sound file that libsndfile or FFmpeg can read") from error
    if not rate or not channels:
        raise InputError(f"{shown(path)} does not say its sample rate or channels: is it complete?")
    samples = None
    if stream.duration and stream.time_base and container.format.name not in GUESSED_LENGTH:
        samples = int(stream.duration * stream.time_base * rate)
    return AudioFile(path, rate, channels, samples, _ffmpeg_blocks(path, container, stream))


def _ffmpeg_blocks(path: Path, container: Any, stream: Any) -> Iterator[Block]:
    import av

    layout, rate = stream.codec_context.layout, stream.codec_context.sample_rate
    convert = av.AudioResampler(format="flt", layout=layout, rate=rate)  # PyAV cannot take many planes out of a frame
    parts: list[Block] = []
    try:
        for frame in _ffmpeg_frames(container, stream):
            for piece in convert.resample(frame):
                parts.append(np.asarray(piece.to_ndarray(), np.float32).reshape(-1, layout.nb_channels).T)
            if sum(part.shape[1] for part in parts) >= BLOCK_SAMPLES:
                yield np.concatenate(parts, axis=1)
                parts = []
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{shown(path)} is damaged: {_reason(error)}") from error
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

    The length becomes ceil(samples * target / sample_rate). Odd ratios are rounded to a fraction of numbers up to
    2000: for every rate in use a pitch error below 0.01 cent and a drift of a few ms an hour at most.

    Source: the filter is torchaudio.transforms.Resample with its defaults (Hann window, six zero crossings).
    """
    ratio = Fraction(target / sample_rate).limit_denominator(max(1, int(MAX_STEP * min(1, sample_rate / target))))
    if not ratio or abs(ratio * sample_rate / target - 1) > 1e-4:
        raise InputError(f"{sample_rate:g} Hz cannot be turned into {target:g} Hz: resample the recording first")
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
    path: Path,
    blocks: Iterable[Block],
    sample_rate: float,
    channels: int,
    subtype: str,
    samples: int,
    sidecar: Sidecar | None = None,
    overwrite: bool = True,
) -> float:
    """Write blocks [channels, n] to a WAV as they come, whole or not at all; RF64 where it would outgrow 4 GiB.

    Parameters
    ----------
    samples : expected length, per channel
    subtype : one of SUBTYPES; the PCM ones clip at full scale
    sidecar : written with the sound
    overwrite : as in `write_described`

    Returns
    -------
    the peak, absolute: above 1.0 a PCM file has clipped
    """
    peak = 0.0
    width = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    kind = "WAV" if samples * channels * width < RIFF_LIMIT else "RF64"
    with write_described(path, sidecar, overwrite) as part, open(part, "wb+") as file:
        target = file if sys.platform == "win32" else file.fileno()
        with soundfile.SoundFile(
            target, "w", round(sample_rate), channels, subtype, format=kind, closefd=False
        ) as sound:
            without_peak_chunk(sound)
            for block in blocks:
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                _write_block(sound, block)
    return peak


def _write_block(sound: soundfile.SoundFile, block: Block) -> None:
    """Raise OSError where the disk is full or the like; soundfile knows it as "System error" only.

    Source: sf_strerror in libsndfile's interface gives the text of the system.
    """
    try:
        sound.write(block.T)
    except (soundfile.LibsndfileError, AssertionError) as error:
        text = soundfile._ffi.string(soundfile._snd.sf_strerror(sound._file)).decode("utf-8", "replace")
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            if os.strerror(number) in text:
                raise OSError(number, os.strerror(number)) from error
        raise OSError(errno.EIO, text.removeprefix("System error : ").rstrip(".")) from error


def without_peak_chunk(sound: soundfile.SoundFile) -> None:
    """Keep libsndfile from writing a PEAK chunk, which holds the time of day: same sound, same bytes.

    Source: SFC_SET_ADD_PEAK_CHUNK = 0x1050 in libsndfile's command interface. python-soundfile has no public call for
    it.
    """
    soundfile._snd.sf_command(sound._file, 0x1050, soundfile._ffi.NULL, 0)
