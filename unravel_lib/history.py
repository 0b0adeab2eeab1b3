"""How a file was made, by its sidecar and the command that it holds: encoded, generated, decoded.

A recorded command may be a stranger's: it is data. Only flags of our scripts that shape the content are known here. No
path that a sidecar names is opened but the sidecars of encodings and loops. What is not where it was is gone.
"""

import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import unravel_lib
from unravel_lib.errors import UnravelError
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, SoundSidecar, read_sidecar
from unravel_lib.text import count_text, frames_text, printable

OWN_CODE = ("distribution", "pattern", "transform")  # options that may run a Python file of the user's
PLACE = ("output", "run", "base")  # options that say where results go, under which names
_CODEC = ("input", "model", "device", "sample_rate", "seed", "compensate_delay", "precision", "jobs")
SHAPING = {  # options of each script that shape the content; no other is recorded, taken over, or shown
    "encoder": _CODEC,
    "decoder": (*_CODEC, "condition", "subtype", "normalize", "max_gain", "loop", "fade"),
    "generator": (
        *("input", "statistics", "iqr", "sample_rate", "compression", "distribution", "distribution_args", "pattern"),
        *("pattern_args", "transform", "num_latents", "bpm", "seconds", "beats", "num_loops", "first", "seed"),
        *("input_loop", "embeddings", "wav_subtype", "hold", "steer", "target", "only", "weight"),
    ),
}
MAX_ENCODINGS = 16  # whose own steps are told; more are counted
MAX_STEPS = 64  # files that are told at most
MAX_FILES = 4096  # of a folder that are looked at

Facts = list[tuple[str, str]]  # names and values


def script(name: str) -> str:
    """Return what runs one of our scripts: the path of the file beside this library, else its installed name."""
    path = Path(unravel_lib.__file__).resolve().parent.parent / f"{name}.py"
    return str(path) if path.is_file() else f"unravel-{name}"


def option(word: str) -> str | None:
    """Return the option that a word of a command names, "seed" of "--seed" and "--seed=7"; None of a value."""
    if not word.startswith("-") or re.fullmatch(r"-\d+|-\d*\.\d+", word):  # as argparse tells numbers from flags
        return None
    return word.partition("=")[0].removeprefix("--")


