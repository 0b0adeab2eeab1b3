"""The loops that generator.py takes from files: `FILE[:A:B]`, the frames A to B - 1 of latents, or seconds of them."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import GivenLoop, Sidecar
from unravel_lib.latents import Frames
from unravel_lib.latents.files import EXTENSIONS, LatentsFile, read_latents_file
from unravel_lib.music import tempo
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.text import frames_text, printable

MAX_LOOPS = 2  # A and B
PLACE = r"(?:\d+(?:\.\d+)?s|\d*)"  # a frame, a time such as 1.5s, or nothing
EXPECTED = "FILE:A:B with 0 <= A < B, in frames such as 0:16 or in seconds such as 0s:0.75s"


@dataclass(frozen=True, eq=False)
class InputLoop:
    """A loop, float64 [frames, dims], and where it comes from: the frames `first` to `end` - 1 of a file."""

    file: LatentsFile
    first: int
    end: int
    frames: Frames

    @functools.cached_property
    def facts(self) -> GivenLoop:
        """What a sidecar says about it."""
        path = self.file.path
        return GivenLoop(path.name, sha256_of(path), (self.first, self.end))


def read_input_loops(
    texts: Sequence[str],
    files: dict[Path, LatentsFile],
    sample_rate: float | None = None,
    compression: int | None = None,
) -> list[InputLoop]:
    """Read the loops that `input_loop` names; `files` are those that are read already, and others are added.

    Places in seconds, such as 1.5s, are of the model's rates: those in the sidecar, else those given, else the usual.

    Raises
    ------
    InputError
        A file cannot be read, or is shorter.
    UsageError
        More than two, no frames, too many, or the two do not have the same number of frames and dims.
    """
    if len(texts) > MAX_LOOPS:
        raise UsageError(f"names {len(texts)} loops", option="input_loop", expected="one or two: loop A, and loop B")
    loops = [_read(text, files, sample_rate, compression) for text in texts]
    for loop in loops[1:]:
        if loop.frames.shape != loops[0].frames.shape:
            has, other = ("{} frames x {} dims".format(*one.frames.shape) for one in loops)
            found = f"gives loop A {has}, loop B {other}"
            raise UsageError(found, option="input_loop", remedy="take as many frames of the same model")
    return loops


def refuse_other_dims(loops: Sequence[InputLoop], dims: int) -> None:
    """Raise InputError where the loops have other dims than the statistics."""
    for loop in loops:
        if loop.frames.shape[1] != dims:
            raise InputError(
                f"has {loop.frames.shape[1]} dims, the encodings have {dims}",
                option="input_loop",
                value=loop.file.path,
                remedy="take latents of the same model",
            )


def _read(text: str, files: dict[Path, LatentsFile], sample_rate: float | None, compression: int | None) -> InputLoop:
    place = None if Path(text).exists() else re.fullmatch(rf"(.+?):({PLACE}):({PLACE})", text, re.DOTALL)
    name, first, end = place.groups() if place else (text, "", "")
    path = Path(name).expanduser()
    if path.suffix.lower() not in EXTENSIONS:
        raise UsageError("names no loop", option="input_loop", value=text, expected=EXPECTED)
    if path not in files:
        files[path] = read_latents_file(path, compression)
    file = files[path]
    facts = file.sidecar or Sidecar()
    rate = Fraction(facts.sample_rate or sample_rate or tempo.DEFAULT_SAMPLE_RATE)
    rate /= facts.compression or compression or tempo.DEFAULT_COMPRESSION
    has = file.latents.shape[1]
    begin, stop = _frame(first, rate, 0), _frame(end, rate, has)
    if not begin < stop <= has:
        seconds = f"{frames_text(has)}, {float(has / rate):.2f} s"
        found = f"is outside of {printable(path)}, which has {seconds}"
        raise InputError(found, option="input_loop", value=text, expected=EXPECTED)
    if stop - begin > MAX_LATENTS:
        found = f"has {frames_text(stop - begin)}, at most {MAX_LATENTS:,}"
        raise UsageError(found, option="input_loop", value=text, remedy="give FILE:A:B")
    return InputLoop(file, begin, stop, np.ascontiguousarray(file.latents[:, begin:stop].T, np.float64))


def _frame(place: str, rate: Fraction, default: int) -> int:
    """Read a place in a file of `rate` frames a second as the number of a frame."""
    if place.endswith("s"):
        return round(Fraction(place[:-1]) * rate)
    return int(place) if place else default
