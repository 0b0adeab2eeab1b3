"""What a long array is written as: a latents file, latent audio, or latent audio whose frames are held.

A format defines the names, sizes and limits of its files. All are written loop by loop, so that an array of any length
needs the memory of a few blocks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError
from unravel_lib.files.naming import EMBEDDINGS
from unravel_lib.files.sidecar import Sidecar, atomic_write_with_sidecar
from unravel_lib.latents.blocks import Frames, Loop, reblock
from unravel_lib.latents.latent_audio import HEADER_BYTES, RIFF_BYTES, Subtype, frame_rate, wav_header
from unravel_lib.text import printable

Watch = Callable[[Frames], None]
Blocks = Iterator[tuple[int, Frames]]  # with the number of its first frame
DTYPES = {"DOUBLE": "<f8", "FLOAT": "<f4"}
VALUE_BYTES = {"DOUBLE": 8, "FLOAT": 4}


@dataclass(frozen=True)
class Format(ABC):
    """A kind of file that latents of `dims` dims can be written as."""

    dims: int
    noun: ClassVar[str]
    suffix: ClassVar[str]  # latents files and latent audio of the same name never share a sidecar
    header_bytes: ClassVar[int]

    @property
    @abstractmethod
    def frame_bytes(self) -> int:
        """Bytes that a frame takes."""

    @property
    def max_frames(self) -> float:
        """Frames that a file can have at most."""
        return math.inf

    @property
    def options(self) -> dict[str, Any]:
        """What the sidecar states about the format."""
        return {}

    def n_bytes(self, n_frames: int) -> int:
        """Return the size of a file of `n_frames` frames."""
        return self.header_bytes + n_frames * self.frame_bytes

    def write(
        self,
        path: Path,
        loops: Iterable[Loop],
        n_frames: int,
        watch: Watch | None = None,
        sidecar: Sidecar | None = None,
    ) -> None:
        """Write loops to a file atomically; values are neither clipped nor scaled.

        Parameters
        ----------
        path : Path
            The file.
        loops : iterable of float64 [frames, dims] or Repeat
            In order.
        n_frames : int
            Frames that the loops have together.
        watch : function of float64 [n, dims], optional
            Called with every block of frames before it is written.
        sidecar : Sidecar, optional
            Written with the file.

        Raises
        ------
        UsageError
            More than `max_frames` frames; a value that is not finite, or too large for 32 bits; or the loops have
            another number of frames than announced.
        OutputError
            The file cannot be written.
        """
        if n_frames > self.max_frames:
            raise UsageError(f"{printable(path)} would be larger than 4 GiB, the limit of WAV")
        with atomic_write_with_sidecar(path, sidecar) as part, open(part, "wb") as file:
            self._write(file, _counted(loops, self.dims, n_frames, watch), n_frames)

    @abstractmethod
    def _write(self, file: BinaryIO, blocks: Blocks, n_frames: int) -> None:
        """Write the header and all blocks."""


class LatentsFile(Format):
    """A latents file that decoder.py takes: `.npy`, float32, shape (1, dims, frames)."""

    noun = "latents file"
    suffix = f"{EMBEDDINGS}.npy"
    header_bytes = 128  # NumPy pads its header to a multiple of 64

    @property
    def frame_bytes(self) -> int:
        """Bytes that a frame takes."""
        return 4 * self.dims

    def _write(self, file: BinaryIO, blocks: Blocks, n_frames: int) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1, self.dims, n_frames)}
        np.lib.format.write_array_header_1_0(file, header)
        origin = file.tell()
        for start, block in blocks:  # by position, so that neither the array nor a map of it is in memory
            for dim, row in enumerate(np.ascontiguousarray(_narrowed(block, "<f4").T)):
                file.seek(origin + 4 * (dim * n_frames + start))
                file.write(row.data)


@dataclass(frozen=True)
class LatentAudio(Format):
    """Latents as a multichannel float WAV, a channel per dim, a sample per frame.

    `sample_rate` in Hz and `compression` in samples per frame are the model's.
    """

    sample_rate: float
    compression: int
    subtype: Subtype = "DOUBLE"
    noun = "latent audio"
    suffix = ".wav"
    header_bytes = HEADER_BYTES
    hold: ClassVar[bool] = False

    @property
    def rate(self) -> int:
        """Samples per second that the header states."""
        return frame_rate(self.sample_rate, self.compression)

    @property
    def samples_per_frame(self) -> int:
        """Samples for which each frame is held."""
        return 1

    @property
    def frame_bytes(self) -> int:
        """Bytes that a frame takes."""
        return self.samples_per_frame * self.dims * VALUE_BYTES[self.subtype]

    @property
    def max_frames(self) -> float:
        """Frames that a file can have at most: RIFF ends at 4 GiB."""
        return (RIFF_BYTES + 8 - HEADER_BYTES) // self.frame_bytes

    @property
    def options(self) -> dict[str, Any]:
        """What the sidecar states about the format."""
        return {"hold": self.hold, "wav_subtype": self.subtype}

    def _write(self, file: BinaryIO, blocks: Blocks, n_frames: int) -> None:
        file.write(wav_header(n_frames * self.samples_per_frame, self.dims, self.rate, self.subtype))
        for _, block in blocks:
            for held in _held(_narrowed(block, DTYPES[self.subtype]), self.samples_per_frame):
                file.write(held.data)


class HeldLatentAudio(LatentAudio):
    """Latent audio at the model's sample rate, in which each frame is held for `compression` samples."""

    suffix = "_hold.wav"
    hold = True

    @property
    def rate(self) -> int:
        """Samples per second that the header states."""
        return max(1, int(self.sample_rate))

    @property
    def samples_per_frame(self) -> int:
        """Samples for which each frame is held."""
        return self.compression


def _counted(loops: Iterable[Loop], dims: int, n_frames: int, watch: Watch | None) -> Blocks:
    """Yield (first frame, block) of all loops, after passing them to `watch`; refuse another number of frames."""
    start = 0
    for block in reblock(loops, dims):
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


def _narrowed(block: Frames, dtype: str) -> npt.NDArray[np.floating[Any]]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(block, dtype=dtype)
    if not np.isfinite(values).all():
        raise UsageError("the pattern made values too large for 32 bits: check its options")
    return values


def _held(values: npt.NDArray[Any], times: int) -> Iterator[npt.NDArray[Any]]:
    """Yield each frame `times` times, in parts of about the size of `values`."""
    step = max(1, len(values) // times)
    for start in range(0, len(values), step):
        yield np.repeat(values[start : start + step], times, axis=0)
