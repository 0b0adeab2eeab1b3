"""Checkpoints and safetensors: opened by weights_only or by their own library, and what their contents state.

Stable Audio Tools writes three kinds of files: training checkpoints (with their config inside), unwrapped ones (only
a state_dict, the config in a JSON next to it) and unwrapped safetensors (flat keys).
"""

import ast
import json
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from unravel_lib.errors import ModelError
from unravel_lib.inspection.facts import Part, int_if_whole
from unravel_lib.models.screening.kinds import AGAIN, trainer_of
from unravel_lib.models.screening.model_file import ModelFile, for_torch
from unravel_lib.text import printable

STATE_DICTS = ("state_dict", "model_state_dict", "model_state", "model", "ema", "weights")
CONFIGS = ("model_config", "hyper_parameters", "config", "cfg", "hparams")
CONFIG_BYTES = 8 << 20  # a config next to a model is some KB
FIRST_IN, FIRST_OUT = "encoder.layers.0.weight_v", "decoder.layers.0.weight_v"  # of an oobleck autoencoder
SAT_PREFIXES = (
    *("autoencoder.", "autoencoder_ema.", "diffusion.", "diffusion_ema."),  # of training
    *("pretransform.model.", "conditioner.conditioners."),
)
SAT = "Stable Audio Tools"
SAT_COUNTS = {  # where its config has a fact; the first that is a count
    "dims": ("model.latent_dim",),
    "compression": ("model.downsampling_ratio",),
    "in_channels": ("model.in_channels", "model.io_channels", "audio_channels"),
    "out_channels": ("model.out_channels", "model.io_channels", "audio_channels"),
}
STATE_DICT_ONLY = "save it again with its state_dict only"
RAVE_KEYS = frozenset(("latent_pca", "latent_mean", "fidelity"))
TORCH_VERSIONS = ("torch_version", "pytorch_version")  # the names that trainers give it
# what torch.load raises for files that are no checkpoint or incomplete
FAILURES = (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, TypeError, IndexError)

WITHOUT_VALUES = (RuntimeError, TypeError, ValueError)  # what PyTorch raises for meta, sparse, nested and other layouts
LEVELS = 3  # RAVE: RUN/config.gin and RUN/version_0/checkpoints/best.ckpt

Tensors = Mapping[str, torch.Tensor]


def load_safetensors(file: ModelFile) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file, mapped from it, and its metadata.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    import safetensors

    open_file: Any = safetensors.safe_open
    name = for_torch(file.file)
    try:
        with open_file(name if isinstance(name, str) else file.path, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"is damaged ({reason})", path=file.path, remedy=AGAIN) from error


def shape_of(tensor: torch.Tensor) -> tuple[int, ...] | None:
    """Return the shape, None for a nested tensor, which has none."""
    with suppress(*WITHOUT_VALUES):
        return tuple(tensor.shape)
    return None


def load(file: ModelFile) -> dict[str, Any]:
    """Return the entries of a checkpoint, its tensors mapped from the file. Never more than `weights_only=True` allows.

    Raises
    ------
    ModelError
        It would import something (the text names what), or it is damaged.
    """
    source = for_torch(file.file)
    mapped = isinstance(source, str) and bool(file.members)  # the format before PyTorch 1.6 is no archive
    try:
        # else what wrong indices of sparse tensors lead to is read
        with torch.sparse.check_sparse_tensor_invariants(True), warnings.catch_warnings():  # type: ignore[no-untyped-call]
            warnings.simplefilter("ignore")  # which layouts are new or old
            found = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except FAILURES as error:
        unsafe: list[str] = []
        with suppress(*FAILURES):
            unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(for_torch(file.file)))
        if unsafe:
            names = ", ".join(map(printable, unsafe[:8]))
            reason, remedy = f"is not loaded: it would import {names}, which could run anything", STATE_DICT_ONLY
        else:
            reason, remedy = "cannot be loaded as a checkpoint, its contents are damaged", AGAIN
        raise ModelError(reason, path=file.path, remedy=remedy) from error
    entries = found if isinstance(found, dict) else {"state_dict": {"value": found}}
    return {str(key): entry for key, entry in entries.items()}


