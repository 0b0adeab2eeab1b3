"""Latent audio: latents as a multichannel float WAV, one channel per dim. Its header, and how it is read back."""

import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.latents.blocks import BLOCK_VALUES
from unravel_lib.latents.npy import MAX_DIMS, Latents, changed, refuse_not_finite
from unravel_lib.text import library_error, printable

if TYPE_CHECKING:
    import soundfile

Subtype = Literal["DOUBLE", "FLOAT"]

RIFF_BYTES = 2**32 - 1  # the size fields of RIFF have 32 bits
HEADER_BYTES = 56  # RIFF 12, fmt 8 + 16, fact 8 + 4, data 8
WAVE_FORMAT_IEEE_FLOAT = 3
PD_CHANNELS = 64  # what Pure Data's soundfiler takes at most
SOUND_RATE = 4000  # Hz; latents run at 20 to 400 frames a second, sound faster than this
VALUE_BYTES = {"DOUBLE": 8, "FLOAT": 4}


def frame_rate(sample_rate: float, compression: int) -> int:
    """Return the rate in the header of latent audio, whole frames per second: 44100 / 2048 -> 21; at least 1."""
    return max(1, math.floor(sample_rate / compression))


def wav_header(n_frames: int, dims: int, rate: int, subtype: Subtype) -> bytes:
    """Make a plain RIFF WAVE header: format tag 3 (IEEE float), not extensible, nothing in it that changes with time.

    Written by hand, since libsndfile adds a PEAK chunk with the time of day, and two runs would differ.
    Layout: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" and "New Multimedia Data Types
    and Data Techniques" (the fact chunk that every format but PCM needs).
    """
    width = VALUE_BYTES[subtype]
    data = n_frames * dims * width
    byte_rate = min(rate * dims * width, RIFF_BYTES)
    form = struct.pack("<HHIIHH", WAVE_FORMAT_IEEE_FLOAT, dims, rate, byte_rate, dims * width, 8 * width)
    fact = struct.pack("<I", n_frames)
    chunks = (b"fmt ", form), (b"fact", fact)
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 8 + data) + body + b"data" + struct.pack("<I", data)


def load_latent_audio(path: Path, compression: int | None = None) -> Latents:
    """Read latent audio back as an array (dims, frames), float32 or float64 as in the file, ready for a decoder.

    A file written with `hold` is recognised by its sidecar, or by a header rate that only sound has, and comes back
    with one value per frame.

    Parameters
    ----------
    path : Path
        A float WAV.
    compression : int, optional
        Samples for which each frame of a held file is held, where no sidecar states it (the model's compression).

    Raises
    ------
    InputError
        No float WAV, cut short, empty, NaN or Inf inside, or held in a way that does not fit.
    """
    import soundfile

    _refuse_cut_short(path)
    facts = read_sidecar(path)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.format not in ("WAV", "WAVEX") or file.subtype not in VALUE_BYTES:
                raise InputError(
                    f"{printable(path)} is {file.format} {file.subtype}, expected a WAV of floats: is it latent audio? "
                    "encode sound with encoder.py"
                )
            if file.frames == 0:
                raise InputError(f"{printable(path)} is empty, expected at least one frame")
            if file.channels > MAX_DIMS:
                raise InputError(f"{printable(path)} has {file.channels} channels, at most {MAX_DIMS} dims make sense")
            hold = _hold_of(path, facts, file.samplerate, compression)
            if file.frames % hold:
                raise InputError(
                    f"{printable(path)} has {file.frames} samples, expected a multiple of {hold}, for which each "
                    "frame is held: was it cut or resampled?"
                )
            array = _read_held(file, hold).T
            if array.shape[1] != file.frames // hold:
                raise changed(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise InputError(f"{printable(path)} cannot be read as a WAV file: {library_error(error)}") from error
    refuse_not_finite(path, array)
    return array


def is_latent_audio(path: Path) -> bool:
    """Return whether a WAV has a rate of latents, or a sidecar that states for how long its frames are held."""
    import soundfile

    try:
        facts = read_sidecar(path)
    except InputError:  # a damaged sidecar of ours: reported when the file is opened
        return True
    try:
        rate = soundfile.info(os.fsencode(path)).samplerate
    except (soundfile.SoundFileError, OSError):
        return facts is not None
    return rate < SOUND_RATE or bool(facts is not None and facts.options.get("hold"))


def _hold_of(path: Path, facts: Sidecar | None, rate: int, compression: int | None) -> int:
    stated = facts.options.get("hold") if facts is not None else None
    if stated is False or (stated is None and rate < SOUND_RATE):
        return 1
    hold = facts.compression if facts is not None and facts.compression is not None else compression
    if hold is None:
        raise InputError(
            f"{printable(path)} runs at {rate} Hz, as sound or held latents do, and no sidecar says for how many "
            "samples a frame is held: put its .json beside it"
        )
    return hold


def _read_held(file: "soundfile.SoundFile", hold: int) -> npt.NDArray[np.floating[Any]]:
    """Read the first of every `hold` samples of an open file, as [frames, dims]; fewer where it was cut meanwhile."""
    dtype = "float64" if file.subtype == "DOUBLE" else "float32"
    if hold == 1:
        return np.asarray(file.read(dtype=dtype, always_2d=True))
    result = np.empty((file.frames // hold, file.channels), dtype)
    step = max(1, BLOCK_VALUES // (hold * file.channels))
    for start in range(0, len(result), step):
        block = file.read(step * hold, dtype=dtype, always_2d=True)[::hold]
        if len(block) != len(result[start : start + step]):
            return result[:start]
        result[start : start + step] = block
    return result


def _refuse_cut_short(path: Path) -> None:
    """Raise where the size field of RIFF states more than is there: libsndfile reads what is left without an error."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            there = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if there == 0:
        raise InputError(f"{printable(path)} is empty (0 bytes), expected a WAV file")
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        stated = struct.unpack("<I", head[4:8])[0] + 8
        if stated - 8 not in (0, RIFF_BYTES) and there < stated:  # 0 and the largest: a writer that could not seek back
            raise InputError(f"{printable(path)} is cut short: {there} bytes of {stated}: copy or make it again")
