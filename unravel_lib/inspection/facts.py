"""Facts about a model file: as data, None where the file does not state them; as text, and as CSV tables."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unravel_lib.errors import is_number
from unravel_lib.files.atomic import atomic_write
from unravel_lib.text import cell_text, printable
from unravel_lib.text import table as text_table

UNKNOWN = "unknown"
BAR_WIDTH = 40  # characters for a share of 100 %
MOST_BARS = 32  # dims with a bar of their own
LABEL_WIDTH = 26
TABLE = ("name", "family", "dims", "compression", "sample rate", "in", "out", "streaming", "delay", "warnings")
MAX_DEPTH = 16  # of nested values
MAX_VALUES = 64  # a tensor with more is named, not spelt out


@dataclass(frozen=True)
class Method:
    """One method that nn~ can call: `in_ratio` and `out_ratio` are samples per step at its inlet and outlet."""

    name: str
    in_channels: int | None = None
    in_ratio: int | None = None
    out_channels: int | None = None
    out_ratio: int | None = None


Part = dict[str, Any]  # some of the facts, by their names in `Facts`


@dataclass(frozen=True)
class Facts:
    """What is known about one model file. None where the file does not state it; never a guess.

    Attributes
    ----------
    weights_sha256 : the same for the offline and the streaming export of the same weights; TorchScript only
    mark : what family and version were identified by
    dims, full_dims : usable latent dims, and those before the least important were cut off; None for codes and angles,
        from which none are
    compression : samples per frame
    sample_rate : Hz
    streaming : whether calls carry state; `delay_samples` is the sum of `encode_delay` and
        `decode_delay`, all in samples; 0 for an offline export
    encode_context, decode_context : (before, after), frames that a frame depends on; measured
    variance_shares : of a variational RAVE, the share of the variance per full dim, in PCA order, 0 to 1
    parameters : trained values; of a checkpoint, which does not mark them, all values of its state_dict
    torch_version : of a checkpoint whose trainer stored it as `torch_version`; PyTorch itself never does, so it is
        None for every TorchScript export
    format_version : of the zip archive
    details : what only this family has
    """

    name: str
    path: str
    bytes: int | None = None
    sha256: str | None = None
    weights_sha256: str | None = None
    kind: str | None = None
    family: str | None = None
    version: str | None = None
    mark: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    dims: int | None = None
    full_dims: int | None = None
    compression: int | None = None
    sample_rate: float | None = None
    in_channels: int | None = None
    out_channels: int | None = None
    streaming: bool | None = None
    delay_samples: int | None = None
    encode_delay: int | None = None
    decode_delay: int | None = None
    encode_context: tuple[int, int] | None = None
    decode_context: tuple[int, int] | None = None
    methods: list[Method] | None = None
    attributes: dict[str, Any] | None = None
    variance_shares: list[float] | None = None
    parameters: int | None = None
    torch_version: str | None = None
    format_version: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def latent_rate(self) -> float | None:
        """Frames per second."""
        return self.sample_rate / self.compression if self.sample_rate and self.compression else None

    @property
    def delay_ms(self) -> float | None:
        """The delay in milliseconds."""
        samples, rate = self.delay_samples, self.sample_rate
        return None if samples is None or not rate else 1000 * samples / rate

    def as_json(self) -> dict[str, Any]:
        """Return the facts as values of JSON."""
        found: dict[str, Any] = json_value(asdict(self) | {"latent_rate": self.latent_rate, "delay_ms": self.delay_ms})
        return found


class Attribute(NamedTuple):
    """An attribute of a model, or an entry of a checkpoint at its top level.

    Attributes
    ----------
    kind : method, property or data
    what : the signature of a method, the type of data
    needed : the arguments that a method needs
    """

    name: str
    kind: str
    what: str
    needed: int = 0


class TensorStatistics(NamedTuple):
    """One tensor: name, shape (4x2x7), dtype, and statistics of all its values, NaN without any."""

    key: str
    shape: str
    dtype: str
    mean: float = math.nan
    std: float = math.nan
    min: float = math.nan
    max: float = math.nan


def joined(parts: Iterable[Part]) -> Facts:
    """Join parts: a fact is what the last part that has it says; warnings and known details add up."""
    facts: Part = {"name": "", "path": ""}
    details: dict[str, Any] = {}
    warnings: list[str] = []
    for part in parts:
        facts |= part
        details |= {name: value for name, value in part.get("details", {}).items() if value is not None}
        warnings += part.get("warnings", [])
    return Facts(**facts | {"details": json_value(details), "warnings": warnings})


def json_value(value: Any, depth: int = 0) -> Any:
    """Return any value as JSON can represent it: tensors become lists or are named, NaN and Inf become null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):  # 44100.0 becomes 44100
        whole = value.is_integer() and abs(value) < 2**53
        return int(value) if whole else value if math.isfinite(value) else None
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item, depth + 1) for item in value]
    if hasattr(value, "numel") and hasattr(value, "tolist"):
        with suppress(RuntimeError, TypeError, ValueError):  # tensors without plain values
            if value.numel() <= MAX_VALUES:
                return json_value(value.tolist(), depth + 1)
            return f"{str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
        return f"{str(value.dtype).removeprefix('torch.')} tensor"
    return str(value)


