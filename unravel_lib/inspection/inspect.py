"""Facts about any model file: its family, inputs and outputs, tensors. No file is trusted."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unravel_lib.errors import InputError, ModelError, UnravelError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.inspection import checkpoints, exports, families
from unravel_lib.inspection.facts import Facts, json_value
from unravel_lib.inspection.tensors import SafeTensors
from unravel_lib.models import torchscript
from unravel_lib.models.context import OutOfTimeError
from unravel_lib.models.contract import FALLBACK_RATE
from unravel_lib.models.model import Model
from unravel_lib.models.screening import object_table
from unravel_lib.models.screening.model_file import Kind, ModelFile, open_model
from unravel_lib.models.state import weights_sha256
from unravel_lib.models.torchscript import MODEL_ERRORS, prints_logged
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
    facts = Facts(name=path.name, path=str(path))
    found = Inspection(facts)
    try:
        if path.is_file():
            facts.bytes, facts.sha256 = path.stat().st_size, sha256_of(path)
        with prints_logged(path.name), open_model(path) as file:
            _open(file, found, trust)
    except (ModelError, InputError) as error:
        found.failure = error
        facts.warnings.append(str(error).removeprefix(f"{printable(path)} "))
        return found
    if found.module is not None:
        try:
            with prints_logged(path.name):
                _read_module(path, found.module, found, measure)
        except Exception as error:  # also an error in this program: the facts so far are kept
            log.debug("traceback of the failure below", exc_info=True)
            facts.warnings.append(f"failed unexpectedly: {unexpected_error(error)}")
            found.failure = ModelError(f"{printable(path)} {facts.warnings[-1]}")
    facts.details, facts.attributes = json_value(facts.details), json_value(facts.attributes)
    return found


def _open(file: ModelFile, found: Inspection, trust: bool) -> None:
    """Load what is in the file, and fill in the facts that need no module."""
    facts = found.facts
    facts.kind = file.kind.value
    if file.kind is not Kind.SAFETENSORS:
        facts.format_version = file.format_version()
    if file.kind is Kind.TORCHSCRIPT:
        _class_in_file(file, facts)
        found.module = torchscript.load(file, trust)
        found.declared = torchscript.declared_attributes(file, torchscript.qualified_class_name(found.module))
        return
    file.check()
    if file.kind is Kind.SAFETENSORS:
        found.tensors = SafeTensors(file)
        found.entries = found.tensors.metadata
    else:
        found.entries = checkpoints.load(file)
        found.tensors = checkpoints.state_dict_of(found.entries)
    if not found.tensors:
        facts.warnings.append("it holds no tensors")
    checkpoints.read(file.path, found.entries, found.tensors, facts)


def _class_in_file(file: ModelFile, facts: Facts) -> None:
    """Fill in the family by the class of the outermost object, the first name in data.pkl; nothing is loaded."""
    facts.details["code members"] = len(file.code_members())
    try:
        names = object_table.imports(file.member("data.pkl") or b"")
    except (ModelError, ValueError, IndexError):
        return
    if names and names[0].startswith("__torch__."):
        facts.details["class"] = names[0].rpartition(".")[2]
        families.identify(facts.details["class"], None, facts)


def _read_module(path: Path, module: torchscript.Module, found: Inspection, measure: bool) -> None:
    facts = found.facts
    facts.family = facts.version = facts.mark = None  # identified again, by all the marks
    try:
        exports.read(module, facts)
    except MODEL_ERRORS as error:
        facts.warnings.append(f"its attributes cannot be read: {last_line(error)}")
    found.tensors = module.state_dict()
    facts.weights_sha256 = weights_sha256(module)
    names = {method.name for method in facts.methods or []} | set(torchscript.compiled_methods(module))
    codec = {"encode", "decode"} <= names
    if codec and facts.sample_rate is None:
        facts.warnings.append("does not say its sample rate: give `sample_rate` to the other scripts")
    sane = (facts.compression or 1) <= MAX_COMPRESSION and max(facts.dims or 1, facts.in_channels or 1) <= MAX_DIMS
    if not sane:
        facts.warnings.append("its compression, dims or channels are implausible: not run")
    elif codec and measure and exports.round_trip(facts):
        _measure(path, module, facts)
    elif facts.streaming is False:
        facts.delay_samples = 0


def _measure(path: Path, module: torchscript.Module, facts: Facts) -> None:
    """Run the model to find its delay and its receptive field; a model that cannot be run gives a warning."""
    try:
        model = Model(path, module, torch.device("cpu"), facts.sample_rate or FALLBACK_RATE)
        facts.streaming = model.streaming
        coded = facts.details.get("latents") == families.CODES  # codes hide small changes
        model.measure_until = time.monotonic() + MEASURE_SECONDS
        for method in ("decode",) if coded else ("encode", "decode"):
            try:
                context = getattr(model, f"{method}_context")
            except OutOfTimeError:
                facts.warnings.append(
                    f"receptive field of {method} not measured: it would take longer than {MEASURE_SECONDS:.0f} s"
                )
                continue
            setattr(facts, f"{method}_context", None if context is None else (context.left, context.right))
        if model.random_methods:
            facts.details["random parts"] = ", ".join(f"{method} is random" for method in model.random_methods)
        if model.delay is not None:
            facts.encode_delay, facts.decode_delay = model.delay.encode_samples, model.delay.decode_samples
            facts.delay_samples = facts.encode_delay + facts.decode_delay
        facts.dims, facts.compression = facts.dims or model.dims, facts.compression or model.compression
        facts.in_channels = facts.in_channels or model.in_channels
        facts.out_channels = facts.out_channels or model.out_channels
    except (UnravelError, *MODEL_ERRORS) as error:
        facts.warnings.append(f"delay and receptive field could not be measured: {last_line(error)}")
