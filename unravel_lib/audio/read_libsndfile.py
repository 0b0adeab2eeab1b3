"""Sound files that libsndfile reads: WAV, AIFF, FLAC, Ogg, Opus, MP3 and others."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from unravel_lib.audio.audio_file import BLOCK_SAMPLES, AudioFile
from unravel_lib.audio.containers import cut_short
from unravel_lib.audio.libsndfile import source_of
from unravel_lib.audio.windows import Sound
from unravel_lib.errors import InputError
from unravel_lib.text import library_error, printable

# Formats whose files show when they were cut short.
FORMATS = ("AIFF", "AU", "CAF", "FLAC", "MP3", "OGG", "RF64", "W64", "WAV", "WAVEX")
# How libsndfile's log reports that the header states more bytes of sound than there are, format by format.
CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Riff size|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
SIZE_UNKNOWN = (0x7FFFF000, 0xFFFFF000)  # writers to a pipe put such a size or a little more: they cannot know it


def open_libsndfile(path: Path, file: BinaryIO) -> soundfile.SoundFile | None:
    """Open a sound file with libsndfile; the caller closes it.

    Parameters
    ----------
    path : Path
        The name of the file, for error texts.
    file : binary file
        The open file, at its start.

    Returns
    -------
    soundfile.SoundFile or None
        None if libsndfile cannot read the file.

    Raises
    ------
    InputError
        The format does not show whether a file is complete.
    """
    try:
        sound = soundfile.SoundFile(source_of(file), closefd=False)
    except soundfile.LibsndfileError:
        return None
    if sound.format not in FORMATS:
        sound.close()
        raise InputError(
            f"{printable(path)} is of the format {sound.format_info}, which does not show whether a file is complete: "
            "convert it to WAV"
        )
    return sound


def audio_file(path: Path, sound: soundfile.SoundFile) -> AudioFile:
    """Return an open SoundFile as an AudioFile.

    Raises
    ------
    InputError
        The file is cut short.
    """
    _refuse_cut_short(path, sound)
    return AudioFile(path, sound.samplerate, sound.channels, sound.frames, _blocks(path, sound))


def _refuse_cut_short(path: Path, sound: soundfile.SoundFile) -> None:
    """Compare the size in the header with the size of the file: libsndfile reads what is left without an error.

    This works for WAV, AIFF and related formats. FLAC fails or ends early while it is read, `containers` has checked
    Ogg and CAF. MP3 without a header for the whole file does not state its length.
    """
    for stated, there in CUT_SHORT.findall(sound.extra_info):
        unknown = any(size <= int(stated) <= size + 0x1000 for size in SIZE_UNKNOWN)
        if int(stated) > int(there) + 8 and not unknown:
            raise cut_short(path, f"{there} bytes of {stated}")


def _blocks(path: Path, sound: soundfile.SoundFile) -> Iterator[Sound]:
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{printable(path)} is damaged: {library_error(error)}") from error
