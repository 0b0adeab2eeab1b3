"""What inspector.py answers: about latents and sounds, how they were made; about a model, what is asked for by name."""

import fnmatch
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.sounds import log_levels
from unravel_lib.cli.terminal import written
from unravel_lib.errors import InputError, UnravelError
from unravel_lib.files.find import find_files
from unravel_lib.files.output import output_name
from unravel_lib.files.sidecar import Sidecar, SoundSidecar
from unravel_lib.history import Step, steps
from unravel_lib.inspection import facts as model_facts
from unravel_lib.inspection.worker import Worker
from unravel_lib.latents.files import ENCODE, EXTENSIONS, Inputs, LatentsFile, find_encodings
from unravel_lib.statistics import fidelity
from unravel_lib.statistics.measure import measure
from unravel_lib.statistics.tables import report as statistics_report
from unravel_lib.text import count_text, did_you_mean, printable, table

MAX_TOLD = 8  # results of which is told how they were made
NO_LATENTS = "holds sound, but no latents"

log = logging.getLogger("unravel_lib")


def save(facts: model_facts.Facts, worker: Worker, path: Path, output: Path) -> list[Path]:
    """Write the tables of one model, and the picture where its shares of variance are known; returns the files."""
    key = facts.sha256 or str(path)  # so that no model's tables replace another's
    targets = [output / output_name(f"{kind}--{path.stem}", key, ".csv") for kind in ("facts", "state_dict")]
    model_facts.write_facts(targets[0], facts)
    model_facts.write_tensors(targets[1], worker.answer("statistics"))
    if facts.variance_shares:
        from unravel_lib import plots

        targets.append(output / output_name(f"variance--{path.stem}", key, ".png"))
        plots.draw_variance(targets[-1], facts.name, facts.variance_shares, facts.dims or len(facts.variance_shares))
    return targets


def are_latents(paths: Sequence[Path], model_extensions: Sequence[str]) -> bool:
    """Whether the paths lead to latents: a `.npy` or `.wav`, or a folder with such and without model files."""
    for path in paths:
        suffixes = {file.suffix.lower() for file in (path.rglob("*") if path.is_dir() else [path])}
        if suffixes & set(EXTENSIONS) and not suffixes & set(model_extensions):
            return True
    return False


def _read(paths: Sequence[Path], batch: Batch) -> tuple[list[LatentsFile], dict[Path, Sidecar | None]]:
    """Read latents; also return decoded sounds, which have the sidecar of one. The batch receives what is no such file.

    Raises
    ------
    InputError
        The paths lead to no results.
    """
    inputs, named, latents, sounds = Inputs(), set(paths), list[LatentsFile](), dict[Path, Sidecar | None]()
    for path in (source.path for source in find_files(paths, EXTENSIONS, None, batch.failed)):
        with batch.check(path):
            facts = inputs.sidecar(path)
            if isinstance(facts, SoundSidecar):
                sounds[path] = facts
            elif path in named or inputs.is_latents(path):
                latents.append(inputs.read(path))
    batch.done += len(latents) + len(sounds)
    if not (latents or sounds or batch.failures):
        raise InputError(NO_LATENTS, path=paths[0], remedy=ENCODE)
    return latents, sounds


def inspect_results(paths: Sequence[Path], against: Sequence[Path] | None, batch: Batch) -> dict[str, Any]:
    """Log what there is to say about latents and decoded sounds; return the same for JSON.

    Of latents facts and movement, of sounds length and level, and how they were made; or, with encodings to compare
    `against`, the fidelity of latents. The batch receives damaged files.
    """
    latents, sounds = _read(paths, batch)
    if against and not (latents or batch.failures):
        raise InputError(NO_LATENTS, path=paths[0], remedy=ENCODE)
    recorded = _read_recorded(against) if against and latents else []
    _refuse_mixed([*latents, *recorded])
    document = _described(latents) if latents else {"files": []}
    if recorded:
        found = fidelity.compared([file.latents for file in latents], [file.latents for file in recorded])
        log.info("\n%s", fidelity.report(**found))
        return {**document, "fidelity": {name: asdict(one) for name, one in found.items()}}
    if latents and sounds:
        log.info("")
    log_levels(sounds, None)
    made = how_made({file.path: file.sidecar for file in latents} | sounds)
    return {**document, "sounds": list(map(str, sounds)), "made": made}


def how_made(results: Mapping[Path, Sidecar | None]) -> list[dict[str, Any]]:
    """Log how the first results were made; return the same for JSON: path, and steps of script, facts and command.

    Results that have no sidecar are left out.
    """
    made = []
    for path, sidecar in [*results.items()][:MAX_TOLD]:
        if done := steps(path, sidecar):
            log.info("\nhow %s was made:\n%s", printable(path), "\n".join(map(_step_text, done)))
            told = [{"script": s.script, "facts": dict(s.facts), "command": s.command or None} for s in done]
            made.append({"path": str(path), "steps": told})
    if made and len(results) > MAX_TOLD:
        log.info("\nand %s more: --input tells how one of them was made", count_text(len(results) - MAX_TOLD, "file"))
    return made


