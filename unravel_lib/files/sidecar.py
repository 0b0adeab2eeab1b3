"""The sidecar: a small JSON beside every file we write, which tells what the file is and how it came to be."""

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from unravel_lib import __version__
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock, sha256_of
from unravel_lib.text import printable

FORMAT = "unravel-sidecar"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 20  # a sidecar is about 1 KB; anything over 1 MiB is not one
SAME_BYTES_SINCE = "1.0.0"  # the first version that makes the same files of the same input and options as this one


@dataclass(frozen=True)
class Sidecar:
    """What is known about one file on disk. None where nobody said.

    `sample_rate` in Hz and `compression` in samples per frame are those of the model that the latents belong to;
    `dims` and `frames` are the latents' shape; `source` is only ever shown, never opened. `weights_sha256` is the same
    for the offline and the streaming export of the same weights (see `unravel_lib.state.weights_sha256`).
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


def sidecar_path(path: Path) -> Path:
    """`x.npy` -> `x.json`."""
    return path.with_suffix(".json")


def write_sidecar(path: Path, sidecar: Sidecar) -> Path:
    """Write the sidecar of the finished file at `path`; it records that file's size and SHA-256."""
    target = sidecar_path(path)
    with atomic_write(target) as part:
        part.write_text(_as_json(sidecar, path.name, path), encoding="utf-8")
    return target


@contextlib.contextmanager
def atomic_write_with_sidecar(path: Path, sidecar: Sidecar | None, overwrite: bool = True) -> Iterator[Path]:
    """As `write_whole`, but the file and its sidecar take their places together.

    At no moment does an old sidecar lie beside a new file: one that says something else goes first. Of two runs
    that write the same file at the same time, one wins both. Without a sidecar this is `write_whole`. Unless
    `overwrite`, what `refuse_replacing` refuses is refused, also where another run wrote it a moment ago.
    """
    if sidecar is None:
        with atomic_write(path) as part:
            yield part
        return
    with (
        contextlib.ExitStack() as until_both_are_there,
        atomic_write(sidecar_path(path)) as note,
        atomic_write(path) as part,
    ):
        yield part
        text = _as_json(sidecar, path.name, part)
        note.write_text(text, encoding="utf-8")
        until_both_are_there.enter_context(folder_lock(path.parent))
        if not overwrite:
            refuse_replacing(path, sidecar)
        if not _says(sidecar_path(path), text):
            sidecar_path(path).unlink(missing_ok=True)


