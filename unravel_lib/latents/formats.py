"""The two kinds of latents files, `.npy` and latent audio, a multichannel float WAV: checked, read, written atomically.

A `.npy` is float32, C order, shape (1, dims, frames). Latent audio has a channel per dim and a sample per frame.
"""

import contextlib
import hashlib
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.audio.containers import FORMS, peek, read_chunks
from unravel_lib.audio.descriptors import Descriptors
from unravel_lib.errors import InputError, UsageError, check_suffix, is_number, whole_number
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.output import EMBEDDINGS
from unravel_lib.files.sidecar import (
    EncodingSidecar,
    GeneratedSidecar,
    Sidecar,
    atomic_write_with_sidecar,
    descriptors_path,
    has_descriptors,
    read_sidecar,
)
from unravel_lib.latents import Frames, Latents
from unravel_lib.text import library_error, size_text

if TYPE_CHECKING:
    import soundfile

Subtype = Literal["DOUBLE", "FLOAT"]

MAX_BYTES = 1 << 30  # of latents in memory: 16 dims are 5 MB an hour
MAX_DIMS = 1024  # codecs have up to 128, DAC's continuous latents 1024; tables and pictures grow with dims * dims
BLOCK_VALUES = 1 << 22  # values hashed at a time, 16 MiB of float32; content keys of longer latents depend on it
EXPECTED = "float32 latents as encoder.py writes them"
RIFF_BYTES = 2**32 - 1  # the size fields of RIFF have 32 bits
WAV_HEADER_BYTES = 56  # RIFF 12, fmt 8 + 16, fact 8 + 4, data 8
NPY_HEADER_BYTES = 128  # NumPy pads it to a multiple of 64
WAVE_FORMAT_IEEE_FLOAT = 3
PD_CHANNELS = 64  # what Pure Data's soundfiler takes at most
SOUND_RATE = 4000  # Hz; latents run at 20 to 400 frames a second, sound faster than this
DTYPES = {"DOUBLE": "<f8", "FLOAT": "<f4"}
HELD_VALUES = 1 << 20  # samples of held files that are read or written at a time


