"""What generator.py is made from, each file and its sidecar read once; model and rates by the sidecars.

A loop is taken from latents by `FILE[:A:B]`, the frames A to B - 1, or seconds of them.
"""

import csv
import fnmatch
import io
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unravel_lib.audio.descriptors import NAMES
from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.latents import Frames
from unravel_lib.latents.files import (
    ENCODE,
    EXTENSIONS,
    Inputs,
    LatentsFile,
    common_facts,
    find_encodings,
    paths_text,
)
from unravel_lib.music import steering, tempo
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.statistics.measure import Array
from unravel_lib.text import count_text, did_you_mean, frames_text, printable

PLACE = r"(?:\d+(?:\.\d+)?s|\d*)"  # a frame, a time such as 1.5s, or nothing
EXPECTED = "FILE:A:B with 0 <= A < B, in frames such as 0:16 or in seconds such as 0s:0.75s"

log = logging.getLogger("unravel_lib")


class Rates(NamedTuple):
    """Sample rate of the model in Hz, and audio samples per frame."""

    sample_rate: float
    compression: int


@dataclass(frozen=True, eq=False)
class InputLoop:
    """A loop, float64 [frames, dims], and where it comes from: the frames `first` to `end` - 1 of a file."""

    file: LatentsFile
    first: int
    end: int
    frames: Frames


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
    target : InputLoop or None
        The latents whose course is wanted.
    files_sha256 : mapping of str by absolute path
        Hashes of the files of loops, target and wishes.
    """

    encodings: list[LatentsFile]
    statistics: Path | None
    loops: list[InputLoop]
    facts: Sidecar
    target: InputLoop | None = None
    files_sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """All files that are read."""
        table = [] if self.statistics is None else [self.statistics]
        return [*table, *(file.path for file in self.encodings), *map(Path, self.files_sha256)]

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
    if options.only:
        encodings = only(encodings, options.only)
    files = {file.path: file for file in encodings}
    loops = read_input_loops(options.input_loop, files, options.sample_rate, options.compression)
    sources = list(files.values())
    target = None
    if options.target is not None:
        target = _read(options.target, files, options.sample_rate, options.compression, "target")
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
    named = options.input or ([options.statistics] if options.statistics else [file.path for file in sources])
    if named:
        joined["source"] = paths_text([Path(os.path.abspath(path)) for path in named])
    measured = encodings or ([] if options.statistics else sources)
    hashes = {path: sha256_of(Path(path)) for path in named_files(options)}
    return Sources(measured, options.statistics, loops, replace(facts, **joined), target, hashes)


def expanded(text: str) -> Path:
    """Return a path that is part of a text; "~" is the home folder."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  which leaves unknown users as they are


def named_files(options: GeneratorOptions) -> dict[str, str]:
    """Return the absolute paths of the files of loops, target and wishes, each with the option that names it."""
    loops = [("input_loop", text) for text in options.input_loop]
    loops += [("target", options.target)] if options.target else []
    named = [(option, _split_place(text)[0]) for option, text in loops]
    wanted = filter(steering.FILE.search, (steering.split_wish(text)[1] for text in options.steer))
    named += [("steer", text if _is_npy(text) else text.rpartition(":")[0]) for text in wanted]
    return {os.path.abspath(expanded(name)): option for option, name in named}


def fitting(names: Sequence[str], pattern: str, option: str, value: str) -> list[bool]:
    """Return which names fit a pattern such as loop_*; raises UsageError where none does."""
    fits = [fnmatch.fnmatchcase(name, pattern) for name in names]
    if not any(fits):
        close = did_you_mean(pattern, sorted(set(names)))
        expected = f"a name such as {printable(min(names))}, or a part of one with *{printable(close)}"
        found = f"fits none of {count_text(len(set(names)), 'recording')}"
        raise UsageError(found, option=option, value=value, expected=expected)
    return fits


def only(encodings: Sequence[LatentsFile], patterns: Sequence[str]) -> list[LatentsFile]:
    """Return the encodings of recordings whose names fit one of the patterns; raises UsageError where none does."""
    if not encodings:
        remedy = "give these, not a table of statistics or a loop"
        raise UsageError("chooses among encodings", option="only", remedy=remedy, remedy_options=("input",))
    names = [file.name for file in encodings]
    chosen = np.any([fitting(names, pattern, "only", pattern) for pattern in patterns], axis=0)
    return [file for file, is_chosen in zip(encodings, chosen, strict=True) if is_chosen]


