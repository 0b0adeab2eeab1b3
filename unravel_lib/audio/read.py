"""Sound files in: WAV, AIFF and the like by libsndfile, all others by FFmpeg; as float32 blocks [channels, n]."""

import contextlib
import itertools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from unravel_lib.audio import containers
from unravel_lib.audio.blocks import Sound, resampled, to_channels
from unravel_lib.audio.containers import BLOCK_SAMPLES, Recording, cut_short, damaged, not_sound
from unravel_lib.errors import InputError
from unravel_lib.files.find import open_input
from unravel_lib.text import library_error, printable

SAMPLE_RATES = (1000, 2_000_000)  # Hz; below is latent audio, above are damaged headers
W64 = b"riff"
RF64 = (b"RF64", b"BW64")  # where one is damaged FFmpeg may read on without end

log = logging.getLogger("unravel_lib")


class AudioFile:
    """A sound file that is open for reading.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    channels : int
    seconds : float
        Length as the file states it; 0 where it does not.

    Raises
    ------
    InputError
        It holds no recording, or its sample rate is not one of a sound.
    """

    def __init__(self, path: Path, recordings: Iterator[Recording]) -> None:
        first = next(recordings, None)
        if first is None:
            raise not_sound(path)
        self._path, self._recordings = path, itertools.chain([first], recordings)
        self.sample_rate, self.channels = first.sample_rate, first.channels
        self.seconds = (first.samples or 0) / first.sample_rate
        low, high = SAMPLE_RATES
        if not low <= self.sample_rate <= high:
            remedy = "decode latent audio with decoder.py" if self.sample_rate < low else "is its header damaged?"
            found, expected = f"runs at {self.sample_rate} Hz", f"{low} to {high}"
            raise InputError(found, path=path, expected=expected, remedy=remedy)

    def blocks(self) -> Iterator[Sound]:
        """Yield the sound as float32 blocks [channels, n]; works once.

        Raises
        ------
        InputError
            The file is damaged or cut short, contains NaN or Inf, or has no samples.
        """
        is_empty = True
        for recording in self._recordings:
            blocks = to_channels(self._checked(recording), self.channels)
            for block in resampled(blocks, recording.sample_rate, self.sample_rate):
                is_empty = False
                yield block
        if is_empty:
            raise InputError("holds 0 samples", path=self._path, expected="at least one")

    def _checked(self, recording: Recording) -> Iterator[Sound]:
        """Yield the blocks of a recording; compare their length with what is stated."""
        length, stated = 0, recording.samples
        for block in recording.blocks:
            finite = np.isfinite(block)
            if not finite.all():
                found = f"holds NaN or Inf at sample {length + int(np.argwhere(~finite)[0][1])}"
                raise InputError(found, path=self._path, remedy="repair or render it again")
            length += block.shape[1]
            yield block
        if stated is None or abs(length - stated) <= recording.slack * recording.sample_rate:
            return
        found, said = (f"{samples / recording.sample_rate:.1f} s" for samples in (length, stated))
        if length < stated and not recording.is_hint:
            raise cut_short(self._path, f"{found} of {said}")
        log.warning("%s holds %s of sound, its header says %s: all of it is read", printable(self._path), found, said)


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a sound file of any format that is read.

    Recordings that follow each other in one Ogg or MP3 file become one sound, with the sample rate and the channels
    of the first.

    Raises
    ------
    InputError
        The file cannot be read, or is not a complete sound file.
    """
    with open_input(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise InputError("is empty (0 bytes)", path=path, expected="a sound file")
        with contextlib.closing(_recordings(path, file, size)) as recordings:
            yield AudioFile(path, recordings)


def _recordings(path: Path, file: BinaryIO, size: int) -> Generator[Recording]:
    start, stop = containers.id3_end(file), containers.tags_start(file, size)
    head = containers.peek(file, start, 4)
    has_chunks = head in containers.FORMS
    header, rest = containers.read_chunks(path, file, start, stop) if has_chunks else (b"", 0)
    with contextlib.ExitStack() as opened:
        if has_chunks and (header or start):  # libsndfile does not skip every tag, and goes by the sizes
            file = opened.enter_context(_repaired(path, file, header, start, stop))
            start, stop = 0, stop - start
        sound = _open_libsndfile(file) if has_chunks and head != W64 else None  # of which it reads also what is behind
        if sound is not None:
            with sound:
                yield Recording(sound.samplerate, sound.channels, sound.frames, _libsndfile_blocks(path, sound), 0.0)
        elif head in RF64:
            raise not_sound(path)
        else:
            from unravel_lib.audio import ffmpeg

            is_ogg = head == b"OggS"
            for part in containers.ogg_recordings(path, file, start, stop) if is_ogg else [(start, stop)]:
                yield from ffmpeg.recordings(path, file, *part)
    if header:
        log.warning("%s does not say how long it is: it is read to its end", printable(path))
    if rest:
        log.warning("%s: %d bytes behind its sound are not read", printable(path), rest)


def _repaired(path: Path, file: BinaryIO, header: bytes, start: int, stop: int) -> BinaryIO:
    """Copy a part of a file to a temporary one, with `header` in place of its first bytes."""
    try:
        with contextlib.ExitStack() as unless_copied:
            copy = unless_copied.enter_context(tempfile.TemporaryFile())
            file.seek(start + len(header))
            copy.write(header)
            shutil.copyfileobj(file, copy)
            copy.truncate(stop - start)
            unless_copied.pop_all()
            return copy
    except OSError as error:  # also of closing, which writes what is left
        found = f"must be copied to {tempfile.gettempdir()} to be read, which fails: {error.strerror}"
        raise InputError(found, path=path, remedy="set TMPDIR to a folder with more space") from error


def source_of(file: BinaryIO) -> BinaryIO | int:
    """Return what soundfile.SoundFile should open for an open file: its descriptor, or on Windows the file itself.

    With a descriptor libsndfile reads and writes by itself. With a Python file it calls back into Python, and an
    exception there, KeyboardInterrupt included, is printed and discarded.
    """
    return file if sys.platform == "win32" else file.fileno()


def _open_libsndfile(file: BinaryIO) -> soundfile.SoundFile | None:
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # file.seek() may only move inside its buffer
    try:
        sound = soundfile.SoundFile(source_of(file), closefd=False)
    except soundfile.LibsndfileError:
        return None
    if sound.subtype.startswith(("MPEG", "GSM")):  # libsndfile guesses the length
        sound.close()
        return None
    return sound


def _libsndfile_blocks(path: Path, sound: soundfile.SoundFile) -> Iterator[Sound]:
    try:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)
    except (soundfile.LibsndfileError, OSError) as error:
        raise damaged(path, library_error(error)) from error
