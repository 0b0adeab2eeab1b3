"""Where a sound came from, by the sidecars: sound <- latents <- statistics <- encodings <- recordings.

What a sidecar names is believed only if it still has the hash that the sidecar states; encodings have none there. Files
that were moved together with the sound are found.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unravel_lib.audio.write import SUBTYPES
from unravel_lib.errors import UnravelError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import Sidecar, SoundSidecar, read_sidecar
from unravel_lib.latents import Latents
from unravel_lib.latents.files import read_latents
from unravel_lib.latents.npy import content_key
from unravel_lib.statistics.tables import STATISTICS_CSV

MAX_NUMBER = 1e15  # no option is beyond

Models = Mapping[str, Path | None]  # path of a model file by its SHA-256; None: the bundled one, which needs no flag


def decoded_sound(path: Path) -> Sidecar | None:
    """Return the sidecar of a decoded sound; None for any other file."""
    facts = _sidecar_of(path) if path.is_file() else None
    return facts if isinstance(facts, SoundSidecar) and facts.source and facts.subtype in SUBTYPES else None


class LatentsByHash:
    """Latents files by the hash of their values; none is read before one is looked for."""

    def __init__(self, paths: Iterable[Path] = (), compression: int | None = None) -> None:
        self._paths, self._compression = list(paths), compression

    def find(self, sha256: str | None) -> Path | None:
        """Return the path of the file whose values have this hash."""
        return self._by_hash.get(sha256 or "")

    @cached_property
    def _by_hash(self) -> dict[str, Path]:
        keys = {path: _latents_key(path, self._compression) for path in self._paths}
        return {key: path for path, key in keys.items() if key is not None}


@dataclass(frozen=True)
class Origin:
    """The files behind a sound, as far as they are still there and unchanged, or were moved together with it.

    Attributes
    ----------
    sound : the path of the sound; None where only the latents are asked about
    facts : its sidecar; of latents, one with their path as `source` and their hash
    models : the model files that this run knows
    inputs : latents that this run knows
    """

    sound: Path | None
    facts: Sidecar
    models: Models
    inputs: LatentsByHash = field(default_factory=LatentsByHash)

    @cached_property
    def latents(self) -> Latents | None:
        """The latents that were decoded, [dims, frames]; None if they are gone or others now."""
        with contextlib.suppress(UnravelError, OSError):
            return None if self._found is None else read_latents(self._found, self.facts.compression)
        return None

    @cached_property
    def latents_path(self) -> Path:
        """Where the latents are, or were."""
        return self._found or Path(self.facts.source or "")

    @cached_property
    def _found(self) -> Path | None:
        key, compression = self.facts.source_sha256, self.facts.compression
        for path in moved(Path(self.facts.source or ""), self._place):
            if key is not None and _latents_key(path, compression) == key:
                return path
        return self.inputs.find(key)

    @property
    def _place(self) -> Path:
        return self.sound or Path(self.facts.source or "")

    @cached_property
    def latents_facts(self) -> Sidecar:
        """The sidecar of the latents; if they are gone or others now, what the sound's own keeps of it."""
        found = None if self.latents is None else _sidecar_of(self.latents_path)
        return found or getattr(self.facts, "latents", None) or Sidecar()

    @property
    def is_generated(self) -> bool:
        """Whether generator.py made the latents."""
        return self.latents_facts.is_generated

    @cached_property
    def recording(self) -> Path | None:
        """The recording that was encoded and decoded; None where there is none, or it changed."""
        facts = self.latents_facts
        if self.is_generated or facts.source is None:
            return None
        paths = moved(Path(facts.source), self._place)
        return next((path for path in paths if _unchanged(path, facts.source_sha256)), None)

    @cached_property
    def statistics(self) -> Path | None:
        """The statistics that the latents were drawn from: the table beside them."""
        if not self.is_generated:
            return None
        return _unchanged(self.latents_path.with_name(STATISTICS_CSV), self.option("statistics_sha256"))

    @cached_property
    def encodings(self) -> dict[Path, Sidecar]:
        """The encodings in the folders that were measured, with their sidecars; as they are there now.

        Empty where such a folder has folders in it: what a sidecar names is not searched recursively.
        """
        if not self.is_generated:
            return {}
        found: dict[Path, Sidecar] = {}
        with contextlib.suppress(OSError):
            for named in map(self.here, self._inputs()):
                paths = sorted(named.iterdir()) if named.is_dir() else [named]
                if any(path.is_dir() for path in paths):
                    return {}
                sidecars = {path: _sidecar_of(path) for path in paths if path.suffix == ".npy"}
                found |= {p: f for p, f in sidecars.items() if f is not None and not f.is_generated}
        return found

    def here(self, path: Path) -> Path:
        """Return a path that is gone as it is now, if the latents were moved and it was moved with them."""
        before, now = Path(self.facts.source or "").parts, self.latents_path.parts
        while before and now and before[-1] == now[-1]:
            before, now = before[:-1], now[:-1]
        if os.path.exists(path) or not before or path.parts[: len(before)] != before:
            return path
        return Path(*now, *path.parts[len(before) :])

    def _inputs(self) -> list[Path]:
        """Return what the generator's `input` named: by its command line, else what the sidecar says, if it is one."""
        typed = self.typed
        if "--input" not in typed:
            return [Path(self.latents_facts.source or "")]
        rest = typed[typed.index("--input") + 1 :]
        return [Path(word) for word in itertools.takewhile(lambda word: not word.startswith("--"), rest)]

    @property
    def typed(self) -> list[str]:
        """Return the flags in the sidecar that make the latents again; none in those of version 1.0."""
        typed = self.option("command")
        return list(typed or ())

    @property
    def conditions(self) -> dict[str, float]:
        """What a conditioned model decoded beside the latents: values by name."""
        given = getattr(self.facts, "conditions", None)
        named = given.items() if isinstance(given, dict) else ()
        return {name: value for name, text in named if (value := number(text)) is not None}

    def option(self, name: str) -> Any:
        """Return an option of the generator; None where it is unknown."""
        return getattr(self.latents_facts, name, None)


