"""Latent audio: latents as a multichannel float WAV, one channel per dim. Here alone are latents transposed for sound.

Both ways of writing a long array, latent audio and `.npy`, take it in pieces (see `unravel_lib.pieces`), so that an
array of any length needs the memory of a few blocks.
"""

import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.sidecar import Sidecar, atomic_write_with_sidecar, read_sidecar
from unravel_lib.latents.blocks import BLOCK_VALUES, Array, reblock
from unravel_lib.latents.npy import MAX_DIMS, RealArray, changed, refuse_not_finite
from unravel_lib.text import library_error, printable

Subtype = Literal["DOUBLE", "FLOAT"]
Watcher = Callable[[Array], None]

RIFF_BYTES = 2**32 - 1  # the size fields of RIFF have 32 bits
HEADER_BYTES = 56  # RIFF 12, fmt 8 + 16, fact 8 + 4, data 8
WAVE_FORMAT_IEEE_FLOAT = 3
PD_CHANNELS = 64  # what Pure Data's soundfiler takes at most
SOUND_RATE = 4000  # Hz; latents run at 20 to 400 frames a second, sound faster than this
VALUE_BYTES = {"DOUBLE": 8, "FLOAT": 4}


def frame_rate(sample_rate: float, compression: int) -> int:
    """Rate in the header of latent audio, whole frames per second: 44100 / 2048 -> 21; at least 1."""
    return max(1, math.floor(sample_rate / compression))


def wav_bytes(n_frames: int, dims: int, subtype: Subtype) -> int:
    """Size of a latent audio file in bytes (with `hold`: `n_frames` times compression)."""
    return HEADER_BYTES + n_frames * dims * VALUE_BYTES[subtype]


