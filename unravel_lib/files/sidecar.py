"""The sidecar: a small JSON beside every result, which states what the file is and how it was made.

Each kind of file has a dataclass: `EncodingSidecar`, `GeneratedSidecar`, `SoundSidecar`; the statistics.csv of a run
has a plain `Sidecar`. On disk, what every file has is on top; `options` are what shaped the content, with `script` and
`command`. A sidecar may be a stranger's: all types and ranges are checked when it is read.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

from unravel_lib import __version__
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write, folder_lock
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.text import printable

FORMAT = "unravel-sidecar"
FORMAT_VERSION = 2
MAX_BYTES = 1 << 24  # a sidecar is about 1 KB, more where thousands of inputs are named; over 16 MiB it is not one
MAX_LEVEL = 1e9  # no loudness, peak or gain is beyond

DEFAULT_SEED = 42
DEFAULT_SUBTYPE = "PCM_24"
DEFAULT_PRECISION = "fp32"  # of the model's arithmetic; exact
DEFAULT_MAX_GAIN = 20  # dB; more would raise noise to the loudness of music
DEFAULT_FADE_MS = 5.0  # of generated latents, which begin and end anywhere: a sound that does so clicks

Check = Callable[[Any], bool]


def _type(*types: type) -> Check:
    return lambda value: type(value) in types


def _integer(low: int, high: int = 2**53) -> Check:
    return lambda value: type(value) is int and low <= value < high


def _number(low: float, high: float) -> Check:
    return lambda value: type(value) in (int, float) and low <= value < high  # not NaN either


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


# What fields may hold on disk, beside null for unknown
Text = Annotated[str | None, _type(str)]
Switch = Annotated[bool, _type(bool)]
Count = Annotated[int | None, _integer(1)]
Level = Annotated[float | None, _number(-MAX_LEVEL, MAX_LEVEL)]
Texts = Annotated[tuple[str, ...], _list_of(_type(str))]
Options = Annotated[Mapping[str, Any], _mapping_of(_type(type(None), str, bool, int, float))]


@dataclass(frozen=True)
class Sidecar:
    """What is known about any file of ours; None stands for unknown.

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
        Absolute path and hash of the input.
    seed : int or None
        Of the random numbers.
    weights_sha256 : str or None
        The same for the offline and the streaming export of the same weights (see
        `unravel_lib.models.torchscript.weights_sha256`).
    script : str or None
        What made the file: the absolute path of a script, or the name under which it is installed.
    command : tuple of str
        The flags with which that script makes it again in any folder; empty where it was made from Python.
    """

    kind: ClassVar[str] = "statistics"  # else the name of a script

    sample_rate: Annotated[float | None, _number(1, 1e9)] = None
    compression: Count = None
    dims: Count = None
    frames: Count = None
    model: Text = None
    model_sha256: Text = None
    source: Text = None
    source_sha256: Text = None
    seed: Annotated[int | None, _integer(0, 2**63)] = None
    weights_sha256: Text = None
    script: Text = None
    command: Texts = ()

    @property
    def is_generated(self) -> bool:
        """Whether generator.py made the file."""
        return isinstance(self, GeneratedSidecar)

    @property
    def seconds(self) -> float:
        """How long the sound of these latents lasts; 0 where that is unknown."""
        return (self.frames or 0) * (self.compression or 0) / (self.sample_rate or 1)


@dataclass(frozen=True)
class EncodingSidecar(Sidecar):
    """Of latents that encoder.py made of a recording.

    `descriptors_sha256` is the hash of the file of descriptors beside them, `threads` how many the processor worked in,
    on which the last digits depend.
    """

    kind: ClassVar[str] = "encoder"

    descriptors_sha256: Text = None

    compensate_delay: Switch = False
    device: Text = None
    precision: Annotated[str, _type(str)] = DEFAULT_PRECISION
    threads: Count = None


@dataclass(frozen=True)
class GeneratedSidecar(Sidecar):
    """Of what generator.py made.

    Attributes
    ----------
    distribution, pattern : str or None
        Names; "FILE.py:name" for the user's own. The distribution is None where nothing was drawn.
    distribution_args, pattern_args : mapping
        Their options.
    code_sha256 : mapping of str by name
        Hashes of the user's own files with distribution, pattern or transforms.
    iqr : bool
        Whether the statistics are the robust ones.
    transform : tuple of str
        The steps.
    num_latents, num_loops, beats : int or None
    bpm : float or None
        Tempo of the loops; None where they differ in length.
    file_index : int or None
        Number of the file in its run.
    statistics_sha256 : str or None
        Of the statistics.csv that it was drawn from.
    files_sha256 : mapping of str by absolute path
        Hashes of the files of loops, target and wishes.
    hold : bool or None
        Of latent audio: whether each frame is held for `compression` samples.
    """

    kind: ClassVar[str] = "generator"

    distribution: Text = None
    distribution_args: Options = field(default_factory=dict)
    iqr: Switch = False
    pattern: Text = None
    pattern_args: Options = field(default_factory=dict)
    transform: Texts = ()
    code_sha256: Annotated[Mapping[str, str], _mapping_of(_type(str))] = field(default_factory=dict)
    num_latents: Count = None
    num_loops: Count = None
    beats: Annotated[int, _integer(1)] = 1
    bpm: Annotated[float | None, _number(0, 1e12)] = None
    file_index: Annotated[int | None, _integer(0)] = None
    statistics_sha256: Text = None
    files_sha256: Annotated[Mapping[str, str], _mapping_of(_type(str))] = field(default_factory=dict)
    hold: Annotated[bool | None, _type(bool)] = None


@dataclass(frozen=True)
class SoundSidecar(Sidecar):
    """Of sound that decoder.py made of latents.

    Attributes
    ----------
    subtype : str
        How samples are stored.
    normalize : float or None
        The loudness in LUFS that was asked for.
    max_gain : float
        How far, in dB, `normalize` raises at most.
    fade_ms : float
        Length of the fades at both ends.
    loop : bool
        Whether it is a loop without a seam.
    conditions : mapping of float
        Values of the conditions of the model, by name.
    peak, loudness, gain_db : float or None
        Its level, where 1 is full scale; in LUFS, None also for silence; and the gain of `normalize`.
    silent, static : bool
        See `unravel_lib.audio.level.Level`.
    latents : Sidecar or None
        The sidecar of its latents as it was, for when they are gone.
    """

    kind: ClassVar[str] = "decoder"

    compensate_delay: Switch = False
    device: Text = None
    precision: Annotated[str, _type(str)] = DEFAULT_PRECISION
    threads: Count = None
    subtype: Annotated[str, _type(str)] = DEFAULT_SUBTYPE
    normalize: Level = None
    max_gain: Annotated[float, _number(0, 1e9)] = DEFAULT_MAX_GAIN
    loop: Switch = False
    fade_ms: Annotated[float, _number(0, 1e9)] = 0.0
    conditions: Annotated[Mapping[str, float], _mapping_of(_number(-1e15, 1e15))] = field(default_factory=dict)
    peak: Annotated[float | None, _number(0, MAX_LEVEL)] = None
    loudness: Level = None
    gain_db: Level = None
    silent: Switch = False
    static: Switch = False
    latents: Annotated[Sidecar | None, _mapping_of(lambda _: True)] = None

    @property
    def marks(self) -> list[str]:
        """What a listener should know: "clipped", "silent", "static"."""
        marks = {
            "clipped": (self.peak or 0) > 1 and self.subtype != "FLOAT",
            "silent": self.silent and self.loudness is not None,
            "static": self.static,
        }
        return [mark for mark, holds in marks.items() if holds]


KINDS = {kind.kind: kind for kind in (Sidecar, EncodingSidecar, GeneratedSidecar, SoundSidecar)}
FACTS = tuple(one.name for one in fields(Sidecar) if one.name not in ("script", "command"))  # of every file
BESIDE = ("peak", "loudness", "gain_db", "silent", "static", "latents")  # fields of a kind that are no options

# By `complete_sidecar`
NOT_COMPARED = ("source", "weights_sha256", "script", "command", "descriptors_sha256", "threads", *BESIDE)


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar: `x.npy` -> `x.json`."""
    return path.with_suffix(".json")


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of the finished file at `path`; it records that file's size and SHA-256."""
    with atomic_write(sidecar_path(path)) as part:
        part.write_text(_as_text(sidecar, path.name, path), encoding="utf-8")