def load_latents(path: str | Path) -> Latents:
    """Read a latents file as an array of shape (dims, frames) in its own real dtype.

    Takes (1, dims, frames) and (dims, frames), any real dtype and byte order, C or Fortran order. Convert blocks to
    float32 or float64 as you use them.

    Raises
    ------
    InputError
        Not a readable `.npy`, pickled objects, another shape, empty, complex, or NaN or Inf inside; larger than 1 GiB;
        or written to while it was read.
    """
    path = Path(path)
    with open_input(path) as file:
        before = os.fstat(file.fileno())
        if before.st_size > MAX_BYTES + NPY_HEADER_BYTES:
            raise _too_large(path, before.st_size)
        try:
            with warnings.catch_warnings(action="ignore"):  # of NumPy, for files that Python 2 wrote
                array = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # NumPy raises a dozen kinds for invalid headers
            found = "is damaged or not a .npy file" if before.st_size else "is empty (0 bytes)"
            raise InputError(found, path=path, expected=EXPECTED) from error
        now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise changed(path)
    if array.dtype.kind not in "fiu":
        raise InputError(f"holds {array.dtype} values", path=path, expected="real numbers (float32)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and len(array) != 1):
        raise InputError(f"has shape {array.shape}", path=path, expected="(1, dims, frames) or (dims, frames)")
    latents: Latents = array.reshape(array.shape[-2:])
    check_size(path, len(latents), latents.shape[1], latents.dtype)
    refuse_not_finite(path, latents)
    return latents


def changed(path: Path) -> InputError:
    """Make the error for a file that changed while it was read."""
    return InputError("was changed by another program while it was read", path=path, remedy="run this again")


def check_size(path: Path, dims: int, n_frames: int, dtype: npt.DTypeLike) -> None:
    """Raise InputError where a file holds no latents, has too many dims, or would take more than 1 GiB of memory."""
    n_bytes = dims * n_frames * max(4, np.dtype(dtype).itemsize)
    if n_bytes == 0:
        raise InputError(f"is empty ({dims} dims, {n_frames} frames)", path=path, expected="at least one frame")
    if dims > MAX_DIMS:
        raise InputError(f"has {dims} dims, at most {MAX_DIMS} make sense", path=path, remedy="are axes swapped?")
    if n_bytes > MAX_BYTES:
        raise _too_large(path, n_bytes)


def _too_large(path: Path, n_bytes: int) -> InputError:
    found, expected = f"holds {size_text(n_bytes)} of latents", f"at most {size_text(MAX_BYTES)}"
    return InputError(found, path=path, expected=expected, remedy="cut it into pieces")


def refuse_not_finite(path: Path, array: Latents) -> None:
    """Raise InputError if a (dims, frames) array read from `path` holds NaN, Inf, or what is Inf as float32."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf and is refused as such
        finite = np.isfinite(array.astype(np.float32, copy=False))
    if not finite.all():
        dim, frame = np.argwhere(~finite)[0]
        raise InputError(f"holds {array[dim, frame]} at dim {dim}, frame {frame}", path=path, expected="finite values")


def blocks(array: Latents) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks [dims, n] of float32, C order, that cover a (dims, frames) array in order, about 16 MiB each."""
    step = max(1, BLOCK_VALUES // array.shape[0])
    for start in range(0, array.shape[1], step):
        yield np.ascontiguousarray(array[:, start : start + step], "<f4")


def content_key(array: Latents) -> str:
    """Return the SHA-256 of the values as float32 and of the shape, so that equal latents have equal keys."""
    digest = hashlib.sha256(repr(tuple(array.shape)).encode())
    for block in blocks(array):
        digest.update(block.data)
    return digest.hexdigest()


def load_descriptors(latents: Path, sidecar: Sidecar | None, frames: int) -> Descriptors | None:
    """Read the descriptors beside latents, float32 [3, frames]; None where the sidecar names none that are there."""
    if not has_descriptors(latents, sidecar):
        return None
    path = descriptors_path(latents)
    array = load_latents(path)
    if array.shape != (3, frames):
        raise InputError(f"has shape {array.shape}", path=path, expected=f"(3, {frames})", remedy="encode it again")
    return array.astype(np.float32)


def save_latents(
    path: str | Path,
    latents: npt.ArrayLike,
    sidecar: Sidecar | None = None,
    overwrite: bool = True,
    descriptors: Descriptors | None = None,
) -> None:
    """Write latents of shape (dims, frames) as `.npy`, float32, shape (1, dims, frames), atomically.

    A `sidecar` is written with them; `overwrite` as in `atomic_write_with_sidecar`. `descriptors`, float32 [3, frames],
    are written beside an encoding, whose sidecar gets their hash.

    Raises
    ------
    UsageError
        Not two-dimensional, or not finite.
    OutputError
        The file cannot be written.
    """
    check_suffix(path, ".npy")
    path, array = Path(path), narrowed(latents, "<f4", path=path)
    with contextlib.ExitStack() as files:
        if descriptors is not None and isinstance(sidecar, EncodingSidecar):
            beside = files.enter_context(atomic_write(descriptors_path(path)))
            _write(beside, descriptors)
            sidecar = replace(sidecar, descriptors_sha256=sha256_of(beside))
        _write(files.enter_context(atomic_write_with_sidecar(path, sidecar, overwrite)), array[np.newaxis])


def _write(path: Path, array: npt.NDArray[np.floating[Any]]) -> None:
    """Write an array in NumPy's format; np.save hides the cause where the disk is full."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": array.shape})
        file.write(np.ascontiguousarray(array, "<f4").data)


def narrowed(values: npt.ArrayLike, dtype: str, **of: Any) -> npt.NDArray[np.floating[Any]]:
    """Return latents or frames in the dtype of a file, C order; `of` is the path or the option that errors name.

    Raises
    ------
    UsageError
        They are no real numbers of two axes, or one is not finite, or too large for 32 bits.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "fiu" or given.ndim != 2 or given.size == 0:
        found = f"has shape {given.shape} and type {given.dtype}"
        raise UsageError(found, expected="real numbers of two axes, dims and frames, one frame at least", **of)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(given, dtype=dtype)
    if not np.isfinite(array).all():
        found, remedy = "has values that are not finite or too large for 32 bits", "check the code that made them"
        raise UsageError(found, remedy=remedy, **of)
    return array


@dataclass(frozen=True)
class Npy:
    """A latents file as a format for results: its names and sizes, and how frames [frames, dims] are written."""

    dims: int
    noun: ClassVar[str] = "latents file"
    suffix: ClassVar[str] = f"{EMBEDDINGS}.npy"  # latents files and latent audio of the same name share no sidecar
    hold: ClassVar[None] = None

    def n_bytes(self, n_frames: int) -> int:
        """Return the size of a file of so many frames."""
        return NPY_HEADER_BYTES + n_frames * 4 * self.dims

    def write(self, path: Path, frames: Frames, sidecar: Sidecar | None = None) -> None:
        """Write frames atomically, neither clipped nor scaled; raises as `save_latents` does."""
        save_latents(path, frames.T, sidecar)


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
    def _times(self) -> int:
        return self.compression if self.hold else 1

    def n_bytes(self, n_frames: int) -> int:
        """Return the size of a file of so many frames; raises UsageError above 4 GiB, where RIFF ends."""
        size = WAV_HEADER_BYTES + n_frames * self._times * self.dims * np.dtype(DTYPES[self.subtype]).itemsize
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
        step = max(1, HELD_VALUES // (self._times * self.dims))
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
            if not os.fstat(opened.fileno()).st_size:
                raise InputError("is empty (0 bytes)", path=path, expected="a WAV of floats")
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
    dtype, step = np.dtype(DTYPES[file.subtype]).name, max(1, HELD_VALUES // (hold * file.channels))
    starts = range(0, file.frames // hold, step)
    blocks = [file.read(step * hold, dtype=dtype, always_2d=True)[::hold].copy() for _ in starts]
    array: Latents = np.concatenate(blocks).T
    if array.shape[1] != file.frames // hold:
        raise changed(path)
    return array


def has_rate_of_latents(path: Path) -> bool:
    """Return whether a WAV has a rate that only latents have."""
    import soundfile

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
