"""The sidecar: a small JSON beside every result, which states what the file is and how it was made."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unravel_lib import __version__
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock
from unravel_lib.files.checksum import sha256_of
from unravel_lib.text import printable

FORMAT = "unravel-sidecar"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 24  # a sidecar is about 1 KB, more where thousands of inputs are named; over 16 MiB it is not one
MAX_LEVEL = 1e9  # no loudness, peak or gain is beyond
OF_SOUND = ("measured", "latents")  # fields that only decoded sound has
SAME_BYTES_SINCE = "1.0.0"  # the first version whose results have the same bytes as those of this one


@dataclass(frozen=True)
class Sidecar:
    """What is known about one file; None stands for unknown.

    Attributes
    ----------
    sample_rate : float or None
        Of the model that the latents belong to, in Hz.
    compression : int or None
        Of that model, in samples per frame.
    dims, frames : int or None
        The shape of the latents.
    model, model_sha256 : str or None
        Name and hash of the model file.
    source, source_sha256 : str or None
        Path and hash of the input; only the page opens it, and uses it if it has this hash.
    seed : int or None
        Of the random numbers.
    options : mapping
        Every other option that shaped the content.
    weights_sha256 : str or None
        The same for the offline and the streaming export of the same weights (see
        `unravel_lib.models.state.weights_sha256`).
    measured : mapping or None
        Of decoded sound: `loudness` in LUFS (None for silence), `peak` where 1 is full scale, and `gain_db`, the gain
        of `normalize`.
    latents : Sidecar or None
        Of decoded sound: the sidecar of its latents as it was, for when they are gone.
    """

    sample_rate: float | None = None
    compression: int | None = None
    dims: int | None = None
    frames: int | None = None
    model: str | None = None
    model_sha256: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str | None = None
    measured: Mapping[str, float | None] | None = None
    latents: "Sidecar | None" = None

    @property
    def is_generated(self) -> bool:
        """Whether generator.py made the file."""
        return self.options.get("script") == "generator"

    @property
    def seconds(self) -> float:
        """How long the sound of these latents lasts; 0 where that is unknown."""
        return (self.frames or 0) * (self.compression or 0) / (self.sample_rate or 1)


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar: `x.npy` -> `x.json`."""
    return path.with_suffix(".json")


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of the finished file at `path`; it records that file's size and SHA-256."""
    with atomic_write(sidecar_path(path)) as part:
        part.write_text(_as_json(sidecar, path.name, path), encoding="utf-8")


@contextlib.contextmanager
def atomic_write_with_sidecar(
    path: Path, sidecar: Sidecar | Callable[[], Sidecar] | None, overwrite: bool = True
) -> Iterator[Path]:
    """Write a file as `atomic_write` does, and replace it and its sidecar together.

    At no time is an old sidecar beside a new file: one with another text is removed first. Of two runs that write the
    same file at the same time, both files are those of one run. Without a sidecar this is `atomic_write`.

    Parameters
    ----------
    path : Path
        The file to write.
    sidecar : Sidecar, function or None
        What to write beside it; a function is called when the file is written, and returns it.
    overwrite : bool
        If False, refuse what `refuse_replacing` refuses, also if another run wrote it meanwhile.
    """
    if sidecar is None:
        with atomic_write(path) as part:
            yield part
        return
    with (
        contextlib.ExitStack() as lock,
        atomic_write(sidecar_path(path)) as note,
        atomic_write(path) as part,
    ):
        yield part
        facts = sidecar() if callable(sidecar) else sidecar
        text = _as_json(facts, path.name, part)
        note.write_text(text, encoding="utf-8")
        lock.enter_context(folder_lock(path.parent))
        if not overwrite:
            refuse_replacing(path, facts)
        if not _has_text(sidecar_path(path), text):
            sidecar_path(path).unlink(missing_ok=True)


def _has_text(target: Path, text: str) -> bool:
    try:
        return target.stat().st_size == len(text) and target.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def _as_json(sidecar: Sidecar, name: str, content: Path) -> str:
    facts: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "unravel_version": __version__,
        **{key: value for key, value in asdict(sidecar).items() if key not in OF_SOUND or value is not None},
        "file": name,
        "file_bytes": content.stat().st_size,
        "file_sha256": sha256_of(content),
    }
    if sidecar.latents is not None:
        facts["latents"] = {key: value for key, value in facts["latents"].items() if value is not None}
    return json.dumps(facts, indent=1) + "\n"


def read_sidecar(path: Path) -> Sidecar | None:
    """Return the sidecar of `path`, or None if there is none or the JSON beside it is something else.

    Raises
    ------
    InputError
        It is a sidecar of another format version, or a field has a wrong type or an impossible value.
    """
    facts = _read_json(path)
    return None if facts is None else _from_json(facts, path)