def count(value: Any) -> int | None:
    """Return a whole number above 0; None for all else."""
    return int(value) if is_number(value) and value > 0 and value % 1 == 0 else None


def text(facts: Facts) -> str:
    """Return everything that is known about one file, aligned; "unknown" where the file does not state it."""
    rows = [*_rows(facts), *(("warning", warning) for warning in facts.warnings)]
    lines = [facts.path, *(f"  {label:<{LABEL_WIDTH}}{value}" for label, value in rows)]
    return "\n".join(map(printable, [*lines, *(f"  {line}" for line in bars(facts))]))


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "size", _stated(facts.bytes, "{:,} bytes")
    yield "SHA-256", _stated(facts.sha256)
    if facts.weights_sha256 is not None:
        yield "weights SHA-256", facts.weights_sha256
    yield "kind", _stated(facts.kind) + (f", file format {facts.format_version}" if facts.format_version else "")
    yield "family", _family(facts) + (f" (by {facts.mark})" if facts.mark else "")
    yield "encoder", _stated(facts.encoder)
    yield "decoder", _stated(facts.decoder)
    full, of_full = facts.full_dims, f"{{}} of {facts.full_dims}"
    yield "dims", _stated(facts.dims, of_full if full else "{:,}", f"at most {full}" if full else UNKNOWN)
    yield "compression", _stated(facts.compression, "{} samples per frame")
    yield "latent rate", _stated(facts.latent_rate, "{:.3f} Hz")
    yield "sample rate", _stated(facts.sample_rate, "{:g} Hz")
    yield "channels", f"{_stated(facts.in_channels, '{:,}')} in, {_stated(facts.out_channels, '{:,}')} out"
    yield "streaming", _streaming(facts)
    yield "receptive field", _receptive_field(facts)
    yield from _several("methods", None if facts.methods is None else map(_method, facts.methods))
    attributes = facts.attributes and (f"{name} = {_short(value)}" for name, value in facts.attributes.items())
    yield from _several("nn~ attributes", attributes)
    yield "parameters", _stated(facts.parameters, "{:,}")
    yield "PyTorch version", _stated(facts.torch_version)
    for name, value in facts.details.items():
        yield name, _short(value)


def _stated(value: object, form: str = "{}", otherwise: str = UNKNOWN) -> str:
    return otherwise if value is None else form.format(value)


