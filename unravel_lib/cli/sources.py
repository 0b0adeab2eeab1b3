"""The inputs of generator.py, each file and its sidecar read once; and model and rates by the sidecars."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from unravel_lib.cli.input_loops import InputLoop, read_input_loops
from unravel_lib.errors import UsageError
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.latents.files import LatentsFile, common_facts, find_encodings, paths_text
from unravel_lib.music import tempo

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
            log.info("no sidecar states the sample rate: taking %d Hz (`sample_rate`)", sample_rate)
        if compression is None:
            compression = tempo.DEFAULT_COMPRESSION
            log.info("no sidecar states the compression: taking %d (`compression`)", compression)
        return Rates(sample_rate, compression)


def read_sources(
    encodings: Sequence[Path] | None,
    statistics: Path | None,
    output: Path,
    input_loop: Sequence[str],
    sample_rate: float | None,
    compression: int | None,
) -> Sources:
    """Read what the flags of these names give.

    Raises
    ------
    InputError
        A path does not exist or leads to no latents, a file is damaged, or sidecars contradict each other.
    UsageError
        A flag contradicts the sidecars, or a loop has an impossible place.
    """
    found = find_encodings(encodings, output) if encodings else []
    files = {file.path: file for file in found}
    loops = read_input_loops(input_loop, files, sample_rate, compression)
    sidecars = {path: file.sidecar for path, file in files.items()}
    if statistics is not None:
        sidecars = {statistics: read_sidecar(statistics), **sidecars}
    facts = common_facts(sidecars)
    joined: dict[str, Any] = {}
    for name, given in (("sample_rate", sample_rate), ("compression", compression)):
        stated = getattr(facts, name)
        if None not in (stated, given) and stated != given:
            found_text = f"is {stated:.10g} by the encodings' sidecars, not {given:.10g}"
            raise UsageError(found_text, option=name, remedy="leave it out")
        joined[name] = given if stated is None else stated
    named = encodings or ([statistics] if statistics else list(files))
    if named:
        joined["source"] = paths_text([os.path.abspath(path) for path in named])
    measured = found or ([] if statistics else list(files.values()))
    return Sources(measured, statistics, loops, replace(facts, **joined))
