"""What inspector.py and generator.py say about latents: facts, and how true they are to their encodings; and sounds."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unravel_lib.cli import origins
from unravel_lib.cli.batch import Batch
from unravel_lib.cli.levels import log_levels
from unravel_lib.errors import InputError
from unravel_lib.files.find import find_files
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.latents import Latents
from unravel_lib.latents.files import EXTENSIONS, is_latents, read_latents
from unravel_lib.page.provenance import decoded_sound
from unravel_lib.statistics.fidelity import Fidelity, ceiling, fidelity, floor, report
from unravel_lib.statistics.measure import measure
from unravel_lib.statistics.tables import report as statistics_report
from unravel_lib.text import printable, table

SEED = 0  # of the choice of windows: the same latents give the same figures

FIGURES = (("seconds", 1), ("frame_rate", 3))  # of a file, with their decimals

log = logging.getLogger("unravel_lib")


def are_latents(paths: Sequence[Path], model_extensions: Sequence[str]) -> bool:
    """Whether the paths lead to latents: a `.npy` or `.wav`, or a folder with such and without model files."""
    for path in paths:
        if path.suffix.lower() in EXTENSIONS:
            return True
        if path.is_dir():
            suffixes = {file.suffix.lower() for file in path.rglob("*")}
            if not suffixes & set(model_extensions) and suffixes & set(EXTENSIONS):
                return True
    return False


def find_latents(paths: Sequence[Path]) -> list[Path]:
    """Find latents files and latent audio; other sound files in folders are left out.

    Raises
    ------
    InputError
        A path does not exist, or leads to no latents.
    """
    latents, _ = _find(paths)
    if not latents:
        raise _no_latents(paths)
    return latents


def _no_latents(paths: Sequence[Path]) -> InputError:
    return InputError(f"{printable(paths[0])} holds sound, but no latents")


def _find(paths: Sequence[Path], batch: Batch | None = None) -> tuple[list[Path], list[Path]]:
    """Return latents, and decoded sounds, which have the sidecar of one; the batch receives damaged sidecars."""
    named = set(paths)
    found = [source.path for source in find_files(paths, EXTENSIONS)]
    latents, sounds = [], []
    for path in found:
        try:
            read_sidecar(path)
        except InputError as error:
            if batch is None or len(found) == 1:
                raise
            batch.failed(path, str(error))
            continue
        if decoded_sound(path) is not None:
            sounds.append(path)
        elif path in named or is_latents(path):
            latents.append(path)
    if batch is not None:
        batch.done += len(latents) + len(sounds)
    return latents, sounds


def describe(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Facts of each file: path, dims, frames, and what its sidecar says: seconds, frame_rate, model; else None."""
    described = []
    for path in paths:
        sidecar = read_sidecar(path) or Sidecar()
        dims, frames = read_latents(path, sidecar.compression).shape
        rate = None
        if sidecar.sample_rate and sidecar.compression:
            rate = sidecar.sample_rate / sidecar.compression
        described.append(
            {
                "path": str(path),
                "dims": dims,
                "frames": frames,
                "seconds": None if rate is None else frames / rate,
                "frame_rate": rate,
                "model": sidecar.model,
            }
        )
    return described


def compare(generated: Sequence[Latents], recorded: Sequence[Latents]) -> dict[str, Fidelity]:
    """How true generated latents are to recorded ones: `value`, and the `floor` and `ceiling` to compare it with.

    Raises
    ------
    InputError
        The dims differ, or there are too few frames.
    """
    return {
        "value": fidelity(generated, recorded, np.random.default_rng(SEED)),
        "floor": floor(recorded, np.random.default_rng(SEED)),
        "ceiling": ceiling(recorded, np.random.default_rng(SEED)),
    }


def inspect_results(paths: Sequence[Path], against: Sequence[Path] | None, batch: Batch) -> dict[str, Any]:
    """Log what there is to say about latents and decoded sounds; return the same for JSON.

    Of latents facts and movement, of sounds length and level, and how they were made; or, with encodings to compare
    `against`, the fidelity of latents. The batch receives files whose sidecar is damaged.
    """
    latents, sounds = _find(paths, batch)
    if not latents and (against or not sounds):
        raise _no_latents(paths)
    document = _inspect_latents(latents) if latents else {"files": []}
    if against is not None:
        try:
            recorded = find_latents(against)
        except InputError as error:
            raise InputError(str(error).replace("`input`", "`against`")) from error
        _refuse_mixed(document["files"] + describe(recorded))
        compared = compare([read_latents(path) for path in latents], [read_latents(path) for path in recorded])
        log.info("\n%s", report(**compared))
        document["fidelity"] = {name: asdict(one) for name, one in compared.items()}
        return document
    if latents and sounds:
        log.info("")
    log_levels(sounds, None)
    return {**document, "sounds": list(map(str, sounds)), "made": origins.tell([*latents, *sounds])}


def _refuse_mixed(described: Sequence[dict[str, Any]]) -> None:
    """Raise InputError, with the files, where latents have different dims."""
    first = described[0]
    for file in described:
        if file["dims"] != first["dims"]:
            raise InputError(
                f"{printable(file['path'])} has {file['dims']} dims, {printable(first['path'])} has {first['dims']}: "
                "they belong to different models, inspect them in separate runs"
            )


def _inspect_latents(latents: Sequence[Path]) -> dict[str, Any]:
    described = describe(latents)
    _refuse_mixed(described)
    rows = [["latents", "dims", "frames", "seconds", "Hz", "model"]]
    for file in described:
        seconds, rate = (("?" if file[name] is None else f"{file[name]:.{n}f}") for name, n in FIGURES)
        name, model = printable(file["path"]), printable(file["model"] or "?")
        rows.append([name, str(file["dims"]), str(file["frames"]), seconds, rate, model])
    log.info("%s\n", table(rows))
    statistics = measure([read_latents(path) for path in latents])
    log.info("%s", statistics_report(statistics))
    return {
        "files": described,
        "lag_1": statistics.autocorrelation.tolist(),
        "std": statistics.std.tolist(),
        "mean": statistics.mean.tolist(),
    }
