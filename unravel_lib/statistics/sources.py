"""statistics.sources."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.text import printable

NAMED = 5  # models that are named where encodings of several are mixed


def common_facts(paths: Sequence[Path]) -> Sidecar:
    """What the sidecars of these files agree on: sample_rate, compression, dims, model and its SHA-256.

    A fact that no sidecar states is None; a file without sidecar says nothing and disagrees with nothing. The offline
    and the streaming export of the same weights are one model; the first of them is named. Works for the sidecar of a
    statistics.csv as well.

    Raises
    ------
    InputError
        Two sidecars name different models, rates, compressions or dims.
    """
    known: dict[str, tuple[Any, Path]] = {}
    sidecars = {path: read_sidecar(path) or Sidecar() for path in paths}
    marks = ("model_sha256", "weights_sha256")
    for path, sidecar in sidecars.items():
        same_model = any(name in known and known[name][0] == getattr(sidecar, name) for name in marks)
        for name in (*marks, "model", "sample_rate", "compression", "dims"):
            fact = getattr(sidecar, name)
            if fact is None:
                continue
            before, source = known.setdefault(name, (fact, path))
            # a model may have been renamed, or be the other export of the same weights
            if fact != before and not (same_model and name in ("model", "model_sha256")):
                if name in (*marks, "model"):
                    raise InputError(_mixture(sidecars))
                raise InputError(
                    f"{printable(path)} has {name} {fact!s:.70}, {printable(source)} has {before!s:.70} (by their "
                    "sidecars): give `input` encodings of one model"
                )
    return Sidecar(**{name: fact for name, (fact, _) in known.items()})


def _mixture(sidecars: Mapping[Path, Sidecar]) -> str:
    """Which models made these files, and how many each."""
    counts: Counter[tuple[str | None, str | None]] = Counter()
    first: dict[tuple[str | None, str | None], Path] = {}
    for path, sidecar in sidecars.items():
        if sidecar.model_sha256 or sidecar.model:
            counts[sidecar.model_sha256, sidecar.model] += 1
            first.setdefault((sidecar.model_sha256, sidecar.model), path)
    names = Counter(name for _, name in counts)
    parts = []
    for (sha256, name), count in counts.most_common(NAMED):
        alike = f" {(sha256 or 'unknown')[:8]}" if name is None or names[name] > 1 else ""
        files = "1 file" if count == 1 else f"{count} files"
        parts.append(f"{files} of {printable(name or 'a model')}{alike} (such as {printable(first[sha256, name])})")
    more = f" and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    return (
        f"these are encodings of different models, by their sidecars: {', '.join(parts)}{more}: give `input` encodings "
        "of one model"
    )
