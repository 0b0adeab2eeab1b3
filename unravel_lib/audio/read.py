"""Sound files in and out: blocks of float32 [channels, samples], read, mixed, resampled and written as they come."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from unravel_lib.audio.containers import Part, cut_short, parts_of
from unravel_lib.audio.resample import resampled, to_channels
from unravel_lib.audio.windows import Block
from unravel_lib.errors import InputError
from unravel_lib.text import printable

EXTENSIONS = (".wav", ".mp3", ".ogg", ".aac", ".opus", ".aif", ".aiff", ".flac", ".m4a")
BLOCK_SAMPLES = 1 << 17  # samples read in one go, about 3 s
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
            raise InputError(f"{printable(path)} runs at {sample_rate} Hz, expected {low} to {high}: {hint}")

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
                raise InputError(f"{printable(self.path)} holds NaN or Inf at sample {at}: repair or render it again")
            start += block.shape[1]
            yield block
        if not start:
            raise InputError(f"{printable(self.path)} holds 0 samples: expected at least one")
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
                raise InputError(f"{printable(path)} is empty (0 bytes), expected a sound file")
            raw = stack.enter_context(open(path, "rb"))
            first, *rest = parts_of(path, raw)
        except OSError as error:
            raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
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
            raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
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
            f"{printable(path)} is of the format {sound.format_info}, which does not tell whether a file is whole: "
            "convert it to WAV"
        )
    return sound


def _refuse_cut_short(path: Path, sound: Any) -> None:
    """Libsndfile reads what is left of a sound file and says nothing: not what a musician wants of a broken copy.

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
        raise InputError(f"{printable(path)} is damaged: {_reason(error)}") from error


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
            raise InputError(f"{printable(path)} holds no sound: expected at least one audio track")
        stream = container.streams.audio[0]
        if stream.codec_context is None:  # a codec that FFmpeg does not know
            raise ValueError(stream.type)
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{printable(path)} is not a sound file that libsndfile or FFmpeg can read") from error
    if not rate or not channels:
        raise InputError(f"{printable(path)} does not say its sample rate or channels: is it complete?")
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
        raise InputError(f"{printable(path)} is damaged: {_reason(error)}") from error
    if parts:
        yield np.concatenate(parts, axis=1)


def _ffmpeg_frames(container: Any, stream: Any) -> Iterator[Any]:
    yield from container.decode(stream)
    yield None  # flushes the format converter
