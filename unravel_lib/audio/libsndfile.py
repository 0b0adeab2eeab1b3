"""Calls of libsndfile that python-soundfile does not make public; no other module uses soundfile's private names."""

import errno
import os
import sys
from typing import BinaryIO

import soundfile

SFC_SET_ADD_PEAK_CHUNK = 0x1050  # a command of libsndfile


def source_of(file: BinaryIO) -> BinaryIO | int:
    """Return what soundfile.SoundFile should open for an open file: its descriptor, or on Windows the file itself.

    With a descriptor libsndfile reads and writes by itself. With a Python file it calls back into Python, and an
    exception there, KeyboardInterrupt included, is printed and discarded.
    """
    return file if sys.platform == "win32" else file.fileno()


def omit_peak_chunk(sound: soundfile.SoundFile) -> None:
    """Keep libsndfile from writing a PEAK chunk: it holds the time of day, and the same sound must give the same bytes.

    Source: SFC_SET_ADD_PEAK_CHUNK in libsndfile's command interface.
    """
    soundfile._snd.sf_command(sound._file, SFC_SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)


def write_error(sound: soundfile.SoundFile) -> OSError:
    """Return the reason why the last write failed as an OSError; soundfile itself reports only "System error".

    Source: sf_strerror in libsndfile's interface gives the text of the system.
    """
    text = soundfile._ffi.string(soundfile._snd.sf_strerror(sound._file)).decode("utf-8", "replace")
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number))
    return OSError(errno.EIO, text.removeprefix("System error : ").rstrip("."))
