"""Latent audio: latents as a multichannel float WAV, a channel per dim, a sample per frame. Written, and read back."""

import contextlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.containers import FORMS, peek, read_chunks
from unravel_lib.errors import InputError, UsageError, check_suffix, is_number, whole_number
from unravel_lib.files.find import open_input
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, atomic_write_with_sidecar, read_sidecar
from unravel_lib.latents import Latents
from unravel_lib.latents.npy import changed, check_size, narrowed, refuse_not_finite
from unravel_lib.text import library_error

if TYPE_CHECKING:
    import soundfile

Subtype = Literal["DOUBLE", "FLOAT"]

RIFF_BYTES = 2**32 - 1  # the size fields of RIFF have 32 bits
HEADER_BYTES = 56  # RIFF 12, fmt 8 + 16, fact 8 + 4, data 8
WAVE_FORMAT_IEEE_FLOAT = 3
PD_CHANNELS = 64  # what Pure Data's soundfiler takes at most
SOUND_RATE = 4000  # Hz; latents run at 20 to 400 frames a second, sound faster than this
DTYPES = {"DOUBLE": "<f8", "FLOAT": "<f4"}
BLOCK_VALUES = 1 << 20  # samples of held files that are read or written at a time


@dataclass(frozen=True)
class LatentAudio:
    """Latent audio as a format for results: its names, sizes and limits, and how frames [frames, dims] are written.

    With `hold` it runs at the model's sample rate, and each frame is held for `compression` samples.
    """

    dims: int
    sample_rate: float  # of the model, in Hz
    compression: int  # of the model, samples per frame
    subtype: Subtype = "DOUBLE"
    hold: bool = False
    noun: ClassVar[str] = "latent audio"

    @property
    def suffix(self) -> str:
        """What names end with."""
        return "_hold.wav" if self.hold else ".wav"

    @property
    def rate(self) -> int:
        """Samples per second that the header states, a whole number: 44100 / 2048 -> 21."""
        return max(1, int(self.sample_rate if self.hold else self.sample_rate / self.compression))

    @property
    def player(self) -> str:
        """What plays it: "Pure Data 0.55 or newer: [latent_player 8 2048]"; "" where it has too many channels."""
        if self.dims > PD_CHANNELS:
            return ""
        first = " 0.55 or newer" if self.subtype == "DOUBLE" else "" if self.hold else " 0.54 or newer"
        name = f"readsf~ {self.dims}" if self.hold else f"latent_player {self.dims} {self.compression}"
        return f"Pure Data{first}: [{name}]"

    @property
    def _times(self) -> int:
        return self.compression if self.hold else 1

    def n_bytes(self, n_frames: int) -> int:
        """Return the size of a file of so many frames; raises UsageError above 4 GiB, where RIFF ends."""
        size = HEADER_BYTES + n_frames * self._times * self.dims * np.dtype(DTYPES[self.subtype]).itemsize
        if size - 8 > RIFF_BYTES:
            found = f"a WAV with {n_frames:,} frames of {self.dims} dims would be larger than 4 GiB, its limit"
            flags = ("num_loops", "num_latents", "embeddings", "wav_subtype", "hold")
            raise UsageError(found, remedy="make it shorter, or take another format", remedy_options=flags)
        return size

    def write(self, path: Path, frames: npt.ArrayLike, sidecar: Sidecar | None = None) -> None:
        """Write frames atomically, neither clipped nor scaled.

        Raises
        ------
        UsageError
            Larger than 4 GiB, or as `narrowed` does.
        OutputError
            The file cannot be written.
        """
        values = narrowed(frames, DTYPES[self.subtype], path=path)
        self.n_bytes(len(values))
        step = max(1, BLOCK_VALUES // (self._times * self.dims))
        with atomic_write_with_sidecar(path, sidecar) as part, open(part, "wb") as file:
            file.write(wav_header(len(values) * self._times, self.dims, self.rate, self.subtype))
            for start in range(0, len(values), step):
                file.write(np.repeat(values[start : start + step], self._times, axis=0).data)


def write_latent_audio(
    path: str | Path, frames: npt.ArrayLike, sample_rate: float, compression: int, subtype: Subtype = "DOUBLE"
) -> None:
    """Write frames [frames, dims] as latent audio, a channel per dim; `sample_rate` and `compression` are the model's.

    Raises
    ------
    UsageError
        Larger than 4 GiB, or a value that is not finite.
    OutputError
        The file cannot be written.
    """
    check_suffix(path, ".wav")
    if not (is_number(sample_rate) and 0 < sample_rate <= RIFF_BYTES):
        raise UsageError("is no sample rate", option="sample_rate", value=repr(sample_rate), expected="that of a model")
    whole_number("compression", compression)
    if subtype not in DTYPES:
        raise UsageError("is unknown", option="subtype", value=repr(subtype), expected=" or ".join(DTYPES))
    values = narrowed(frames, "<f8", option="frames")
    LatentAudio(values.shape[1], sample_rate, compression, subtype).write(Path(path), values)


def wav_header(n_frames: int, dims: int, rate: int, subtype: Subtype) -> bytes:
    """Make a plain RIFF WAVE header: format tag 3 (IEEE float), not extensible, nothing in it that changes with time.

    Written by hand, since libsndfile adds a PEAK chunk with the time of day, and two runs would differ.
    Layout: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" and "New Multimedia Data Types
    and Data Techniques" (the fact chunk that every format but PCM needs).
    """
    width = np.dtype(DTYPES[subtype]).itemsize
    data = n_frames * dims * width
    byte_rate = min(rate * dims * width, RIFF_BYTES)
    form = struct.pack("<HHIIHH", WAVE_FORMAT_IEEE_FLOAT, dims, rate, byte_rate, dims * width, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"fact" + struct.pack("<II", 4, n_frames)
    return b"RIFF" + struct.pack("<I", len(body) + 8 + data) + body + b"data" + struct.pack("<I", data)


def load_latent_audio(path: str | Path, compression: int | None = None, facts: Sidecar | None = None) -> Latents:
    """Read latent audio back as an array (dims, frames), float32 or float64 as in the file, ready for a decoder.

    A file written with `hold` is recognised by its sidecar, or by a header rate that only sound has, and comes back
    with one value per frame.

    Parameters
    ----------
    path : str or Path
        A float WAV.
    compression : int, optional
        Samples for which each frame of a held file is held, where no sidecar states it (the model's compression).
    facts : Sidecar, optional
        Its sidecar, where that is read already.

    Raises
    ------
    InputError
        No float WAV, cut short, empty, larger than 1 GiB, NaN or Inf inside, or held in a way that does not fit.
    """
    import soundfile

    path = Path(path)
    try:
        with open_input(path) as opened:
            if peek(opened, 0, 4) in FORMS:  # of a file that is cut short, libsndfile reads what is left
                read_chunks(path, opened, 0, opened.seek(0, os.SEEK_END))
            opened.seek(0)
            with soundfile.SoundFile(opened) as file:
                array = _read(path, file, facts or read_sidecar(path), compression)
    except soundfile.SoundFileError as error:
        raise InputError(f"cannot be read as a WAV file: {library_error(error)}", path=path) from error
    refuse_not_finite(path, array)
    return array


def _read(path: Path, file: "soundfile.SoundFile", facts: Sidecar | None, compression: int | None) -> Latents:
    if file.format not in ("WAV", "WAVEX") or file.subtype not in DTYPES:
        found, remedy = f"is {file.format} {file.subtype}", "is it latent audio? encode sound with encoder.py"
        raise InputError(found, path=path, expected="a WAV of floats", remedy=remedy)
    hold = _hold_of(path, facts, file.samplerate, compression)
    if file.frames % hold:
        expected, remedy = f"a multiple of {hold}, for which each frame is held", "was it cut or resampled?"
        raise InputError(f"has {file.frames} samples", path=path, expected=expected, remedy=remedy)
    check_size(path, file.channels, file.frames // hold, DTYPES[file.subtype])
    dtype, step = np.dtype(DTYPES[file.subtype]).name, max(1, BLOCK_VALUES // (hold * file.channels))
    starts = range(0, file.frames // hold, step)
    blocks = [file.read(step * hold, dtype=dtype, always_2d=True)[::hold].copy() for _ in starts]
    array: Latents = np.concatenate(blocks).T
    if array.shape[1] != file.frames // hold:
        raise changed(path)
    return array


def is_latent_audio(path: Path, facts: Sidecar | None) -> bool:
    """Return whether a WAV is one of generator.py, by its sidecar, or has a rate of latents."""
    import soundfile

    if isinstance(facts, GeneratedSidecar):
        return True
    with contextlib.suppress(soundfile.SoundFileError, InputError), open_input(path) as file:
        return bool(soundfile.info(file).samplerate < SOUND_RATE)
    return False


def _hold_of(path: Path, facts: Sidecar | None, rate: int, compression: int | None) -> int:
    stated = facts.hold if isinstance(facts, GeneratedSidecar) else None
    if stated is False or (stated is None and rate < SOUND_RATE):
        return 1
    hold = facts.compression if facts is not None and facts.compression is not None else compression
    if hold is None:
        found = f"runs at {rate} Hz, as sound or held latents do; no sidecar says for how many samples a frame is held"
        raise InputError(found, path=path, remedy="put its .json beside it")
    return hold