def weights(names: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return how much each recording counts, by texts such as "tabla*=3"; the last that fits holds."""
    found = [1.0] * len(names)
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if not name or not 0 <= weight < float("inf"):
            raise UsageError("is no weight", option="weight", value=text, expected="NAME=N, such as 'tabla*=3'")
        fits = fitting(names, name, "weight", text)
        found = [weight if fit else old for fit, old in zip(fits, found, strict=True)]
    if not any(found):
        raise UsageError("leaves nothing, as every recording weighs 0", option="weight")
    return found


def read_ranks(name: str, text: str) -> Array:
    """Read ranks over a loop from "FILE.csv:COLUMN", or the ranks of a descriptor along another encoding (.npy)."""
    if _is_npy(text):
        file = Inputs().read(expanded(text))
        if file.descriptors is None:
            raise InputError("has no descriptors", path=file.path, remedy="encode the recording again with encoder.py")
        values = file.descriptors[NAMES.index(name)]
        ranks: Array = np.searchsorted(np.sort(values), values) / max(1, len(values) - 1)
        return ranks
    path, _, column = text.rpartition(":")
    with open_input(expanded(path)) as opened:
        rows = list(csv.DictReader(io.TextIOWrapper(opened, "utf-8", "replace")))
    if not rows or column not in rows[0]:
        has = f"it has {', '.join(map(printable, filter(None, rows[0])))}" if rows else "it is empty"
        raise InputError(f"has no column {printable(column)}", path=path, remedy=has, remedy_options=("steer",))
    return np.array([float(row[column] or "nan") for row in rows])


def _is_npy(text: str) -> bool:
    return text.lower().endswith(".npy")


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
        No frames, too many, or the loops do not have the same number of frames and dims.
    """
    loops = [_read(text, files, sample_rate, compression) for text in texts]
    for loop in loops[1:]:
        if loop.frames.shape != loops[0].frames.shape:
            has, other = ("{} frames x {} dims".format(*one.frames.shape) for one in (loops[0], loop))
            found = f"gives one loop {has}, another {other}"
            raise UsageError(found, option="input_loop", remedy="take as many frames of the same model")
    return loops


def _read(
    text: str,
    files: dict[Path, LatentsFile],
    sample_rate: float | None,
    compression: int | None,
    option: str = "input_loop",
) -> InputLoop:
    name, first, end = _split_place(text)
    path = expanded(name)
    if path.suffix.lower() not in EXTENSIONS:
        known = "is no .npy and no latent audio .wav" if path.is_file() else "names no latents file"
        remedy = ENCODE if path.is_file() else ""
        raise UsageError(known, option=option, value=text, expected="" if remedy else EXPECTED, remedy=remedy)
    if path not in files:
        files[path] = Inputs().read(path, compression)
    file = files[path]
    facts = file.sidecar or Sidecar()
    rate = Fraction(facts.sample_rate or sample_rate or tempo.DEFAULT_SAMPLE_RATE)
    rate /= facts.compression or compression or tempo.DEFAULT_COMPRESSION
    has = file.latents.shape[1]
    begin, stop = _frame(first, rate, 0), _frame(end, rate, has)
    if not begin < stop <= has:
        seconds = f"{frames_text(has)}, {float(has / rate):.2f} s"
        found = f"is outside of {printable(path)}, which has {seconds}"
        raise InputError(found, option=option, value=text, expected=EXPECTED)
    if stop - begin > MAX_LATENTS:
        found = f"has {frames_text(stop - begin)}, at most {MAX_LATENTS:,}"
        raise UsageError(found, option=option, value=text, remedy="give FILE:A:B")
    return InputLoop(file, begin, stop, np.ascontiguousarray(file.latents[:, begin:stop].T, np.float64))


def _split_place(text: str) -> tuple[str, str, str]:
    """Split FILE[:A:B] into the file and the two places, which are empty where there are none."""
    place = None if Path(text).exists() else re.fullmatch(rf"(.+?):({PLACE}):({PLACE})", text, re.DOTALL)
    return (place[1], place[2], place[3]) if place else (text, "", "")


def _frame(place: str, rate: Fraction, default: int) -> int:
    """Read a place in a file of `rate` frames a second as the number of a frame."""
    if place.endswith("s"):
        return round(Fraction(place[:-1]) * rate)
    return int(place) if place else default