def grouped(words: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """Split a command at its options, each with its name: ("seed", ["--seed", "7"]), ("run", ["--run=x"])."""
    names = {place: name for place, word in enumerate(words) if (name := option(word)) is not None}
    return [(names[start], words[start:end]) for start, end in itertools.pairwise([*names, len(words)])]


def shaping(script: str, words: Sequence[str]) -> list[str]:
    """Return the part of a command that shapes the content."""
    return [word for name, own in grouped(words) if name in SHAPING[script] for word in own]


def values(words: Sequence[str], name: str) -> list[str]:
    """Return the values that a command gives an option."""
    found = [(own[0].partition("=")[2], *own[1:]) for given, own in grouped(words) if given == name]
    return [value for own in found for value in own if value]


def refusal(sidecar: Sidecar) -> str:
    """Return why the command of a file is not shown: it could do something else than make the file; "" if it is."""
    known = (*SHAPING.get(sidecar.kind, ()), *PLACE)
    strange = [own[0] for name, own in grouped(sidecar.command) if name not in known]
    if not sidecar.script or not sidecar.command:
        return "not recorded"
    if sidecar.script not in (script(sidecar.kind), f"unravel-{sidecar.kind}"):
        return f"not shown, as its script is none of this UnRAVEl: {printable(sidecar.script)}"
    if strange:
        return f"not shown, as it has a flag that makes no such file: {printable(strange[0])}"
    return "" if all(map(str.isprintable, sidecar.command)) else "not shown, as it has characters that do not print"


def shell_line(sidecar: Sidecar) -> str:
    """Return the command that makes a file again, for a shell in any folder; "" where there is a `refusal`."""
    return "" if refusal(sidecar) else _line(str(sidecar.script), sidecar.command)


def again_line(sound: Path) -> str:
    """Return the command for another version of a sound, to which flags are added; "" where its name does not print."""
    words = ["--again", os.path.abspath(sound), "--decode", "--page"]
    return _line(script("generator"), words) if str(sound).isprintable() else ""


def _line(path: str, words: Sequence[str]) -> str:
    return shlex.join([*(["python"] if path.endswith(".py") else []), path, *words])


def own_code(words: Sequence[str], besides: Container[str] = ()) -> list[str]:
    """Return what a command takes from files of Python code, but for the options `besides`: ["/x/mine.py:gaps"]."""
    texts = (text for name in OWN_CODE if name not in besides for text in values(words, name))
    return [text for text in texts if ".py" in re.sub(r"['\"\\]", "", text)]  # a step may quote any part of a name


@dataclass(frozen=True)
class Step:
    """What one script made.

    Attributes
    ----------
    path : Path
        The file.
    script : str
        The name of the script.
    facts : list of names and values
        What the sidecar says.
    command : str
        The line for a shell in any folder that does it again; "" if there is none to show.
    """

    path: Path
    script: str
    facts: Facts
    command: str


def steps(path: Path, sidecar: Sidecar | None) -> list[Step]:
    """Return how a file with this sidecar was made, in order; nothing where there is no sidecar of a result."""
    told: dict[Path, Step] = {}
    _tell(path, sidecar, told, {path})
    return list(told.values())


def _tell(path: Path, sidecar: Sidecar | None, told: dict[Path, Step], seen: set[Path]) -> None:
    """Add the steps that lead to a file, each once; sidecars may be a stranger's, and name each other."""
    n_sources = 0
    if isinstance(sidecar, SoundSidecar):
        _tell(Path(sidecar.source or ""), sidecar.latents, told, seen)
    elif isinstance(sidecar, GeneratedSidecar):
        encodings = list(itertools.islice(_latents_in(values(sidecar.command, "input")), MAX_FILES))
        loops = [*map(_file_of_loop, values(sidecar.command, "input_loop"))]
        files = [file for file in dict.fromkeys([*encodings, *loops]) if is_there(os.fspath(file))]
        n_sources = len(files)
        for file in files if n_sources <= MAX_ENCODINGS else ():
            if file in seen or len(seen) >= MAX_STEPS:
                continue
            seen.add(file)
            with contextlib.suppress(UnravelError):  # of a damaged sidecar
                facts = read_sidecar(file)
                if isinstance(facts, EncodingSidecar) or (file in loops and isinstance(facts, GeneratedSidecar)):
                    _tell(file, facts, told, seen)
    elif not isinstance(sidecar, EncodingSidecar):
        return
    told[path] = _step(path, sidecar, n_sources)


def _step(path: Path, own: Sidecar, n_sources: int) -> Step:
    """Return what a sidecar says; `n_sources` files that generated latents were made from are there now."""
    if own.is_generated and own.command and not values(own.command, "run"):  # the folder's name was the time of the run
        own = replace(own, command=(*own.command, f"--run={path.parent.name}"))
    facts = [*_told(own, n_sources), ("runs code of", ", ".join(own_code(own.command))), ("command", refusal(own))]
    shown = [(name, printable(text)) for name, text in facts if text]
    return Step(path, f"{own.kind}.py", shown, shell_line(own))


def _file_of_loop(text: str) -> Path:
    """Return the file of FILE or FILE:A:B."""
    return Path(text) if is_there(text) else Path(re.sub(r":[\d.]*s?:[\d.]*s?$", "", text))


def _latents_in(places: Sequence[str]) -> Iterator[Path]:
    """Yield the `.npy` that are named or in folders that are named, but not in folders within these."""
    for place in map(Path, itertools.islice(places, MAX_FILES)):
        with contextlib.suppress(OSError, ValueError):
            paths = sorted(itertools.islice(place.iterdir(), MAX_FILES)) if place.is_dir() else [place]
            yield from (path for path in paths if path.suffix == ".npy")


def is_there(path: str | None) -> bool:
    """Whether a file that a sidecar names is where it was."""
    with contextlib.suppress(OSError, ValueError):
        return path is not None and Path(path).is_absolute() and Path(path).is_file()
    return False


def _place(path: str | None) -> str:
    return f"{path}{'' if is_there(path) else ' (gone)'}" if path else ""


def _told(own: Sidecar, n_sources: int) -> Facts:
    """Return what a sidecar says, with empty texts for what it does not."""
    if isinstance(own, SoundSidecar):
        return [
            ("decoded by", own.model or ""),
            ("decoder's seed", str(own.seed)),
            ("normalised", "" if own.normalize is None else f"{own.normalize:g} LUFS, gain {own.gain_db} dB"),
            ("conditions", ", ".join(f"{name}={value:g}" for name, value in own.conditions.items())),
            ("faded", f"{own.fade_ms:g} ms" if own.fade_ms else ""),
            ("latents", _place(own.source)),
        ]
    if not isinstance(own, GeneratedSidecar):
        return [("encoded by", own.model or ""), ("encoder's seed", str(own.seed)), ("recording", _place(own.source))]
    robust = ", robust statistics" if own.iqr and own.distribution else ""
    loops = " and ".join(Path(text).name for text in dict.fromkeys(values(own.command, "input_loop")))
    given = f", from {loops}" if loops else ""
    return [
        ("distribution", _with_options(own.distribution, own.distribution_args) + robust),
        ("pattern", _with_options(own.pattern, own.pattern_args)),
        ("transforms", transforms(own)),
        ("loop", f"{frames_text(own.num_latents)}{given}, {own.num_loops} loops" if own.num_latents else ""),
        ("seed", str(own.seed)),
        ("file", "" if own.file_index is None else str(own.file_index)),
        ("made from", f"{own.source}: {count_text(n_sources, 'file')}" if n_sources else _place(own.source)),
    ]


def transforms(own: GeneratedSidecar) -> str:
    """Return the transforms of the loops, each in quotes."""
    return " ".join(f'"{step}"' for step in own.transform)


def _with_options(name: str | None, given: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in given.items())
    return f"{name or ''}{f' ({options})' if options else ''}"
