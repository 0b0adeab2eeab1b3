"""The commands that make a sound or latents again: encoder.py, generator.py, decoder.py.

They name files as seen from the current folder. Encodings and sounds get their names again, generated latents a new
folder: nothing is replaced by something else.
"""

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unravel_lib.audio.read import EXTENSIONS as SOUND
from unravel_lib.errors import UnravelError
from unravel_lib.files.find import Source, find_files
from unravel_lib.files.naming import result_name, result_names
from unravel_lib.files.sidecar import DEFAULT_FADE_MS, DEFAULT_SEED, DEFAULT_SUBTYPE, Sidecar
from unravel_lib.latents.files import EXTENSIONS as LATENTS
from unravel_lib.latents.files import is_latents
from unravel_lib.page.provenance import Origin, near, number

USUAL_SEED, USUAL_FADE, USUAL_SUBTYPE = DEFAULT_SEED, DEFAULT_FADE_MS, DEFAULT_SUBTYPE


def commands(origin: Origin) -> dict[str, str]:
    """Return the command lines that make it again, in order, by script; the first lacks if its input is unknown."""
    steps = [_encode(origin), _generate(origin) if origin.is_generated else []]
    steps += [_decode(origin, origin.sound)] if origin.sound is not None else []
    return {step[0]: shlex.join(["python", *step]) for step in steps if step}


def needed(origin: Origin) -> str:
    """Name the encodings that must be kept, as no command makes them again under their names; "" if there are none."""
    encodings = _encodings(origin)
    if not encodings or _encode(origin):
        return ""
    places = dict.fromkeys(near(path.parent if len(encodings) > 1 else path) for path in encodings)
    return f"{', '.join(places)}: no command here makes that again"


def _encodings(origin: Origin) -> dict[Path, Sidecar]:
    """Return the encodings, whose recordings are known, with their sidecars."""
    if origin.recording is not None:
        return {origin.latents_path: replace(origin.latents_facts, source=str(origin.recording))}
    return {path: facts for path, facts in origin.encodings.items() if facts.source}


def _encode(origin: Origin) -> list[str]:
    encodings = _encodings(origin)
    folders = {path.parent for path in encodings}
    flags = {tuple(_model_flags(origin, facts)) for facts in encodings.values()}
    if len(folders) != 1 or len(flags) != 1:
        return []
    names = {origin.here(Path(facts.source or "")): path.name for path, facts in encodings.items()}
    inputs = encoder_inputs(names, *folders)
    return ["encoder.py", "--input", *map(near, inputs), "--output", near(*folders), *flags.pop()] if inputs else []


def encoder_inputs(names: Mapping[Path, str], output: Path) -> list[Path]:
    """Return what encoder.py must be given so that it makes these encodings under their names, and no other ones.

    Parameters
    ----------
    names : the name of its encoding by the path of each recording
    output : the folder with the encodings

    Returns
    -------
    a folder, or the recordings one by one; nothing where neither gives those names
    """
    recordings = list(names)
    by_name = [Source(path, path.name) for path in recordings]
    if len(recordings) == 1 and _fit(by_name, names):
        return recordings
    common = Path(os.path.commonpath([os.path.abspath(path.parent) for path in recordings]))
    for folder in (common, *common.parents):
        below = [Source(path, Path(os.path.abspath(path)).relative_to(folder).as_posix()) for path in recordings]
        if _fit(below, names):
            if _holds_only(folder, below, output):
                return [folder]
            break
    return recordings if _fit(by_name, names) else []


def _fit(sources: Sequence[Source], names: Mapping[Path, str]) -> bool:
    with contextlib.suppress(UnravelError):  # two with the same name
        return result_names(sources, "encoded", ".npy") == names
    return False


def _holds_only(folder: Path, recordings: Sequence[Source], output: Path) -> bool:
    """Return whether encoder.py finds in a folder the recordings, and beside them only what is encoded already."""
    wanted = result_names(recordings, "encoded", ".npy")
    expected = {source.relative: wanted[source.path] for source in recordings}
    with contextlib.suppress(UnravelError, OSError):
        found = find_files([folder], SOUND, output)
        names = result_names(found, "encoded", ".npy")
        others = [source for source in found if source.relative not in expected]
        same = {s.relative: names[s.path] for s in found if s.relative in expected} == expected
        return same and all((output / names[source.path]).is_file() for source in others)
    return False


