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

from unravel_lib.errors import ModelError, is_number
from unravel_lib.inspection.facts import Part, count
from unravel_lib.models.screening.model_file import AGAIN, ModelFile, Trainer, for_torch, trainer_of
from unravel_lib.text import last_line, printable

STATE_DICTS = ("state_dict", "model_state_dict", "model_state", "model", "ema", "weights")
CONFIGS = ("model_config", "hyper_parameters", "config", "cfg", "hparams")
CONFIG_BYTES = 8 << 20  # a config next to a model is some KB
FIRST_IN, FIRST_OUT = "encoder.layers.0.weight_v", "decoder.layers.0.weight_v"  # of an oobleck autoencoder
RAVE, SAT = "RAVE", "Stable Audio Tools"
SAT_COUNTS = {  # where its config has a fact; the first that is a count
    "dims": ("model.latent_dim",),
    "compression": ("model.downsampling_ratio",),
    "in_channels": ("model.in_channels", "model.io_channels", "audio_channels"),
    "out_channels": ("model.out_channels", "model.io_channels", "audio_channels"),
}
STATE_DICT_ONLY = "save it again with its state_dict only"
TORCH_VERSIONS = ("torch_version", "pytorch_version")  # the names that trainers give it
GIN_BINDING = re.compile(r"^([^\s#=]+) *=(.*(?:\n[ \t]+.*)*)", re.MULTILINE)  # its other lines are indented
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
        raise ModelError(f"is damaged ({last_line(error)})", path=file.path, remedy=AGAIN) from error


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
    trainer = _trainer(entries, tensors)
    if trainer.writes_gin:
        for folder in path.absolute().parents[:LEVELS]:
            text = _text_of(folder / "config.gin")
            if text is not None:
                return gin_values(text), "config.gin"
    common = ("model_config.json", "config.json") if trainer.family == SAT else ()
    for beside in (path.with_suffix(".json"), *(path.with_name(name) for name in common)):
        found = None
        with suppress(ValueError, RecursionError):
            found = json.loads(_text_of(beside) or "null")
        if isinstance(found, dict) and ("model" in found or "model_type" in found) and "format_version" not in found:
            return found, f"{printable(beside.name)} beside it"
    return None


def parts(entries: Mapping[str, Any], tensors: Tensors, config: tuple[Mapping[str, Any], str] | None) -> Iterator[Part]:
    """Yield what a checkpoint states: its config, and the shapes of its weights."""
    yield {"parameters": sum(tensor.numel() for tensor in tensors.values())}
    numbers = ("pytorch-lightning_version", "epoch", "global_step", "step")
    yield {"details": {name: entries[name] for name in numbers if isinstance(entries.get(name), (int, str))}}
    versions = (entries.get(name) for name in TORCH_VERSIONS)
    yield {"torch_version": next((str(version) for version in versions if isinstance(version, str)), None)}
    trainer = _trainer(entries, tensors)
    if trainer.family:
        yield {"family": trainer.family, "mark": f"the name {trainer.mark.decode()} in it"}
    if trainer.family == RAVE:
        yield {"full_dims": tensors["latent_mean"].numel() if "latent_mean" in tensors else None}
        yield {"warnings": ["a training checkpoint: the other scripts need its export (.ts)"]}
    elif (
        config is not None and isinstance(config[0].get("model_type"), str) and isinstance(config[0].get("model"), dict)
    ):
        yield _sat_config(*config)
    yield _oobleck_weights(tensors)


def _trainer(entries: Mapping[str, Any], tensors: Tensors) -> Trainer:
    return trainer_of("\n".join([*entries, *tensors]).encode("utf-8", "replace"))


def _sat_config(config: Mapping[str, Any], where: str) -> Part:
    part: Part = {"family": SAT, "mark": f"model_type in {where}"}
    rate: Any = config.get("sample_rate")
    if is_number(rate) and 0 < rate < 1e9:
        part["sample_rate"] = float(rate)
    if not isinstance(_at(config, "model.encoder"), Mapping) and isinstance(_at(config, "model.pretransform"), Mapping):
        config = {**config, "model": _at(config, "model.pretransform.config")}  # the autoencoder of a diffusion model
    for fact, places in SAT_COUNTS.items():
        part[fact] = next(filter(None, (count(_at(config, place)) for place in places)), None)
    kinds = {name: _at(config, f"model.{name}.type") for name in ("encoder", "decoder", "bottleneck")}
    kinds = {name: kind if isinstance(kind, str) else None for name, kind in kinds.items()}
    return part | {"details": {"model type": config["model_type"], "bottleneck": kinds.pop("bottleneck")}} | kinds


def _oobleck_weights(tensors: Tensors) -> dict[str, int]:
    """Channels and dims from the shapes of an oobleck autoencoder's outer layers: weight_v is [out, in, kernel]."""
    layers = [[tensor for key, tensor in tensors.items() if key.endswith(name)] for name in (FIRST_IN, FIRST_OUT)]
    first, last = (shape_of(found[0]) or () if found else () for found in layers)
    return {"dims": last[1], "in_channels": first[1]} if len(first) == len(last) == 3 else {}


def _at(config: object, place: str) -> object:
    """Return the entry of nested dicts at a place such as `model.encoder.type`, or None."""
    for name in place.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def _text_of(path: Path) -> str | None:
    """Return what a config holds; None where there is no such file, or one that is no config by its size."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= CONFIG_BYTES:
            return path.read_text("utf-8-sig", "replace")
    return None


def gin_values(text: str) -> dict[str, Any]:
    """Return name -> value, as gin writes them: numbers, strings, lists and dicts as such; references as text."""
    return {name: _gin_value(value.replace("\\\n", "").strip()) for name, value in GIN_BINDING.findall(text)}


def _gin_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
