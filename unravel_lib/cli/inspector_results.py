"""What inspector.py says about latents and sounds: facts, how they were made, how true latents are to encodings."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.levels import log_levels
from unravel_lib.errors import InputError
from unravel_lib.files.find import find_files
from unravel_lib.files.sidecar import Sidecar, SoundSidecar
from unravel_lib.history.steps import Step, steps
from unravel_lib.latents.files import EXTENSIONS, Inputs, LatentsFile
from unravel_lib.statistics import fidelity
from unravel_lib.statistics.measure import measure
from unravel_lib.statistics.tables import report as statistics_report
from unravel_lib.text import count_text, printable, table

MAX_TOLD = 8  # results of which is told how they were made
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


def _read(paths: Sequence[Path], batch: Batch | None = None) -> tuple[list[LatentsFile], dict[Path, Sidecar | None]]:
    """Read latents; also return decoded sounds, which have the sidecar of one. The batch receives damaged files.

    Raises
    ------
    InputError
        A path does not exist or leads to no results; without a batch a file is damaged; or the only file is.
    """
    named = set(paths)
    found = [source.path for source in find_files(paths, EXTENSIONS)]
    inputs, latents, sounds = Inputs(), list[LatentsFile](), dict[Path, Sidecar | None]()
    for path in found:
        with nullcontext() if batch is None or len(found) == 1 else batch.check(path):
            facts = inputs.sidecar(path)
            if isinstance(facts, SoundSidecar):
                sounds[path] = facts
            elif path in named or inputs.is_latents(path):
                latents.append(inputs.read(path))
    if batch is not None:
        batch.done += len(latents) + len(sounds)
    if not latents and not (batch is not None and (sounds or batch.failures)):
        raise InputError("holds sound, but no latents", path=paths[0])
    return latents, sounds


def _facts(file: LatentsFile) -> dict[str, Any]:
    """Facts of a file: path, dims, frames, and what its sidecar says: seconds, frame_rate, model; else None."""
    sidecar = file.sidecar or Sidecar()
    dims, frames = file.latents.shape
    rate = None
    if sidecar.sample_rate and sidecar.compression:
        rate = sidecar.sample_rate / sidecar.compression
    return {
        "path": str(file.path),
        "dims": dims,
        "frames": frames,
        "seconds": None if rate is None else frames / rate,
        "frame_rate": rate,
        "model": sidecar.model,
    }


def inspect_results(paths: Sequence[Path], against: Sequence[Path] | None, batch: Batch) -> dict[str, Any]:
    """Log what there is to say about latents and decoded sounds; return the same for JSON.

    Of latents facts and movement, of sounds length and level, and how they were made; or, with encodings to compare
    `against`, the fidelity of latents. The batch receives damaged files.
    """
    latents, sounds = _read(paths, batch)
    if against is not None:
        if not latents:
            raise InputError("holds sound, but no latents", path=paths[0])
        return _compared(latents, against)
    document = _described(latents) if latents else {"files": []}
    if latents and sounds:
        log.info("")
    log_levels([*sounds], None)
    return {
        **document,
        "sounds": list(map(str, sounds)),
        "made": how_made({file.path: file.sidecar for file in latents} | sounds),
    }


def how_made(results: Mapping[Path, Sidecar | None]) -> list[dict[str, Any]]:
    """Log how the first results were made; return the same for JSON: path, and steps of script, facts and command.

    Results that have no sidecar are left out.
    """
    made = {path: done for path, facts in [*results.items()][:MAX_TOLD] if (done := steps(path, facts))}
    for path, done in made.items():
        log.info("\nhow %s was made:\n%s", printable(path), "\n".join(map(_step_text, done)))
    if made and len(results) > MAX_TOLD:
        log.info("\nand %s more: --input tells how one of them was made", count_text(len(results) - MAX_TOLD, "file"))
    return [
        {
            "path": str(path),
            "steps": [{"script": s.script, "facts": dict(s.facts), "command": s.command or None} for s in done],
        }
        for path, done in made.items()
    ]


def _step_text(step: Step) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in step.facts)
    return f"  {step.script}: {facts}" + (f"\n    {step.command}" if step.command else "")


def _compared(latents: Sequence[LatentsFile], against: Sequence[Path]) -> dict[str, Any]:
    document = _described(latents)
    try:
        recorded, _ = _read(against)
    except InputError as error:
        error.remedy_options = ("against",) if error.remedy_options == ("input",) else error.remedy_options
        raise
    _refuse_mixed([*latents, *recorded])
    found = fidelity.compared([file.latents for file in latents], [file.latents for file in recorded])
    log.info("\n%s", fidelity.report(**found))
    return {**document, "fidelity": {name: asdict(one) for name, one in found.items()}}


def _refuse_mixed(files: Sequence[LatentsFile]) -> None:
    """Raise InputError, with the files, where latents have different dims."""
    for file in files:
        if len(file.latents) != len(files[0].latents):
            raise InputError(
                f"has {len(file.latents)} dims, {printable(files[0].path)} has {len(files[0].latents)}",
                path=file.path,
                remedy="they belong to different models, inspect them in separate runs",
            )


def _described(files: Sequence[LatentsFile]) -> dict[str, Any]:
    _refuse_mixed(files)
    described = [_facts(file) for file in files]
    rows = [["latents", "dims", "frames", "seconds", "Hz", "model"]]
    for file in described:
        seconds, rate = (("?" if file[name] is None else f"{file[name]:.{n}f}") for name, n in FIGURES)
        name, model = printable(file["path"]), printable(file["model"] or "?")
        rows.append([name, str(file["dims"]), str(file["frames"]), seconds, rate, model])
    log.info("%s\n", table(rows))
    statistics = measure([file.latents for file in files])
    log.info("%s", statistics_report(statistics))
    return {
        "files": described,
        "lag_1": statistics.autocorrelation.tolist(),
        "std": statistics.std.tolist(),
        "mean": statistics.mean.tolist(),
    }
