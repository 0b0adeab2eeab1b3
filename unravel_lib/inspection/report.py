"""The facts about model files as text for people, and as CSV tables for spreadsheets."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unravel_lib.files.atomic import atomic_write
from unravel_lib.inspection.facts import Facts, Method, TensorStatistics, json_value
from unravel_lib.text import cell_text, printable
from unravel_lib.text import table as text_table

UNKNOWN = "unknown"
BAR_WIDTH = 40  # characters for a share of 100 %
MOST_BARS = 32  # dims with a bar of their own
LABEL_WIDTH = 26
TABLE = ("name", "family", "dims", "compression", "sample rate", "in", "out", "streaming", "delay", "warnings")


def text(facts: Facts) -> str:
    """Return everything that is known about one file, aligned; "unknown" where the file does not state it."""
    lines = [printable(facts.path)]
    lines += [f"  {label:<{LABEL_WIDTH}}{value}" for label, value in _rows(facts)]
    lines += [f"  {'warning':<{LABEL_WIDTH}}{printable(warning)}" for warning in facts.warnings]
    lines += [f"  {line}" for line in bars(facts)]
    return "\n".join(lines)


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "size", _stated(facts.bytes, "{:,} bytes")
    yield "SHA-256", _stated(facts.sha256)
    if facts.weights_sha256 is not None:
        yield "weights SHA-256", facts.weights_sha256
    yield (
        "kind",
        _stated(facts.kind) + (f", file format {printable(facts.format_version)}" if facts.format_version else ""),
    )
    yield "family", printable(_family(facts)) + (f" (by {printable(facts.mark)})" if facts.mark else "")
    yield "encoder", _stated(facts.encoder)
    yield "decoder", _stated(facts.decoder)
    cut = facts.full_dims is not None and facts.dims is not None
    yield "dims", f"{facts.dims} of {facts.full_dims}" if cut else _stated(facts.dims, "{:,}", facts.full_dims)
    yield "compression", _stated(facts.compression, "{} samples per frame")
    yield "latent rate", _stated(facts.latent_rate, "{:.3f} Hz")
    yield "sample rate", _stated(facts.sample_rate, "{:g} Hz")
    yield "channels", f"{_stated(facts.in_channels, '{:,}')} in, {_stated(facts.out_channels, '{:,}')} out"
    yield "streaming", _streaming(facts)
    yield "receptive field", _receptive_field(facts)
    yield from _several("methods", None if facts.methods is None else map(_method, facts.methods))
    attributes = facts.attributes and [f"{printable(name)} = {_short(x)}" for name, x in facts.attributes.items()]
    yield from _several("nn~ attributes", attributes)
    yield "parameters", _stated(facts.parameters, "{:,}")
    yield "PyTorch version", _stated(facts.torch_version)
    for name, value in facts.details.items():
        yield printable(name), _short(value)


def _stated(value: object, form: str = "{}", at_most: int | None = None) -> str:
    if value is None:
        return UNKNOWN if at_most is None else f"at most {at_most}"
    return printable(form.format(value))


def _several(label: str, texts: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    lines = [UNKNOWN] if texts is None else [*texts] or ["none"]
    return zip([label, *[""] * len(lines)], lines, strict=False)


def _family(facts: Facts) -> str:
    return " ".join(part for part in (facts.family or UNKNOWN, facts.version) if part)


def _short(value: object) -> str:
    found = printable(str(json_value(value)))
    return found if len(found) <= 200 else f"{found[:197]}..."


def _streaming(facts: Facts) -> str:
    if not facts.streaming:
        return UNKNOWN if facts.streaming is None else "no"
    if facts.delay_samples is None:
        return "yes, delay unknown"
    ms = "" if facts.delay_ms is None else f" ({facts.delay_ms:.0f} ms)"
    parts = "" if facts.encode_delay is None else f": encode {facts.encode_delay:,}, decode {facts.decode_delay:,}"
    return f"yes, delay {facts.delay_samples:,} samples{ms}{parts}"


def _receptive_field(facts: Facts) -> str:
    contexts = (("encode", facts.encode_context), ("decode", facts.decode_context))
    parts = [f"{name} at most {c[0]} before, {c[1]} after" for name, c in contexts if c is not None]
    return f"in frames: {'; '.join(parts)}" if parts else UNKNOWN


def _method(method: Method) -> str:
    if method.in_channels is None:
        return printable(method.name)
    inlet = f"{method.in_channels} in at ratio {method.in_ratio}"
    return f"{printable(method.name)}: {inlet}, {method.out_channels} out at ratio {method.out_ratio}"


def bars(facts: Facts) -> list[str]:
    """Return the share of variance per usable dim as bars of text, and the sum of the dims that were cut off."""
    shares = facts.variance_shares
    if not shares:
        return []
    usable = min(facts.dims or len(shares), len(shares))
    single = min(usable, MOST_BARS)
    lines = ["share of variance per dim"]
    lines += [_bar(f"dim {dim}", share) for dim, share in enumerate(shares[:single])]
    if usable > single:
        lines.append(_bar(f"dims {single} to {usable - 1}", sum(shares[single:usable])))
    if len(shares) > usable:
        lines.append(_bar("cut off", sum(shares[usable:])))
    return lines


def _bar(label: str, share: float) -> str:
    return f"{label:<{LABEL_WIDTH}}{100 * share:5.1f} %  {'#' * round(BAR_WIDTH * share)}".rstrip()


def table(all_facts: Sequence[Facts]) -> str:
    """Format one row per model, in aligned columns."""
    return text_table([TABLE, *(_table_row(facts) for facts in all_facts)])


def _table_row(facts: Facts) -> tuple[str, ...]:
    delay = None if facts.delay_ms is None else f"{facts.delay_ms:.0f} ms"
    streaming = None if facts.streaming is None else "yes" if facts.streaming else "no"
    rate = None if facts.sample_rate is None else f"{facts.sample_rate:g} Hz"
    cells = (facts.dims, facts.compression, rate, facts.in_channels, facts.out_channels, streaming, delay)
    name = printable(facts.name)
    name = name if len(name) <= 40 else f"{name[:37]}..."
    return (name, printable(_family(facts)), *("?" if c is None else str(c) for c in cells), str(len(facts.warnings)))


def write_facts(path: Path, facts: Facts) -> None:
    """Write the facts as CSV with the columns fact and value; a fact that the file does not state is empty."""
    found = facts.as_json()
    shares = found.pop("variance_shares") or []
    rows: list[tuple[str, object]] = []
    for name, value in found.items():
        if name == "methods":
            rows += [(f"method {m['name']}", _method_cell(m)) for m in value or []]
        elif name in ("attributes", "details"):
            rows += [(f"{name[:-1]} {key}", item) for key, item in (value or {}).items()]
        elif name == "warnings":
            rows += [("warning", warning) for warning in value]
        else:
            rows.append((name, value))
    rows += [(f"variance share of dim {dim}", share) for dim, share in enumerate(shares)]
    _write_csv(path, ("fact", "value"), rows)


def _method_cell(method: Mapping[str, Any]) -> str:
    names = ("in_channels", "in_ratio", "out_channels", "out_ratio")
    return " ".join(f"{name}={method[name]}" for name in names if method[name] is not None)


def write_tensors(path: Path, tensors: Sequence[TensorStatistics]) -> None:
    """Write one CSV row per tensor of a state_dict: key, shape, dtype, mean, std, min, max."""
    rows = ((t.key, "x".join(map(str, t.shape or ())), t.dtype, t.mean, t.std, t.min, t.max) for t in tensors)
    _write_csv(path, ("key", "shape", "dtype", "mean", "std", "min", "max"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *([_cell(value) for value in row] for row in rows)])


def _cell(value: object) -> object:
    """Return a value for a CSV cell: printable, never a formula that a spreadsheet would run; NaN is empty."""
    if value is None or isinstance(value, (bool, int, float)):
        return None if value != value else value
    return cell_text(printable(value if isinstance(value, str) else str(value)))
