"""The inputs of generator.py: the files that its flags name, and model and rates by their sidecars."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.find import find_files
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.music import tempo
from unravel_lib.statistics.sources import common_facts
from unravel_lib.text import count_text, printable

log = logging.getLogger("unravel_lib")


def find_sources(encodings: Sequence[Path] | None, statistics: Path | None, output: Path) -> list[Path]:
    """Find the input files: the statistics file, or all `.npy` that are named or in folders that are named.

    Empty where nothing is named. Results of generator.py in a folder are left out: they are no encodings.

    Raises
    ------
    InputError
        A path does not exist, is a pipe or a device, or leads to no encodings.
    """
    if statistics is not None:
        return [statistics]
    if not encodings:
        return []
    for path in encodings:
        if path.suffix.lower() == ".wav":
            raise InputError(
                f"{printable(path)} is a WAV, `input` takes .npy: encode sound with encoder.py; latent audio is for "
                "`input_loop` and decoder.py"
            )
    found = [source.path for source in find_files(encodings, [".npy"], output)]
    named = set(encodings)
    in_folders = [path for path in found if path not in named]
    own = {path for path in in_folders if (read_sidecar(path) or Sidecar()).is_generated}
    if len(own) == len(found):
        raise InputError(
            f"{paths_text(encodings)} holds no .npy but results of generator.py: give `input` encodings, or one of "
            "these results by its name"
        )
    if own:
        results = count_text(len(own), "result")
        log.info("leaving out %s of generator.py in %s (`input` takes one by name)", results, paths_text(encodings))
    return [path for path in found if path not in own]


def paths_text(paths: Sequence[Path]) -> str:
    """Name the first path and count the others: "latents and 2 more"."""
    return printable(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def known_facts(paths: Sequence[Path], sample_rate: float | None, compression: int | None) -> Sidecar:
    """Join what the sidecars of the files agree on and what flags give; None where neither does.

    Raises
    ------
    InputError
        The sidecars contradict each other.
    UsageError
        A flag contradicts the sidecars.
    """
    facts = common_facts(paths)
    joined: dict[str, Any] = {}
    for name, given in (("sample_rate", sample_rate), ("compression", compression)):
        stated = getattr(facts, name)
        if None not in (stated, given) and stated != given:
            raise UsageError(
                f"{name} is {stated:.10g} by the encodings' sidecars, not {given:.10g}: leave `{name}` out"
            )
        joined[name] = given if stated is None else stated
    return replace(facts, **joined)


class Rates(NamedTuple):
    """Sample rate of the model in Hz, and audio samples per frame."""

    sample_rate: float
    compression: int

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.sample_rate) / self.compression


def rates(facts: Sidecar) -> Rates:
    """Return the rates that are known; defaults are taken for those that are not, and logged."""
    sample_rate, compression = facts.sample_rate, facts.compression
    if sample_rate is None:
        sample_rate = tempo.DEFAULT_SAMPLE_RATE
        log.info("no sidecar states the sample rate: taking %d Hz (`sample_rate`)", sample_rate)
    if compression is None:
        compression = tempo.DEFAULT_COMPRESSION
        log.info("no sidecar states the compression: taking %d (`compression`)", compression)
    return Rates(sample_rate, compression)
