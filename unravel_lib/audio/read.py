"""Sound files in: any format that libsndfile or FFmpeg reads, as float32 blocks [channels, n]."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from unravel_lib.audio import read_libsndfile
from unravel_lib.audio.audio_file import AudioFile
from unravel_lib.audio.containers import Part, parts_of
from unravel_lib.audio.read_ffmpeg import open_ffmpeg
from unravel_lib.audio.resample import resampled, to_channels
from unravel_lib.audio.windows import Sound
from unravel_lib.errors import InputError
from unravel_lib.text import printable

EXTENSIONS = (".wav", ".mp3", ".ogg", ".aac", ".opus", ".aif", ".aiff", ".flac", ".m4a")
COPY_BYTES = 1 << 20


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a sound file with libsndfile (WAV, AIFF, FLAC, Ogg, Opus, MP3, ...) or else with FFmpeg (AAC, M4A, ...).

    Recordings that follow each other in one Ogg or MP3 file become one sound, with the sample rate and the channels
    of the first.

    Raises
    ------
    InputError
        The file cannot be read, or is not a complete sound file.
    """
    with contextlib.ExitStack() as stack:
        try:
            if path.stat().st_size == 0:
                raise InputError(f"{printable(path)} is empty (0 bytes), expected a sound file")
            file = stack.enter_context(open(path, "rb"))
            first, *rest = parts_of(path, file)
        except OSError as error:
            raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
        sound = stack.enter_context(_open_part(path, file, first))
        if rest:
            sound = AudioFile(path, sound.sample_rate, sound.channels, None, _joined_blocks(path, file, sound, rest))
        yield sound


@contextlib.contextmanager
def _open_part(path: Path, file: BinaryIO, part: Part) -> Iterator[AudioFile]:
    """Open one recording in a file; a part of a file is copied first, since the readers take whole files only."""
    with contextlib.ExitStack() as stack:
        try:
            if part != (0, file.seek(0, os.SEEK_END), part.counted):
                file = _copied(file, part, stack.enter_context(tempfile.TemporaryFile()))
            file.seek(0)
            sound = read_libsndfile.open_libsndfile(path, file)
        except OSError as error:
            raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
        if sound is not None:
            stack.enter_context(sound)
        if sound is None or (sound.format == "MP3" and not part.counted):  # libsndfile would stop at a guessed length
            file.seek(0)
            yield stack.enter_context(open_ffmpeg(path, file))
        else:
            yield read_libsndfile.audio_file(path, sound)


def _copied(file: BinaryIO, part: Part, copy: BinaryIO) -> BinaryIO:
    file.seek(part.start)
    while chunk := file.read(min(COPY_BYTES, part.stop - file.tell())):
        copy.write(chunk)
    copy.flush()
    return copy


def _joined_blocks(path: Path, file: BinaryIO, first: AudioFile, rest: list[Part]) -> Iterator[Sound]:
    yield from first.blocks()
    for part in rest:
        with _open_part(path, file, part) as sound:
            if sound.samples == 0:  # internet radios may send an empty recording between two songs
                continue
            blocks = to_channels(sound.blocks(), first.channels)
            yield from resampled(blocks, sound.sample_rate, first.sample_rate)