def wav_header(n_frames: int, dims: int, rate: int, subtype: Subtype) -> bytes:
    """A plain RIFF WAVE header: format tag 3 (IEEE float), not extensible, nothing in it that changes with time.

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


def write_latent_audio(
    path: Path,
    pieces: Iterable[Array],
    dims: int,
    n_frames: int,
    rate: int,
    subtype: Subtype = "DOUBLE",
    hold: int = 1,
    watch: Watcher | None = None,
    sidecar: Sidecar | None = None,
) -> None:
    """Write pieces as latent audio, whole or not at all; values are neither clipped nor scaled.

    Parameters
    ----------
    path : Path
        The `.wav`.
    pieces : iterable of float64 [frames, dims] or [times, frames, dims]
        In order.
    dims, n_frames : int
        Channels, and frames that the pieces make together.
    rate : int
        Samples per second that the header says (see `frame_rate`; with `hold`, the model's sample rate).
    subtype : "DOUBLE" or "FLOAT"
        64 or 32 bits per value.
    hold : int
        Samples for which each frame is held.
    watch : function of float64 [n, dims], optional
        Sees every block of frames that is written.
    sidecar : Sidecar, optional
        Written with the file.

    Raises
    ------
    UsageError
        More than 4 GiB; a value that is not finite; or the pieces make another number of frames than announced.
    OutputError
        The file system refused.
    """
    if wav_bytes(n_frames * hold, dims, subtype) - 8 > RIFF_BYTES:
        raise UsageError(f"{printable(path)} would be larger than 4 GiB, where WAV ends")
    with atomic_write_with_sidecar(path, sidecar) as part, open(part, "wb") as file:
        file.write(wav_header(n_frames * hold, dims, rate, subtype))
        for _, block in _watched(pieces, dims, n_frames, watch):
            for held in _held(_narrowed(block, "<f8" if subtype == "DOUBLE" else "<f4"), hold):
                file.write(held.data)


def write_embeddings(
    path: Path,
    pieces: Iterable[Array],
    dims: int,
    n_frames: int,
    watch: Watcher | None = None,
    sidecar: Sidecar | None = None,
) -> None:
    """Write pieces as a latents file that decoder.py takes: `.npy`, float32, shape (1, dims, frames).

    The rows of the file are written block by block, by position: neither the array nor a map of it is in memory, and
    a full disk is an error like any other. Parameters and errors as in `write_latent_audio`.
    """
    with atomic_write_with_sidecar(path, sidecar) as part, open(part, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1, dims, n_frames)}
        np.lib.format.write_array_header_1_0(file, header)
        origin = file.tell()
        for start, block in _watched(pieces, dims, n_frames, watch):
            rows = np.ascontiguousarray(_narrowed(block, "<f4").T)
            for dim, row in enumerate(rows):
                file.seek(origin + 4 * (dim * n_frames + start))
                file.write(row.data)


def _watched(pieces: Iterable[Array], dims: int, n_frames: int, watch: Watcher | None) -> Iterator[tuple[int, Array]]:
    """(first frame, block) of all pieces, shown to `watch`; what does not fit the announced length is refused."""
    start = 0
    for block in reblock(pieces, dims):
        if start + len(block) > n_frames:
            break
        if watch is not None:
            watch(block)
        yield start, block
        start += len(block)
    else:
        if start == n_frames:
            return
    raise UsageError(
        f"the pattern did not make the {n_frames} frames again that it made before: take random numbers from rng only"
    )


def _narrowed(block: Array, dtype: str) -> npt.NDArray[np.floating[Any]]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(block, dtype=dtype)
    if not np.isfinite(values).all():
        raise UsageError("the pattern made values too large for 32 bits: check its options")
    return values


def _held(values: npt.NDArray[Any], hold: int) -> Iterator[npt.NDArray[Any]]:
    """Each frame `hold` times, in parts of about the size of `values`."""
    step = max(1, len(values) // hold) if hold > 1 else len(values)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        yield np.repeat(part, hold, axis=0) if hold > 1 else part


def load_latent_audio(path: Path, compression: int | None = None) -> RealArray:
    """Read latent audio back as an array (dims, frames), float32 or float64 as in the file, ready for a decoder.

    A file written with `hold` is recognised by its sidecar, or by a header rate that only sound has, and comes back
    with one value per frame.

    Parameters
    ----------
    path : Path
        A float WAV.
    compression : int, optional
        Samples for which each frame of a held file is held, where no sidecar says it (the model's compression).

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
    """True for a WAV that runs at a rate of latents, or whose sidecar tells for how long its frames are held."""
    import soundfile

    try:
        facts = read_sidecar(path)
    except InputError:  # ours, but damaged: whoever opens it will say so
        return True
    try:
        rate = soundfile.info(os.fsencode(path)).samplerate
    except (soundfile.SoundFileError, OSError):
        return facts is not None  # likewise
    return rate < SOUND_RATE or bool(facts is not None and facts.options.get("hold"))


def _hold_of(path: Path, facts: Sidecar | None, rate: int, compression: int | None) -> int:
    said = facts.options.get("hold") if facts is not None else None
    if said is False or (said is None and rate < SOUND_RATE):
        return 1
    hold = facts.compression if facts is not None and facts.compression is not None else compression
    if hold is None:
        raise InputError(
            f"{printable(path)} runs at {rate} Hz, as sound or held latents do, and no sidecar says for how many "
            "samples a frame is held: put its .json beside it"
        )
    return hold


def _read_held(file: Any, hold: int) -> npt.NDArray[np.floating[Any]]:
    """The first of every `hold` samples of an open sound file, as [frames, dims]; fewer where it was cut meanwhile."""
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
    """Libsndfile reads what is left of a file that was cut off and says nothing; RIFF's size field tells."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            there = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error
    if there == 0:
        raise InputError(f"{printable(path)} is empty (0 bytes), expected a WAV file")
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        said = struct.unpack("<I", head[4:8])[0] + 8
        if said - 8 not in (0, RIFF_BYTES) and there < said:  # 0 and the largest: a writer that could not seek back
            raise InputError(f"{printable(path)} is cut short: {there} bytes of {said}: copy or make it again")