def _generate(origin: Origin) -> list[str]:
    facts, options = origin.latents_facts, vars(origin.latents_facts)
    place = _new_run(origin)
    run_flags = ["--output", near(place.parent), "--run", place.name]
    if origin.typed:
        return ["generator.py", *origin.typed, *run_flags]
    from_table = str(facts.source).endswith(".csv")
    command = ["generator.py", "--statistics" if from_table else "--input", facts.source or "ENCODINGS"]
    command += ["--iqr"] if options.get("iqr") else []
    for name in ("distribution", "pattern"):
        command += [f"--{name}", str(options.get(name))]
        given = options.get(f"{name}_args") or {}
        command += [f"--{name}_args", *(f"{key}={_value(value)}" for key, value in given.items())] if given else []
    for name in ("num_latents", "num_loops"):
        command += [f"--{name}", str(options.get(name))]
    index = options.get("file_index")
    command += ["--num_files", str(index + 1)] if isinstance(index, int) and index else []
    command += ["--seed", str(facts.seed)]
    command += ["--hold"] if options.get("hold") else []
    if options.get("wav_subtype"):
        command += ["--wav_subtype", str(options["wav_subtype"])]
    else:
        command += ["--embeddings"]
    return [*command, *run_flags]


def _new_run(origin: Origin) -> Path:
    """Return a folder that is not there, for one piece: that of its run, if that is gone and the piece was the first.

    Each piece of a run has a folder of its own, as its command makes it alone.
    """
    folder, index = Path(os.path.abspath(origin.latents_path)).parent, origin.option("file_index")
    if isinstance(index, int) and index:
        folder = folder.with_name(f"{folder.name}_{index:04d}")
    while os.path.lexists(folder):
        folder = folder.with_name(f"{folder.name}_again")
    return folder


def _decode(origin: Origin, sound: Path) -> list[str]:
    options = vars(origin.facts)
    latents = _new_run(origin) / origin.latents_path.name if origin.is_generated else _decoder_input(origin, sound)
    command = ["decoder.py", "--input", near(latents), "--output", near(sound.parent)]
    command += _model_flags(origin, origin.facts)
    command += ["--subtype", str(options["subtype"])] if options.get("subtype") != USUAL_SUBTYPE else []
    command += ["--normalize", exact(loudness)] if (loudness := number(options.get("normalize"))) is not None else []
    fade, conditions = number(options.get("fade_ms")) or 0, origin.conditions
    command += ["--condition", *(f"{name}={exact(value)}" for name, value in conditions.items())] if conditions else []
    command += ["--fade", exact(fade)] if fade != (USUAL_FADE if origin.is_generated else 0) else []
    return command


def _decoder_input(origin: Origin, sound: Path) -> Path:
    """Return what decoder.py must be given for a sound of that name: the latents, or a folder that holds only these."""
    latents = Path(os.path.abspath(origin.latents_path))
    for folder in latents.parents:
        source = Source(latents, latents.relative_to(folder).as_posix())
        if result_name(source, "decoded", ".wav") == sound.name:
            with contextlib.suppress(UnravelError, OSError):
                found = find_files([folder], LATENTS, sound.parent) if folder != latents.parent else []
                if [one.path for one in found if is_latents(one.path)] == [latents]:
                    return folder
            break
    return origin.latents_path


def _model_flags(origin: Origin, facts: Sidecar) -> list[str]:
    model = origin.models.get(facts.model_sha256 or "", Path(facts.model) if facts.model else None)
    flags = ["--model", near(model)] if model is not None else []
    flags += ["--seed", str(facts.seed)] if facts.seed not in (None, USUAL_SEED) else []
    return flags + (["--compensate_delay"] if getattr(facts, "compensate_delay", False) else [])


def exact(value: float) -> str:
    """Write a number so that it is read as the same one."""
    return repr(value).removesuffix(".0")


def _value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