def number(value: object) -> float | None:
    """Return a value of a sidecar if it is a finite number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
    return value if is_number else None  # type: ignore[return-value]  # mypy does not see through the name


def moved(path: Path, place: Path) -> Iterator[Path]:
    """Yield the path, and where the file is if it was moved together with what is at `place`: the same way from above.

    Only files that are there, the nearest first.
    """
    if _is_file(path):
        yield path
    parts = [part for part in path.parts if part not in (path.anchor, os.pardir)]
    for folder in Path(os.path.abspath(place)).parents:
        for start in range(len(parts)):
            if _is_file(candidate := folder.joinpath(*parts[start:])):
                yield candidate


def near(path: Path) -> str:
    """Return a path as seen from the current folder, if it is below it; else as it is."""
    absolute = os.path.abspath(path) if os.path.exists(path) else str(path)
    relative = os.path.relpath(absolute) if Path(absolute).is_absolute() else absolute
    shown = absolute if Path(relative).parts[:1] == (os.pardir,) else relative
    return os.path.join(os.curdir, shown) if shown.startswith("-") else shown  # else it would be a flag


def _sidecar_of(path: Path) -> Sidecar | None:
    with contextlib.suppress(UnravelError):
        return read_sidecar(path)
    return None


def _is_file(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a name that is too long
        return path.is_file()
    return False


def _latents_key(path: Path, compression: int | None) -> str | None:
    with contextlib.suppress(UnravelError, OSError):
        if path.is_file():  # a pipe would never end
            return content_key(read_latents(path, compression))
    return None


def _unchanged(path: Path, sha256: object) -> Path | None:
    """Return the path if the file is there and has this hash."""
    with contextlib.suppress(UnravelError, OSError):
        if path.is_file() and sha256_of(path) == sha256:
            return path
    return None
