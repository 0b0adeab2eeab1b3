"""The way from recordings to a result, as sidecars tell it: encoded, generated, decoded, with the facts of each step.

No path that a sidecar names is searched for, and none is opened but the sidecars of encodings. What is not where it was
is gone.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from unravel_lib.errors import UnravelError
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, SoundSidecar, read_sidecar
from unravel_lib.history import commands
from unravel_lib.text import count_text, frames_text, printable

MAX_ENCODINGS = 16  # whose own steps are told; more are counted
MAX_FILES = 4096  # of a folder that are looked at

Facts = list[tuple[str, str]]  # names and values


@dataclass(frozen=True)
class Step:
    """What one script made: the file, and what its sidecar says."""

    path: Path
    sidecar: Sidecar
    n_sources: int = 0  # of generated latents: files that are there now

    @property
    def script(self) -> str:
        """The name of the script."""
        return f"{self.sidecar.kind}.py"

    @property
    def _placed(self) -> Sidecar:
        """The sidecar, with the run's folder in the command, whose name may be the time of the run."""
        words = self.sidecar.command
        if not words or not self.sidecar.is_generated or commands.values(words, "run"):
            return self.sidecar
        return replace(self.sidecar, command=(*words, f"--run={self.path.parent.name}"))

    @property
    def command(self) -> str:
        """The line for a shell in any folder that does it again; "" if there is none to show."""
        return commands.shell_line(self._placed)

    @property
    def facts(self) -> Facts:
        """What the sidecar says."""
        own, code = self.sidecar, commands.own_code(self.sidecar.command)
        told = _decoded(own) if isinstance(own, SoundSidecar) else _encoded(own)
        told = _generated(own, self.n_sources) if isinstance(own, GeneratedSidecar) else told
        told += [("runs code of", ", ".join(code)), ("command", commands.refusal(self._placed))]
        return [(name, printable(text)) for name, text in told if text]


def steps(path: Path, sidecar: Sidecar | None) -> list[Step]:
    """Return how a file with this sidecar was made, in order; nothing where there is no sidecar of a result."""
    if isinstance(sidecar, SoundSidecar):
        return [*steps(Path(sidecar.source or ""), sidecar.latents), Step(path, sidecar)]
    if isinstance(sidecar, GeneratedSidecar):
        files = list(islice(_latents_in(commands.values(sidecar.command, "input")), MAX_FILES))
        known = {file: _sidecar_of(file) for file in files} if len(files) <= MAX_ENCODINGS else {}
        before = [Step(file, facts) for file, facts in known.items() if isinstance(facts, EncodingSidecar)]
        return [*before, Step(path, sidecar, len(files))]
    return [Step(path, sidecar)] if isinstance(sidecar, EncodingSidecar) else []


def _latents_in(places: Sequence[str]) -> Iterator[Path]:
    """Yield the `.npy` that are named or in folders that are named, but not in folders within these."""
    for place in map(Path, islice(places, MAX_FILES)):
        with contextlib.suppress(OSError, ValueError):
            paths = sorted(islice(place.iterdir(), MAX_FILES)) if place.is_dir() else [place]
            yield from (path for path in paths if path.suffix == ".npy")


def _sidecar_of(path: Path) -> Sidecar | None:
    with contextlib.suppress(UnravelError):
        return read_sidecar(path)
    return None


def is_there(path: str | None) -> bool:
    """Whether a file that a sidecar names is where it was."""
    with contextlib.suppress(OSError, ValueError):
        return path is not None and Path(path).is_absolute() and Path(path).is_file()
    return False


def _place(path: str | None) -> str:
    return f"{path or ''}{'' if is_there(path) else ' (gone)'}"


def _encoded(own: Sidecar) -> Facts:
    return [("encoded by", own.model or ""), ("encoder's seed", str(own.seed)), ("recording", _place(own.source))]


def _generated(own: GeneratedSidecar, n_sources: int) -> Facts:
    robust = ", robust statistics" if own.iqr and own.distribution else ""
    loops = [Path(text).name for text in commands.values(own.command, "input_loop")]
    given = f", from {' and '.join(loops)}" if loops else ""
    source = f"{own.source}: {count_text(n_sources, 'file')}" if n_sources else _place(own.source)
    return [
        ("distribution", _with_options(own.distribution, own.distribution_args) + robust),
        ("pattern", _with_options(own.pattern, own.pattern_args)),
        ("transforms", transforms(own)),
        ("loop", f"{frames_text(own.num_latents)}{given}, {own.num_loops} loops" if own.num_latents else ""),
        ("seed", str(own.seed)),
        ("file", "" if own.file_index is None else str(own.file_index)),
        ("made from", source),
    ]


def transforms(own: GeneratedSidecar) -> str:
    """Return the transforms of the loops, each in quotes."""
    return " ".join(f'"{step}"' for step in own.transform)


def _decoded(own: SoundSidecar) -> Facts:
    return [
        ("decoded by", own.model or ""),
        ("decoder's seed", str(own.seed)),
        ("normalised", "" if own.normalize is None else f"{own.normalize:g} LUFS, gain {own.gain_db} dB"),
        ("conditions", ", ".join(f"{name}={value:g}" for name, value in own.conditions.items())),
        ("faded", f"{own.fade_ms:g} ms" if own.fade_ms else ""),
        ("latents", _place(own.source)),
    ]


def _with_options(name: str | None, given: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in given.items())
    return f"{name or ''}{f' ({options})' if options else ''}"
