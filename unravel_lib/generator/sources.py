"""What generator.py is made from, each file and its sidecar read once; model and rates by the sidecars.

A loop is taken from latents by `FILE[:A:B]`, the frames A to B - 1, or seconds of them.
"""

import functools
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.find import sha256_of
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.latents import Frames
from unravel_lib.latents.files import (
    EXTENSIONS,
    LatentsFile,
    common_facts,
    find_encodings,
    paths_text,
    read_latents_file,
)
from unravel_lib.music import tempo
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.text import frames_text, printable

MAX_LOOPS = 2  # A and B
PLACE = r"(?:\d+(?:\.\d+)?s|\d*)"  # a frame, a time such as 1.5s, or nothing
EXPECTED = "FILE:A:B with 0 <= A < B, in frames such as 0:16 or in seconds such as 0s:0.75s"

log = logging.getLogger("unravel_lib")


class Rates(NamedTuple):
    """Sample rate of the model in Hz, and audio samples per frame."""

    sample_rate: float
    compression: int

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.sample_rate) / self.compression


@dataclass(frozen=True, eq=False)
class InputLoop:
    """A loop, float64 [frames, dims], and where it comes from: the frames `first` to `end` - 1 of a file."""

    file: LatentsFile
    first: int
    end: int
    frames: Frames

    @functools.cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file."""
        return sha256_of(self.file.path)


@dataclass(frozen=True, eq=False)
class Sources:
    """What a run is made from.

    Attributes
    ----------
    encodings : list of LatentsFile
        What is measured: the encodings, else the files of the loops; empty where `statistics` is given.
    statistics : Path or None
        The table to read instead.
    loops : list of InputLoop
        The loops that are given.
    facts : Sidecar
        The model that the latents belong to, and where they come from.
    """

    encodings: list[LatentsFile]
    statistics: Path | None
    loops: list[InputLoop]
    facts: Sidecar

    @property
    def paths(self) -> list[Path]:
        """All files that are read."""
        table = [] if self.statistics is None else [self.statistics]
        return [*table, *(file.path for file in self.encodings), *(loop.file.path for loop in self.loops)]

    def rates(self) -> Rates:
        """Return the rates that are known; defaults are taken for those that are not, and logged."""
        sample_rate, compression = self.facts.sample_rate, self.facts.compression
        if sample_rate is None:
            sample_rate = tempo.DEFAULT_SAMPLE_RATE
            log.info("no sidecar states the sample rate: taking %d Hz (--sample_rate)", sample_rate)
        if compression is None:
            compression = tempo.DEFAULT_COMPRESSION
            log.info("no sidecar states the compression: taking %d (--compression)", compression)
        return Rates(sample_rate, compression)


def read_sources(options: GeneratorOptions) -> Sources:
    """Read what the options name.

    Raises
    ------
    InputError
        A path does not exist or leads to no latents, a file is damaged, or sidecars contradict each other.
    UsageError
        An option contradicts the sidecars, or a loop has an impossible place.
    """
    encodings = find_encodings(options.input, options.output) if options.input else []
    files = {file.path: file for file in encodings}
    loops = read_input_loops(options.input_loop, files, options.sample_rate, options.compression)
    sidecars = {path: file.sidecar for path, file in files.items()}
    if options.statistics is not None:
        sidecars = {options.statistics: read_sidecar(options.statistics), **sidecars}
    facts = common_facts(sidecars)
    joined: dict[str, Any] = {}
    for name in ("sample_rate", "compression"):
        stated, given = getattr(facts, name), getattr(options, name)
        if None not in (stated, given) and stated != given:
            found = f"is {stated:.10g} by the encodings' sidecars, not {given:.10g}"
            raise UsageError(found, option=name, remedy="leave it out")
        joined[name] = given if stated is None else stated
    named = options.input or ([options.statistics] if options.statistics else list(files))
    if named:
        joined["source"] = paths_text([Path(os.path.abspath(path)) for path in named])
    measured = encodings or ([] if options.statistics else list(files.values()))
    return Sources(measured, options.statistics, loops, replace(facts, **joined))


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
