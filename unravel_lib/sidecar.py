"""The sidecar: a small JSON beside every file we write, which tells what the file is and how it came to be."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unravel_lib import __version__
from unravel_lib.errors import InputError
from unravel_lib.files import alone_in, sha256_of, shown, write_whole

FORMAT = "unravel-sidecar"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 20  # a sidecar is about 1 KB; anything over 1 MiB is not one


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
    with write_whole(target) as part:
        part.write_text(_as_json(sidecar, path.name, path), encoding="utf-8")
    return target


@contextlib.contextmanager
def write_described(path: Path, sidecar: Sidecar | None) -> Iterator[Path]:
    """As `write_whole`, but the file and its sidecar take their places together.

    At no moment does an old sidecar lie beside a new file: one that says something else goes first. Of two runs
    that write the same file at the same time, one wins both. Without a sidecar this is `write_whole`.
    """
    if sidecar is None:
        with write_whole(path) as part:
            yield part
        return
    with (
        contextlib.ExitStack() as until_both_are_there,
        write_whole(sidecar_path(path)) as note,
        write_whole(path) as part,
    ):
        yield part
        text = _as_json(sidecar, path.name, part)
        note.write_text(text, encoding="utf-8")
        until_both_are_there.enter_context(alone_in(path.parent))
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
    where = shown(sidecar_path(path))
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
    if facts is None or found is None or facts.get("unravel_version") != __version__ or not path.is_file():
        return False
    want, have = asdict(expected), asdict(found)
    want = json.loads(json.dumps(want))  # tuples become lists, as on disk
    left_out = ("source", "weights_sha256")
    same = all(have[name] == value for name, value in want.items() if value is not None and name not in left_out)
    return same and path.stat().st_size == facts.get("file_bytes") and sha256_of(path) == facts.get("file_sha256")


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
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9  # so not NaN either
    return isinstance(value, str)