def _says(target: Path, text: str) -> bool:
    try:
        return target.stat().st_size == len(text) and target.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def _as_json(sidecar: Sidecar, name: str, content: Path) -> str:
    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "unravel_version": __version__,
        **asdict(sidecar),
        "file": name,
        "file_bytes": content.stat().st_size,
        "file_sha256": sha256_of(content),
    }
    return json.dumps(facts, indent=1) + "\n"


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar of `path`, or None where there is none or the JSON beside it is not ours.

    Raises
    ------
    InputError
        The JSON says that it is our sidecar, but a field has a wrong type or an impossible value.
    """
    facts = _read_json(path)
    if facts is None:
        return None
    where = printable(sidecar_path(path))
    if facts.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{where} has format version {facts.get('format_version')!r:.40}, this UnRAVEl reads {FORMAT_VERSION}: "
            "move it away and give its facts by flags"
        )
    values: dict[str, Any] = {name: facts.get(name) for name in Sidecar.__dataclass_fields__}
    values["options"] = values["options"] if values["options"] is not None else {}
    for name, value in values.items():
        if not _valid(name, value):
            raise InputError(f"{where} says {name} = {value!r:.60}: mend or remove this sidecar")
    return Sidecar(**values)


def is_complete(path: Path, expected: Sidecar) -> bool:
    """True if `path` is finished and its sidecar, SHA-256 included, says what `expected` says.

    Facts that `expected` leaves open are not compared, and `source` is not: a file may be named in many ways; nor is
    `weights_sha256`, which older sidecars lack and `model_sha256` implies.
    """
    try:
        facts = _read_json(path)
        found = read_sidecar(path)
    except InputError:
        return False
    if facts is None or found is None or not _same_bytes(facts.get("unravel_version")) or not path.is_file():
        return False
    want, have = asdict(expected), asdict(found)
    want = json.loads(json.dumps(want))  # tuples become lists, as on disk
    left_out = ("source", "weights_sha256")
    same = all(have[name] == value for name, value in want.items() if value is not None and name not in left_out)
    return same and path.stat().st_size == facts.get("file_bytes") and sha256_of(path) == facts.get("file_sha256")


def _same_bytes(version: Any) -> bool:
    try:
        first, found, ours = (
            tuple(map(int, text.split("."))) for text in (SAME_BYTES_SINCE, str(version), __version__)
        )
    except ValueError:
        return False
    return first <= found <= ours


def refuse_replacing(target: Path, facts: Sidecar) -> None:
    """Raise where `target` is there and was made with another model, or from another input, than `facts` name.

    The same input is one of the same content, or of the same path where it was changed since. A target without a
    sidecar is not refused: it is what a run leaves that was killed between the two.

    Raises
    ------
    OutputError
        It is a result of something else.
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
    same = found.source is not None and facts.source is not None and _same_place(found.source, facts.source)
    if found.source_sha256 not in (None, facts.source_sha256) and not same:
        raise OutputError(
            f"{printable(target)} was made from {printable(found.source or 'another file')}, not from "
            f"{printable(facts.source or 'this one')}: choose another `output`, or add `overwrite`"
        )


def _same_place(one: str, other: str) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)


class Finished:
    """The results in a folder that earlier runs finished, also under the names that version 1.0 gave them.

    (That hashed the absolute path of an input, so a result may bear any hash.) Such a result belongs to the input
    whose path below `input` its sidecar's `source` ends with; of several to the one with the longest. The folder is
    listed once, when the first result is not found under its name, and no sidecar is read twice.

    Parameters
    ----------
    relatives : the paths below `input` of all inputs
    """

    def __init__(self, folder: Path, relatives: Iterable[str]) -> None:
        self.folder = folder
        self._relatives = frozenset(relatives)
        self._names: dict[str, list[str]] | None = None  # beginning of the name -> names not yet looked at
        self._results: dict[tuple[str, str | None], list[Path]] = defaultdict(list)  # by input and its content

    def holds(self, target: Path, relative: str, facts: Sidecar) -> bool:
        """True if the result for that input with these facts is complete at `target` or under an old name."""
        if is_complete(target, facts):
            return True
        self._look_at(target.name.rpartition("--")[0], target.suffix)
        return any(is_complete(path, facts) for path in self._results[relative, facts.source_sha256])

    def _look_at(self, beginning: str, suffix: str) -> None:
        if self._names is None:
            self._names = defaultdict(list)
            with os.scandir(self.folder) as entries:
                for name in (entry.name for entry in entries if entry.name.endswith(suffix)):
                    self._names[name.rpartition("--")[0]].append(name)
        for path in (self.folder / name for name in self._names.pop(beginning, [])):
            with contextlib.suppress(InputError):  # damaged: not complete
                facts = read_sidecar(path)
                if facts is not None and facts.source is not None:
                    self._results[self._input_of(facts.source), facts.source_sha256].append(path)

    def _input_of(self, source: str) -> str:
        parts = PurePath(source).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((end for end in ends if end in self._relatives), "")


def _read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object beside `path` if it claims to be a sidecar, else None."""
    target = sidecar_path(path)
    try:
        if not target.is_file() or target.stat().st_size > MAX_BYTES:
            return None
        facts = json.loads(target.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _valid(name: str, value: Any) -> bool:
    if name == "options":
        return isinstance(value, dict)
    if value is None:
        return True
    if name in ("compression", "dims", "frames"):
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
    if name == "seed":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if name == "sample_rate":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value < 1e9  # so not NaN either
    return isinstance(value, str)