def _several(label: str, texts: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    lines = [UNKNOWN] if texts is None else [*texts] or ["none"]
    return zip([label, *[""] * len(lines)], lines, strict=False)


def _family(facts: Facts) -> str:
    return " ".join(part for part in (facts.family or UNKNOWN, facts.version) if part)


def _short(value: object) -> str:
    found = str(json_value(value))
    return found if len(found) <= 200 else f"{found[:197]}..."


def _streaming(facts: Facts) -> str:
    if not facts.streaming:
        return UNKNOWN if facts.streaming is None else "no"
    if facts.delay_samples is None:
        return "yes, delay unknown"
    ms = _stated(facts.delay_ms, " ({:.0f} ms)", "")
    parts = "" if facts.encode_delay is None else f": encode {facts.encode_delay:,}, decode {facts.decode_delay:,}"
    return f"yes, delay {facts.delay_samples:,} samples{ms}{parts}"


def _receptive_field(facts: Facts) -> str:
    contexts = (("encode", facts.encode_context), ("decode", facts.decode_context))
    parts = [f"{name} at most {c[0]} before, {c[1]} after" for name, c in contexts if c is not None]
    return f"in frames: {'; '.join(parts)}" if parts else UNKNOWN


def _method(method: Method) -> str:
    if method.in_channels is None:
        return method.name
    inlet = f"{method.in_channels} in at ratio {method.in_ratio}"
    return f"{method.name}: {inlet}, {method.out_channels} out at ratio {method.out_ratio}"


def bars(facts: Facts) -> list[str]:
    """Return the share of variance per usable dim as bars of text, and the sum of the dims that were cut off."""
    shares = facts.variance_shares or []
    usable = facts.dims or len(shares)
    groups = {f"dim {dim}": [share] for dim, share in enumerate(shares[: min(usable, MOST_BARS)])}
    groups |= {f"dims {MOST_BARS} to {usable - 1}": shares[MOST_BARS:usable], "cut off": shares[usable:]}
    lines = [_bar(label, sum(group)) for label, group in groups.items() if group]
    return ["share of variance per dim", *lines] if lines else []


def _bar(label: str, share: float) -> str:
    return f"{label:<{LABEL_WIDTH}}{100 * share:5.1f} %  {'#' * round(BAR_WIDTH * share)}".rstrip()


def table(all_facts: Sequence[Facts]) -> str:
    """Format one row per model, in aligned columns."""
    return text_table([TABLE, *(_table_row(facts) for facts in all_facts)])


def _table_row(facts: Facts) -> tuple[str, ...]:
    name = printable(facts.name)
    rate, delay = _stated(facts.sample_rate, "{:g} Hz", "?"), _stated(facts.delay_ms, "{:.0f} ms", "?")
    dims, compression, inlets, outlets = (
        _stated(fact, "{}", "?") for fact in (facts.dims, facts.compression, facts.in_channels, facts.out_channels)
    )
    streaming = "?" if facts.streaming is None else "yes" if facts.streaming else "no"
    cells = (dims, compression, rate, inlets, outlets, streaming, delay, str(len(facts.warnings)))
    return (name if len(name) <= 40 else f"{name[:37]}...", printable(_family(facts)), *cells)


def write_facts(path: Path, facts: Facts) -> None:
    """Write the facts as CSV with the columns fact and value; a fact that the file does not state is empty."""
    found = facts.as_json()
    shares = found.pop("variance_shares") or []
    several: dict[str, list[tuple[str, object]]] = {
        "methods": [(f"method {method['name']}", _method_cell(**method)) for method in found["methods"] or []],
        "attributes": [(f"attribute {name}", value) for name, value in (found["attributes"] or {}).items()],
        "details": [(f"detail {name}", value) for name, value in found["details"].items()],
        "warnings": [("warning", warning) for warning in found["warnings"]],
    }
    rows = [row for name, value in found.items() for row in several.get(name, [(name, value)])]
    rows += [(f"variance share of dim {dim}", share) for dim, share in enumerate(shares)]
    _write_csv(path, ("fact", "value"), rows)


def _method_cell(name: str, **numbers: int | None) -> str:
    return " ".join(f"{key}={number}" for key, number in numbers.items() if number is not None)


def write_tensors(path: Path, tensors: Sequence[TensorStatistics]) -> None:
    """Write one CSV row per tensor of a state_dict: key, shape, dtype, mean, std, min, max."""
    _write_csv(path, TensorStatistics._fields, tensors)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *([_cell(value) for value in row] for row in rows)])


def _cell(value: object) -> object:
    """Return a value for a CSV cell: printable, never a formula that a spreadsheet would run; NaN is empty."""
    if value is None or isinstance(value, (bool, int, float)):
        return None if value != value else value
    return cell_text(printable(value if isinstance(value, str) else str(value)))