@contextlib.contextmanager
def atomic_write_with_sidecar(
    path: Path, sidecar: Sidecar | Callable[[], Sidecar] | None, overwrite: bool = True
) -> Iterator[Path]:
    """Write a file as `atomic_write` does, and replace it and its sidecar together.

    At no time is an old sidecar beside a new file: it is removed first. Of two runs that write the
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
        text = _as_text(facts, path.name, part)
        note.write_text(text, encoding="utf-8")
        lock.enter_context(folder_lock(path.parent))
        if not overwrite:
            refuse_replacing(path, facts)
        sidecar_path(path).unlink(missing_ok=True)


def _as_text(sidecar: Sidecar, name: str, content: Path) -> str:
    facts: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "unravel_version": __version__,
        **_as_json(sidecar),
        "file": name,
        "file_bytes": content.stat().st_size,
        "file_sha256": sha256_of(content),
    }
    return json.dumps(facts, indent=1) + "\n"


def _as_json(sidecar: Sidecar) -> dict[str, Any]:
    values = asdict(sidecar)
    facts = {"kind": sidecar.kind, **{name: values.pop(name) for name in FACTS}, "options": values}
    facts |= {name: values.pop(name) for name in BESIDE if name in values}
    if isinstance(sidecar, SoundSidecar) and sidecar.latents is not None:
        facts["latents"] = _as_json(sidecar.latents)
    return facts


def read_sidecar(path: Path) -> Sidecar | None:
    """Return the sidecar of `path`, or None if there is none or the JSON beside it is something else.

    Raises
    ------
    InputError
        It is a sidecar of another format version, or a field has a wrong type or an impossible value.
    """
    facts = _read_json(path)
    return None if facts is None else _from_json(facts, path)


def _from_json(facts: Mapping[str, Any], path: Path, within: str = "") -> Sidecar:
    if not within and facts.get("format_version") != FORMAT_VERSION:
        found = f"has format version {facts.get('format_version')!r:.40}"
        remedy = "move it away and give its facts by flags"
        raise InputError(found, path=sidecar_path(path), expected=str(FORMAT_VERSION), remedy=remedy)
    kind, options = KINDS.get(str(facts.get("kind"))), facts.get("options")
    if kind is None or not isinstance(options, dict):
        name = "options" if kind else "kind"
        raise _impossible(path, within + name, facts.get(name))
    values: dict[str, Any] = {}
    for name, check in _checks(kind).items():
        value = (facts if name in (*FACTS, *BESIDE) else options).get(name)
        if value is not None:
            if not check(value):
                raise _impossible(path, within + name, value)
            values[name] = tuple(value) if isinstance(value, list) else value
    if "latents" in values:
        latents = {name: value for name, value in values["latents"].items() if name != "latents"}
        values["latents"] = _from_json(latents, path, "latents: ")
    return kind(**values)


@functools.cache
def _checks(kind: type[Sidecar]) -> dict[str, Check]:
    """Return what says whether a field may have a value."""
    hints = get_type_hints(kind, include_extras=True)
    return {one.name: hints[one.name].__metadata__[0] for one in fields(kind)}


def _impossible(path: Path, name: str, value: object) -> InputError:
    return InputError(f"says {name} = {value!r:.60}", path=sidecar_path(path), remedy="correct or remove this sidecar")


def complete_sidecar(path: Path, expected: Sidecar) -> Sidecar | None:
    """Return the sidecar of `path` if that is finished and has, by its SHA-256 too, the content that is expected.

    Facts that are None in `expected` are not compared, nor is how the input and the script were named, nor what is
    known only when a result is written.
    """
    facts = _read_json(path)
    if facts is None or facts.get("unravel_version") != __version__ or not path.is_file():
        return None
    try:
        found = _from_json(facts, path)
    except InputError:
        return None
    compared = [one.name for one in fields(expected) if one.name not in NOT_COMPARED]
    same = type(found) is type(expected) and all(
        getattr(found, name) == getattr(expected, name) or (name in FACTS and getattr(expected, name) is None)
        for name in compared
    )
    if not same or (isinstance(found, EncodingSidecar) and not has_descriptors(path, found)):
        return None
    same = path.stat().st_size == facts.get("file_bytes") and sha256_of(path) == facts.get("file_sha256")
    return found if same else None


def descriptors_path(path: Path) -> Path:
    """Return the path of the descriptors of latents: `x.npy` -> `x.descriptors`."""
    return path.with_suffix(".descriptors")


def has_descriptors(path: Path, sidecar: Sidecar | None) -> bool:
    """Return whether the descriptors that a sidecar names are beside the latents at `path`."""
    if not isinstance(sidecar, EncodingSidecar) or sidecar.descriptors_sha256 is None:
        return False
    beside = descriptors_path(path)
    return beside.is_file() and sha256_of(beside) == sidecar.descriptors_sha256


def refuse_replacing(target: Path, facts: Sidecar) -> None:
    """Raise if `target` exists and was made with another model or precision, or from another input, than `facts` names.

    An input is the same if it has the same content or, if it was changed since, the same path. A target without a
    sidecar is not refused: a run leaves it that was killed between writing the two.

    Raises
    ------
    OutputError
        It is the result of another model, precision or input.
    InputError
        Its sidecar is damaged or of a later version.
    """
    found = read_sidecar(target) if os.path.lexists(target) else None
    if found is None:
        return
    if found.model_sha256 not in (None, facts.model_sha256):
        ours, theirs = printable(facts.model or "this model"), printable(found.model or "another model")
        other = f"with another {theirs}, not with this one" if ours == theirs else f"with {theirs}, not with {ours}"
    elif found.source_sha256 not in (None, facts.source_sha256) and (
        found.source is None or found.source != facts.source
    ):
        other = f"from {printable(found.source or 'another file')}, not from {printable(facts.source or 'this one')}"
    elif _precision(found) != _precision(facts):
        other = f"with {printable(_precision(found))}, not with {_precision(facts)}"
    else:
        return
    remedy = "choose another folder, or replace it"
    raise OutputError(f"was made {other}", path=target, remedy=remedy, remedy_options=("output", "overwrite"))


def _precision(facts: Sidecar) -> str:
    return str(getattr(facts, "precision", DEFAULT_PRECISION))


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object beside `path` if it is marked as a sidecar, else None; also where it is unreadable."""
    try:
        with open_input(sidecar_path(path)) as file:
            data = file.read(MAX_BYTES + 1)
        facts = None if len(data) > MAX_BYTES else json.loads(data)
    except (InputError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None
