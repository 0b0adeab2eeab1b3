"""Sound files that only FFmpeg reads: AAC, M4A, the sound of films and others."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from unravel_lib.audio.audio_file import BLOCK_SAMPLES, AudioFile
from unravel_lib.audio.windows import Sound
from unravel_lib.errors import InputError
from unravel_lib.text import library_error, printable

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

# FFmpeg's names of streams without a container, whose length it guesses from the bit rate of the first frames.
GUESSED_LENGTH = ("aac", "mp3", "ac3", "eac3", "dts", "loas", "amr", "rm", "mpeg", "mpegts")
# What FFmpeg may read: single sound and film files. No playlists, which could refer to other files or to the network.
FORMATS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp2,mp3,"
    "mpeg,mpegts,ogg,opus,rm,tta,w64,wav,wv"
)


@contextlib.contextmanager
def open_ffmpeg(path: Path, file: BinaryIO) -> Iterator[AudioFile]:
    """Open a sound file with FFmpeg.

    Parameters
    ----------
    path : Path
        The name of the file, for error texts.
    file : binary file
        The open file, at its start.

    Raises
    ------
    InputError
        FFmpeg cannot read the file, or there is no sound in it.
    """
    import av

    with contextlib.ExitStack() as stack:
        try:
            options = {"format_whitelist": FORMATS}
            container = stack.enter_context(av.open(file, "r", options=options, metadata_errors="replace"))
            if not container.streams.audio:
                raise InputError(f"{printable(path)} holds no sound: expected at least one audio track")
            stream = container.streams.audio[0]
            if stream.codec_context is None:  # a codec that FFmpeg does not have
                raise ValueError(stream.type)
            rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{printable(path)} is not a sound file that libsndfile or FFmpeg can read") from error
        if not rate or not channels:
            raise InputError(f"{printable(path)} does not say its sample rate or channels: is it complete?")
        samples = None
        if stream.duration and stream.time_base and container.format.name not in GUESSED_LENGTH:
            samples = int(stream.duration * stream.time_base * rate)
        yield AudioFile(path, rate, channels, samples, _blocks(path, container, stream))


def _blocks(path: Path, container: "InputContainer", stream: "AudioStream") -> Iterator[Sound]:
    import av

    layout, rate = stream.codec_context.layout, stream.codec_context.sample_rate
    convert = av.AudioResampler(format="flt", layout=layout, rate=rate)  # PyAV cannot take many planes out of a frame
    parts: list[Sound] = []
    try:
        for frame in _frames(container, stream):
            for piece in convert.resample(frame):
                parts.append(np.asarray(piece.to_ndarray(), np.float32).reshape(-1, layout.nb_channels).T)
            if sum(part.shape[1] for part in parts) >= BLOCK_SAMPLES:
                yield np.concatenate(parts, axis=1)
                parts = []
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{printable(path)} is damaged: {library_error(error)}") from error
    if parts:
        yield np.concatenate(parts, axis=1)


def _frames(container: "InputContainer", stream: "AudioStream") -> Iterator["AudioFrame | None"]:
    yield from container.decode(stream)
    yield None  # flushes the format converter