def state_dict_of(entries: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint: its state_dict, or whatever tensors it holds at its top."""
    for inner in (*(entries.get(name) for name in STATE_DICTS), entries):
        values = inner.items() if isinstance(inner, Mapping) else ()
        tensors = {str(key): value for key, value in values if isinstance(value, torch.Tensor)}
        if tensors:
            return tensors
    return {}


def config_of(path: Path, entries: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], str] | None:
    """Return (training config, where it was found): inside the checkpoint, or in a JSON or a config.gin next to it.

    A JSON of the same name belongs to the file; one of a common name (`model_config.json`) is used only where the
    weights, too, are those of Stable Audio Tools: the folder may hold other models.
    """
    for name in CONFIGS:
        inner = entries.get(name)
        if isinstance(inner, Mapping) and inner:
            return dict(inner), name
    trainer = trainer_of(_names(entries, tensors))
    if trainer is not None and trainer.writes_gin:
        bindings = gin_config(path)
        if bindings is not None:
            return bindings
    common = ("model_config.json", "config.json") if _has_sat_weights(tensors) else ()
    for beside in (path.with_suffix(".json"), *(path.with_name(name) for name in common)):
        found = None
        with suppress(ValueError, RecursionError):
            found = json.loads(_text_of(beside) or "null")
        if isinstance(found, dict) and ("model" in found or "model_type" in found) and "format_version" not in found:
            return found, f"{printable(beside.name)} beside it"
    return None


def parts(path: Path, entries: Mapping[str, Any], tensors: Tensors) -> Iterator[Part]:
    """Yield what a checkpoint states: its config first, else the shapes of its weights."""
    yield {"parameters": sum(tensor.numel() for tensor in tensors.values())}
    numbers = ("pytorch-lightning_version", "epoch", "global_step", "step")
    yield {"details": {name: entries[name] for name in numbers if isinstance(entries.get(name), (int, str))}}
    versions = (entries.get(name) for name in TORCH_VERSIONS)
    yield {"torch_version": next((str(version) for version in versions if isinstance(version, str)), None)}
    if set(tensors) >= RAVE_KEYS:
        yield {"family": "RAVE", "mark": "keys latent_pca, latent_mean and fidelity"}
        yield {"full_dims": int(tensors["latent_mean"].numel())}
        yield {"warnings": ["a training checkpoint: the other scripts need its export (.ts)"]}
        return
    trainer = trainer_of(_names(entries, tensors))
    if trainer is not None:
        yield {"family": trainer.family, "mark": f"the name {trainer.mark.decode()} in it"}
    weights = _oobleck_weights(tensors)
    if weights:
        yield {"family": SAT, "mark": f"keys {FIRST_IN} and {FIRST_OUT}"}
    found = config_of(path, entries, tensors)
    configured = {}
    if found is not None and _is_sat_config(found[0]):
        configured = _sat_config(*found)
    elif any(key.startswith(SAT_PREFIXES) for key in tensors):
        yield {"family": SAT, "mark": "prefixes of the keys in its state_dict"}
    yield configured
    for fact, unit in (("dims", "dims"), ("in_channels", "channels in")):
        if weights and configured.get(fact) not in (None, weights[fact]):
            warning = f"the config says {configured[fact]} {unit}, the weights have {weights[fact]}"
            yield {"warnings": [warning]}
    yield weights


def _names(entries: Mapping[str, Any], tensors: Tensors) -> bytes:
    return "\n".join([*entries, *tensors]).encode("utf-8", "replace")


def _has_sat_weights(tensors: Tensors) -> bool:
    if set(tensors) >= RAVE_KEYS:
        return False
    return any(key.startswith(SAT_PREFIXES) for key in tensors) or {FIRST_IN, FIRST_OUT} <= set(tensors)


def _is_sat_config(config: Mapping[str, Any]) -> bool:
    return isinstance(config.get("model_type"), str) and isinstance(config.get("model"), Mapping)


def _sat_config(config: Mapping[str, Any], where: str) -> Part:
    part: Part = {"family": SAT, "mark": f"model_type in {where}", "details": {"model type": config["model_type"]}}
    rate = config.get("sample_rate")
    if isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 < rate < 1e9:
        part["sample_rate"] = int_if_whole(float(rate))
    if not isinstance(_at(config, "model.encoder"), Mapping) and isinstance(_at(config, "model.pretransform"), Mapping):
        config = {**config, "model": _at(config, "model.pretransform.config")}  # the autoencoder of a diffusion model
    for fact, places in SAT_COUNTS.items():
        part[fact] = next((value for value in (_at(config, place) for place in places) if _is_count(value)), None)
    kinds = {name: _at(config, f"model.{name}.type") for name in ("encoder", "decoder", "bottleneck")}
    kinds = {name: kind for name, kind in kinds.items() if isinstance(kind, str)}
    if "bottleneck" in kinds:
        part["details"]["bottleneck"] = kinds.pop("bottleneck")
    return part | kinds


def _oobleck_weights(tensors: Tensors) -> dict[str, int]:
    """Channels and dims from the shapes of an oobleck autoencoder's outer layers: weight_v is [out, in, kernel]."""
    prefix = next((p for p in ("", *SAT_PREFIXES) if p + FIRST_IN in tensors and p + FIRST_OUT in tensors), None)
    if prefix is None:
        return {}
    first, last = (shape_of(tensors[prefix + name]) or () for name in (FIRST_IN, FIRST_OUT))
    return {"dims": last[1], "in_channels": first[1]} if len(first) == len(last) == 3 else {}


def _at(config: object, place: str) -> object:
    """Return the entry of nested dicts at a place such as `model.encoder.type`, or None."""
    for name in place.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def gin_config(checkpoint: Path) -> tuple[dict[str, Any], str] | None:
    """Return (bindings, file name) of the config.gin beside a checkpoint, or up to two folders above it."""
    for folder in checkpoint.absolute().parents[:LEVELS]:
        text = _text_of(folder / "config.gin")
        if text is not None:
            return _gin_values(text), "config.gin"
    return None


def _text_of(path: Path) -> str | None:
    """Return what a config holds; None where there is no such file, or one that is no config by its size."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= CONFIG_BYTES:
            return path.read_text("utf-8-sig", "replace")
    return None


def _gin_values(text: str) -> dict[str, Any]:
    """Return name -> value: numbers, strings, lists and dicts as such; references and macros (`@x`, `%X`) as text."""
    found: dict[str, Any] = {}
    scope = ""
    for line in _logical_lines(text):
        if re.fullmatch(r"\S+:", line):  # the lines below it, indented, belong to it
            scope = line[:-1] + "."
            continue
        name, equals, value = line.partition("=")
        if equals:
            found[(scope if line[0].isspace() else "") + name.strip()] = _gin_value(value.strip())
    return found


def _logical_lines(text: str) -> list[str]:
    """Join what goes on in the next line; leave comments out."""
    lines, begun = [], ""
    for raw in text.splitlines():
        line = re.sub(r"#[^'\"]*$", "", raw).rstrip()
        begun = f"{begun} {line.strip()}" if begun.strip() else line
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip()
        elif begun.strip() and sum(map(begun.count, "([{")) <= sum(map(begun.count, ")]}")) and begun[-1] != "=":
            lines.append(begun)
            begun = ""
    return lines


def _gin_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
