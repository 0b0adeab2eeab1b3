"""What the sidecars of encodings agree on: the model that they belong to, its rates and its dims."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unravel_lib.errors import InputError
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.text import count_text, printable

MODEL_FACTS = ("model_sha256", "weights_sha256", "model")
MAX_NAMED = 4  # models that an error names


def common_facts(paths: Sequence[Path]) -> Sidecar:
    """Return what the sidecars of these files agree on: sample_rate, compression, dims, model and its SHA-256.

    A fact that no sidecar states is None; a file without sidecar states nothing. The offline and the streaming export
    of the same weights are one model; the first of them is named. Works for the sidecar of a statistics.csv as well.

    Raises
    ------
    InputError
        Two sidecars name different models, rates, compressions or dims.
    """
    known: dict[str, tuple[Any, Path]] = {}
    sidecars = {path: read_sidecar(path) or Sidecar() for path in paths}
    for path, sidecar in sidecars.items():
        same_model = any(n in known and known[n][0] == getattr(sidecar, n) for n in MODEL_FACTS[:2])
        for name in (*MODEL_FACTS, "sample_rate", "compression", "dims"):
            fact = getattr(sidecar, name)
            if fact is None:
                continue
            before, source = known.setdefault(name, (fact, path))
            # a model may have been renamed, or be the other export of the same weights
            if fact != before and not (same_model and name in ("model", "model_sha256")):
                if name in MODEL_FACTS:
                    raise InputError(_mixture(sidecars))
                raise InputError(
                    f"{printable(path)} has {name} {fact!s:.70}, {printable(source)} has {before!s:.70} (by their "
                    "sidecars): give `input` encodings of one model"
                )
    return Sidecar(**{name: fact for name, (fact, _) in known.items()})


def _mixture(sidecars: Mapping[Path, Sidecar]) -> str:
    """Return the error text: which models made these files, and how many each."""
    by_model: dict[str, list[Path]] = defaultdict(list)
    for path, sidecar in sidecars.items():
        mark = sidecar.weights_sha256 or sidecar.model_sha256 or sidecar.model
        if mark:
            by_model[mark].append(path)
    names = [sidecars[paths[0]].model or "a model" for paths in by_model.values()]
    parts = []
    for mark, paths in sorted(by_model.items(), key=lambda item: -len(item[1]))[:MAX_NAMED]:
        facts = sidecars[paths[0]]
        name = facts.model or "a model"
        alike = f" {(facts.model_sha256 or mark)[:8]}" if names.count(name) > 1 or facts.model is None else ""
        parts.append(f"{count_text(len(paths), 'file')} of {printable(name)}{alike} (such as {printable(paths[0])})")
    more = f" and {len(by_model) - MAX_NAMED} more" if len(by_model) > MAX_NAMED else ""
    return (
        f"these are encodings of different models, by their sidecars: {', '.join(parts)}{more}: give `input` encodings "
        "of one model"
    )