def _step_text(step: Step) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in step.facts)
    return f"  {step.script}: {facts}" + (f"\n    {step.command}" if step.command else "")


def _read_recorded(paths: Sequence[Path]) -> list[LatentsFile]:
    """Read the encodings that latents are compared with."""
    try:
        return find_encodings(paths)
    except InputError as error:
        error.remedy_options = ("against",) if error.remedy_options == ("input",) else error.remedy_options
        raise


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
    """Log a table of latents and their statistics; return the same for JSON, None for what no sidecar says."""
    described, rows = [], [["latents", "dims", "frames", "seconds", "Hz", "model"]]
    for file in files:
        (dims, frames), sidecar = file.latents.shape, file.sidecar or Sidecar()
        rate = sidecar.sample_rate / sidecar.compression if sidecar.sample_rate and sidecar.compression else None
        facts = {"dims": dims, "frames": frames, "seconds": rate and frames / rate, "frame_rate": rate}
        described.append({"path": str(file.path), **facts, "model": sidecar.model})
        known = ["?", "?"] if rate is None else [f"{frames / rate:.1f}", f"{rate:.3f}"]
        rows.append([printable(file.path), str(dims), str(frames), *known, printable(sidecar.model or "?")])
    log.info("%s\n", table(rows))
    statistics = measure([file.latents for file in files])
    log.info("%s", statistics_report(statistics))
    names = {"lag_1": statistics.autocorrelation, "std": statistics.std, "mean": statistics.mean}
    return {"files": described, **{name: values.tolist() for name, values in names.items()}}


def ask_about_tensors(worker: Worker) -> int:
    """List the state_dict on stdout, then answer questions about its tensors; returns how many had no answer."""
    rows = dict(worker.answer("tensor_rows"))
    return run_prompt(rows, lambda key: str(worker.answer("tensor_text", key)))


def ask_about_attributes(worker: Worker, yes: bool) -> int:
    """List the attributes on stdout, then answer questions about them; returns how many had no answer.

    Code of the model runs only after a typed yes, or, without a terminal, by `yes`.
    """
    found = {attribute.name: attribute for attribute in worker.answer("attributes")}
    rows = {name: f"{attribute.kind} {attribute.what}" for name, attribute in found.items()}
    return run_prompt(rows, lambda name: _attribute_text(worker, found[name], yes))


def _attribute_text(worker: Worker, attribute: model_facts.Attribute, yes: bool) -> str:
    name, kind, what, needed = attribute
    if kind == "data":
        return str(worker.answer("data_text", name))
    text = f"{printable(name)}: {kind}\n  {printable(what)}"
    if needed:
        return f"{text}\n  needs {count_text(needed, 'argument')}: not called"
    if not yes:
        if not _is_terminal():
            return f"{text}\n  not called: --yes allows it"
        print(text, flush=True)
        if next(_typed("  run it? yes/no "), "").lower() != "yes":
            return "  not called"
    result = str(worker.answer("result_text", name, kind))
    return f"{text}\n{result}" if yes else result


def run_prompt(rows: Mapping[str, str], answer: Callable[[str], str]) -> int:
    """List names with what they are, then answer names and glob patterns, until `exit` or the end of the input.

    Returns how many questions that came through a pipe had no answer, so that scripts can notice.
    """
    print(table([(printable(name), printable(text)) for name, text in rows.items()]), flush=True)
    names = [*rows]
    if _is_terminal():
        _complete([*names, "exit"])
    unanswered = 0
    for line in filter(None, _typed("> ")):
        if line == "exit":
            break
        found = matches(line, names)
        if not found:
            unanswered += 1
            print(f"{printable(line)} is not here{did_you_mean(line, names)}", file=sys.stderr, flush=True)
        for name in found:
            try:
                print(answer(name), flush=True)
            except UnravelError as error:
                unanswered += 1
                print(written(error), file=sys.stderr, flush=True)
    return 0 if _is_terminal() else unanswered


def matches(line: str, names: Sequence[str]) -> list[str]:
    """Return the name itself, else all names that fit the glob pattern."""
    return [line] if line in names else fnmatch.filter(names, line)


def _typed(prompt: str) -> Iterator[str]:
    """Yield the lines of stdin, on a terminal behind a prompt."""
    try:
        while sys.stdin is not None:
            yield input(prompt if _is_terminal() else "").strip()
    except EOFError:
        print(end="\n" if _is_terminal() else "", flush=True)


def _complete(words: Sequence[str]) -> None:
    """Let the terminal edit lines, and complete words by the tabulator key."""
    with suppress(ImportError):  # Windows
        import readline

        readline.set_completer_delims(" \t\n")  # keys contain dots and dashes
        readline.set_completer(lambda text, n: [*(word for word in words if word.startswith(text)), None][n])
        libedit = "libedit" in (readline.__doc__ or "")  # macOS
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