def _from_json(facts: Mapping[str, Any], path: Path) -> Sidecar:
    where = printable(sidecar_path(path))
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{where} has format version {facts.get('format_version')!r:.40}, this UnRAVEl reads {FORMAT_VERSION}: "
            "move it away and give its facts by flags"
        )
    values = _values(facts)
    for name in OF_SOUND:
        values[name] = facts.get(name)
    for name, value in values.items():
        if not _valid(name, value):
            raise InputError(f"{where} says {name} = {value!r:.60}: correct or remove this sidecar")
    if values["latents"] is not None:
        values["latents"] = Sidecar(**_values(values["latents"]))
    return Sidecar(**values)


def _values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that every file has."""
    values = {name: facts.get(name) for name in Sidecar.__dataclass_fields__ if name not in OF_SOUND}
    return values | {"options": {} if values["options"] is None else values["options"]}


def is_complete(path: Path, expected: Sidecar) -> bool:
    """Return whether `path` is finished and has, by its sidecar and SHA-256, the content that `expected` describes.

    Fields that are None in `expected` are not compared: `measured` and `latents`, which an earlier result may lack, are
    set only when a result is written. Nor is `source`, since a file may be named in many ways, nor what older sidecars
    lack and other fields imply: `weights_sha256` (by `model_sha256`) and the option `sample_rate` (by the field).
    """
    facts = _read_json(path)
    if facts is None or not _same_bytes(facts.get("unravel_version")) or not path.is_file():
        return False
    try:
        found = _from_json(facts, path)
    except InputError:
        return False
    want, have = asdict(expected), asdict(found)
    want = json.loads(json.dumps(want))  # tuples become lists, as on disk
    for facts_of in (want, have):
        facts_of["options"].pop("sample_rate", None)
    left_out = ("source", "weights_sha256")
    same = all(have[name] == value for name, value in want.items() if value is not None and name not in left_out)
    return same and path.stat().st_size == facts.get("file_bytes") and sha256_of(path) == facts.get("file_sha256")


def _same_bytes(version: object) -> bool:
    """Return whether results of that version have the same bytes as those of this one."""
    try:
        first, found, ours = (
            tuple(map(int, text.split("."))) for text in (SAME_BYTES_SINCE, str(version), __version__)
        )
    except ValueError:
        return False
    return first <= found <= ours


def refuse_replacing(target: Path, facts: Sidecar) -> None:
    """Raise if `target` exists and was made with another model, or from another input, than `facts` names.

    An input is the same if it has the same content or, if it was changed since, the same path. A target without a
    sidecar is not refused: a run leaves it that was killed between writing the two.

    Raises
    ------
    OutputError
        It is the result of another model or input.
    InputError
        Its sidecar is damaged or of a later version.
    """
    found = read_sidecar(target) if os.path.lexists(target) else None
    if found is None:
        return
    if found.model_sha256 not in (None, facts.model_sha256):
        ours, theirs = printable(facts.model or "this model"), printable(found.model or "another model")
        other = f"another {theirs}, not with this one" if ours == theirs else f"{theirs}, not with {ours}"
        raise OutputError(f"{printable(target)} was made with {other}: choose another `output`, or add `overwrite`")
    same_path = (
        found.source is not None
        and facts.source is not None
        and os.path.abspath(found.source) == os.path.abspath(facts.source)
    )
    if found.source_sha256 not in (None, facts.source_sha256) and not same_path:
        raise OutputError(
            f"{printable(target)} was made from {printable(found.source or 'another file')}, not from "
            f"{printable(facts.source or 'this one')}: choose another `output`, or add `overwrite`"
        )


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object beside `path` if it is marked as a sidecar, else None."""
    target = sidecar_path(path)
    try:
        if not target.is_file() or target.stat().st_size > MAX_BYTES:
            return None
        facts = json.loads(target.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _valid(name: str, value: object) -> bool:
    if name == "options":
        return isinstance(value, dict)
    if value is None:
        return True
    if name == "latents":
        return isinstance(value, dict) and all(_valid(*field) for field in _values(value).items())
    if name == "measured":
        return isinstance(value, dict) and all(map(_valid_level, value.items()))
    if isinstance(value, bool):
        return False
    if name in ("compression", "dims", "frames"):
        return isinstance(value, int) and 0 < value < 2**53
    if name == "seed":
        return isinstance(value, int) and value >= 0
    if name == "sample_rate":
        return isinstance(value, int | float) and 1 <= value < 1e9  # not NaN either
    return isinstance(value, str)


def _valid_level(named: tuple[str, object]) -> bool:
    name, value = named
    if value is None:
        return name != "peak"
    return type(value) in (int, float) and (0 if name == "peak" else -MAX_LEVEL) <= value < MAX_LEVEL  # type: ignore[operator]  # not NaN
