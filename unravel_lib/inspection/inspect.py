"""Facts about any model file: its family, inputs and outputs, tensors. No file is trusted."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unravel_lib.errors import ModelError, UnravelError
from unravel_lib.files.find import sha256_of
from unravel_lib.inspection import checkpoints, exports
from unravel_lib.inspection.facts import Facts, Part, joined
from unravel_lib.models import torchscript
from unravel_lib.models.behaviour import OutOfTimeError
from unravel_lib.models.contract import FALLBACK_RATE
from unravel_lib.models.model import Model
from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.kinds import Kind
from unravel_lib.models.screening.model_file import ModelFile, open_model
from unravel_lib.models.torchscript import MODEL_ERRORS, prints_logged, weights_sha256
from unravel_lib.text import last_line, printable, unexpected_error

MAX_COMPRESSION = 1 << 16  # samples per frame; RAVE has up to 8192
MAX_DIMS = 4096
MEASURE_SECONDS = 30.0  # for both receptive fields

log = logging.getLogger(__name__)


@dataclass
class Inspection:
    """One model file, and what is known about it.

    Attributes
    ----------
    facts : what it states
    tensors : its state_dict; tensors are read as they are used
    module : the loaded TorchScript module, None for checkpoints
    declared : the attributes that the code of the module declares
    entries : the entries of a checkpoint at its top level
    failure : why it could not be opened, None if it was; then only the facts that follow from its bytes are known
    """

    facts: Facts
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    module: torchscript.Module | None = None
    declared: list[str] = field(default_factory=list)
    entries: Mapping[str, Any] = field(default_factory=dict)
    failure: UnravelError | None = None


def inspect(path: Path, trust: bool = False, measure: bool = True) -> Inspection:
    """Find the facts about a model file; of a file that cannot be opened, those that follow from its bytes.

    Parameters
    ----------
    trust : load TorchScript although its code could touch files (`trust_model`)
    measure : run the model to find its delay and receptive field, some seconds for a large one
    """
    parts: list[Part] = [{"name": path.name, "path": str(path)}]
    found = Inspection(joined(parts))
    try:
        if path.is_file():
            parts.append({"bytes": path.stat().st_size, "sha256": sha256_of(path)})
        with prints_logged(path.name):
            with open_model(path) as file:
                parts.extend(_open(file, found, trust))
            if found.module is not None:
                _read_module(path, found.module, parts, measure)
                found.tensors = found.module.state_dict()
    except UnravelError as error:
        found.failure = error
        parts.append({"warnings": [str(error).removeprefix(f"{printable(path)} ")]})
    except Exception as error:  # an error in this program: the facts so far are kept
        log.debug("traceback of the failure below", exc_info=True)
        reason = f"failed unexpectedly: {unexpected_error(error)}"
        found.failure = ModelError(reason, path=path)
        parts.append({"warnings": [reason]})
    found.facts = joined(parts)
    return found


def _open(file: ModelFile, found: Inspection, trust: bool) -> Iterator[Part]:
    """Load what is in the file; yield the facts that need no module."""
    yield {"kind": file.kind.value}
    if file.kind is not Kind.SAFETENSORS:
        version = file.member("version")
        yield {"format_version": None if version is None else version.decode("ascii", "replace").strip()[:20]}
    if file.kind is Kind.TORCHSCRIPT:
        yield _class_in_file(file)
        found.module = torchscript.load(file, trust)
        found.declared = torchscript.declared_attributes(file, torchscript.qualified_class_name(found.module))
        return
    file.check()
    if file.kind is Kind.SAFETENSORS:
        found.tensors, found.entries = checkpoints.load_safetensors(file)
    else:
        found.entries = checkpoints.load(file)
        found.tensors = checkpoints.state_dict_of(found.entries)
    if not found.tensors:
        yield {"warnings": ["it holds no tensors"]}
    yield from checkpoints.parts(file.path, found.entries, found.tensors)


def _class_in_file(file: ModelFile) -> Part:
    """Return the family by the class of the outermost object, the first name in data.pkl; nothing is loaded."""
    details: Part = {"code members": len(file.code_members())}
    outermost = ""
    with suppress(ModelError, ValueError, IndexError):
        outermost = next(object_table.imports(file.member("data.pkl") or b""), "")
    if not outermost.startswith("__torch__."):
        return {"details": details}
    name = outermost.rpartition(".")[2]
    return {"details": {**details, "class": name}, **exports.identify(name)[1]}


def _read_module(path: Path, module: torchscript.Module, parts: list[Part], measure: bool) -> None:
    """Add what a loaded module states, and what running it shows."""
    try:
        parts.extend(exports.parts(module))
    except MODEL_ERRORS as error:
        parts.append({"warnings": [f"its attributes cannot be read: {last_line(error)}"]})
    parts.append({"weights_sha256": weights_sha256(module)})
    facts = joined(parts)
    names = {method.name for method in facts.methods or []} | set(torchscript.compiled_methods(module))
    codec = {"encode", "decode"} <= names
    if codec and facts.sample_rate is None:
        parts.append({"warnings": ["does not say its sample rate: the other scripts have to be told"]})
    sane = (facts.compression or 1) <= MAX_COMPRESSION and max(facts.dims or 1, facts.in_channels or 1) <= MAX_DIMS
    if not sane:
        parts.append({"warnings": ["its compression, dims or channels are implausible: not run"]})
    elif codec and measure and not exports.mismatches(facts):
        try:
            parts.extend(_measured(path, module, facts))
        except (UnravelError, *MODEL_ERRORS) as error:
            parts.append({"warnings": [f"delay and receptive field could not be measured: {last_line(error)}"]})
    elif facts.streaming is False:
        parts.append({"delay_samples": 0})


def _measured(path: Path, module: torchscript.Module, facts: Facts) -> Iterator[Part]:
    """Run the model to find its delay and its receptive field."""
    model = Model(path, module, torch.device("cpu"), facts.sample_rate or FALLBACK_RATE)
    yield {"streaming": model.streaming}
    coded = facts.details.get("latents") == exports.CODES  # codes hide small changes
    deadline = time.monotonic() + MEASURE_SECONDS
    for method in ("decode",) if coded else ("encode", "decode"):
        try:
            context = model.context(method, deadline)
            yield {f"{method}_context": None if context is None else (context.left, context.right)}
        except OutOfTimeError:
            reason = f"it would take longer than {MEASURE_SECONDS:.0f} s"
            yield {"warnings": [f"receptive field of {method} not measured: {reason}"]}
    if model.random_methods:
        yield {"details": {"random parts": ", ".join(f"{method} is random" for method in model.random_methods)}}
    if model.delay is not None:
        encode, decode = model.delay.encode_samples, model.delay.decode_samples
        yield {"encode_delay": encode, "decode_delay": decode, "delay_samples": encode + decode}
    for fact in ("dims", "compression", "in_channels", "out_channels"):
        yield {fact: getattr(facts, fact) or getattr(model, fact)}
