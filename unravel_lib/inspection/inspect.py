"""One model file inspected, which is not trusted: what is known about it, its tensors and its attributes."""

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
from unravel_lib.inspection.facts import Attribute, Facts, Part, TensorStatistics, joined, json_value
from unravel_lib.models import torchscript
from unravel_lib.models.behaviour import OutOfTimeError
from unravel_lib.models.contract import FALLBACK_RATE
from unravel_lib.models.model import Model
from unravel_lib.models.screening.model_file import Kind, ModelFile, open_model
from unravel_lib.models.torchscript import MODEL_ERRORS, prints_logged, weights_sha256
from unravel_lib.text import last_line, printable, unexpected_error

MAX_COMPRESSION = 1 << 16  # samples per frame; RAVE has up to 8192
MAX_DIMS = 4096
MEASURE_SECONDS = 30.0  # for both receptive fields
VALUE_CHARACTERS = 4000

log = logging.getLogger(__name__)


@dataclass
class Inspection:
    """One model file, and what is known about it.

    Attributes
    ----------
    facts : what it states
    tensors : its state_dict; tensors are read as they are used
    module : the loaded TorchScript module, None for checkpoints
    entries : the data of the module, or the entries of a checkpoint at its top level
    configured : the training config of a checkpoint, and where it was found; None for none
    failure : why it could not be opened, None if it was; then only the facts that follow from its bytes are known
    """

    facts: Facts
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    module: torchscript.Module | None = None
    entries: Mapping[str, Any] = field(default_factory=dict)
    configured: tuple[dict[str, Any], str] | None = None
    failure: UnravelError | None = None

    def config(self) -> dict[str, Any]:
        """Return the training config of a checkpoint.

        Raises
        ------
        ModelError
            There is none, neither inside nor next to it.
        """
        if self.configured is None:
            found = "is a TorchScript export, which keeps" if self.module is not None else "has"
            remedy = "a checkpoint has it inside, in a JSON of its name beside it, or in the config.gin of its run"
            raise ModelError(f"{found} no training config", path=self.facts.path, remedy=remedy)
        return dict(json_value(self.configured[0]))

    def statistics(self) -> list[TensorStatistics]:
        """Return the statistics of all tensors."""
        return [describe(key, tensor) for key, tensor in self.tensors.items()]

    def tensor_rows(self) -> list[tuple[str, str]]:
        """Return the key of each tensor, with shape and dtype: `4x2x7 float32`."""
        return [(key, f"{_shape(tensor) or 'single'} {_dtype(tensor)}") for key, tensor in self.tensors.items()]

    def tensor_text(self, key: str) -> str:
        """Return shape, dtype, statistics and values."""
        return f"{printable(key)}: {_tensor_text(self.tensors[key])}"

    def attributes(self) -> list[Attribute]:
        """Return what each attribute is; nothing is called."""
        found = [Attribute(name, "data", _type_name(entry)) for name, entry in self.entries.items()]
        if self.module is None:
            return found
        signatures, properties = torchscript.signatures(self.module), torchscript.properties(self.module)
        methods = [Attribute(name, "method", *signature) for name, signature in signatures.items()]
        text = "{} (a property: reading it runs code)"
        return methods + [Attribute(name, "property", text.format(name)) for name in properties] + found

    def data_text(self, name: str) -> str:
        """Return the value of an attribute that is data; a module as PyTorch shows it."""
        value = self.entries[name]
        if isinstance(value, torch.Tensor):
            return f"{printable(name)}: data, {_tensor_text(value)}"
        return f"{printable(name)}: data, {_type_name(value)}\n{_indented(str(json_value(value)))}"

    def result_text(self, name: str, kind: str) -> str:
        """Return the result of a method or a property. Runs code of the model.

        Raises
        ------
        ModelError
            It fails.
        """
        try:
            with prints_logged(self.facts.name):
                value = getattr(self.module, name) if kind == "property" else getattr(self.module, name)()
        except MODEL_ERRORS as error:
            raise ModelError(f"failed when called: {last_line(error)}", path=name) from error
        return _indented(_tensor_text(value) if isinstance(value, torch.Tensor) else str(json_value(value)))


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
    except Exception as error:
        found.failure = ModelError(f"failed unexpectedly: {unexpected_error(error)}", path=path)
        if isinstance(error, UnravelError):
            found.failure = error
        else:  # an error in this program: the facts so far are kept
            log.debug("traceback of the failure below", exc_info=True)
        parts.append({"warnings": [str(found.failure).removeprefix(f"{printable(path)} ")]})
    found.facts = joined(parts)
    return found


def _open(file: ModelFile, found: Inspection, trust: bool) -> Iterator[Part]:
    """Load what is in the file; yield the facts that need no module."""
    yield {"kind": file.kind.value}
    if file.kind is not Kind.SAFETENSORS:
        version = file.member("version")
        yield {"format_version": None if version is None else version.decode("ascii", "replace").strip()[:20]}
    if file.kind is Kind.TORCHSCRIPT:
        found.module = torchscript.load(file, trust)
        found.entries = torchscript.data(file, found.module)
        return
    file.check()
    if file.kind is Kind.SAFETENSORS:
        found.tensors, found.entries = checkpoints.load_safetensors(file)
    else:
        found.entries = checkpoints.load(file)
        found.tensors = checkpoints.state_dict_of(found.entries)
    if not found.tensors:
        yield {"warnings": ["it holds no tensors"]}
    found.configured = checkpoints.config_of(file.path, found.entries, found.tensors)
    yield from checkpoints.parts(found.entries, found.tensors, found.configured)


def _read_module(path: Path, module: torchscript.Module, parts: list[Part], measure: bool) -> None:
    """Add what a loaded module states, and what running it shows."""
    exports.add_stated(module, parts)
    parts.append({"weights_sha256": weights_sha256(module)})
    facts = joined(parts)
    codec = {"encode", "decode"} <= set(torchscript.compiled_methods(module))
    if codec and facts.sample_rate is None:
        parts.append({"warnings": ["does not say its sample rate: the other scripts have to be told"]})
    if (facts.compression or 1) > MAX_COMPRESSION or max(facts.dims or 1, facts.in_channels or 1) > MAX_DIMS:
        parts.append({"warnings": ["its compression, dims or channels are implausible: not run"]})
    elif codec and measure:
        try:
            parts.extend(_measured(path, module, facts))
        except (UnravelError, *MODEL_ERRORS) as error:
            reason = error.found if isinstance(error, UnravelError) else last_line(error)
            parts.append({"warnings": [f"delay and receptive field could not be measured: {reason}"]})
    elif facts.streaming is False:
        parts.append({"delay_samples": 0})


def _measured(path: Path, module: torchscript.Module, facts: Facts) -> Iterator[Part]:
    """Run the model to find its delay and its receptive field."""
    model = Model(path, module, torch.device("cpu"), facts.sample_rate or FALLBACK_RATE)
    yield {"streaming": model.streaming}
    coded = facts.details.get("latents") == exports.CODES  # codes hide small changes
    deadline = time.thread_time() + MEASURE_SECONDS
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


def describe(key: str, tensor: torch.Tensor) -> TensorStatistics:
    """Return shape, dtype, mean, standard deviation (of the population), minimum and maximum of one tensor.

    They are computed in float64; complex values are described by their magnitudes. Values that share memory have none:
    there may be more than fit into memory.
    """
    described = TensorStatistics(key, _shape(tensor), _dtype(tensor))
    with suppress(*checkpoints.WITHOUT_VALUES):
        values = tensor.detach().dequantize() if tensor.is_quantized else tensor.detach()
        if values.numel() * values.element_size() <= values.untyped_storage().nbytes():
            numbers = (values.abs() if values.is_complex() else values).to(torch.float64)
            (low, high), (std, mean) = torch.aminmax(numbers), torch.std_mean(numbers, correction=0)
            return described._replace(mean=float(mean), std=float(std), min=float(low), max=float(high))
    return described


def _tensor_text(tensor: torch.Tensor) -> str:
    """Return shape, dtype, statistics and values, as PyTorch writes them: those of a large tensor by its ends."""
    facts, values = describe("", tensor), "values that cannot be shown"
    torch.set_printoptions(precision=6, linewidth=100)  # type: ignore[no-untyped-call]
    with suppress(*checkpoints.WITHOUT_VALUES):
        values = str(tensor.detach())
    numbers = f"mean {facts.mean:.6g}, std {facts.std:.6g}, min {facts.min:.6g}, max {facts.max:.6g}"
    shape = facts.shape.replace("x", " x ") or "a single value"
    return f"{shape}, {facts.dtype}\n{_indented(numbers)}\n{_indented(values)}"


def _type_name(value: object) -> str:
    return printable(getattr(value, "original_name", None) or type(value).__name__)


def _dtype(tensor: torch.Tensor) -> str:
    """Return the dtype as NumPy names it: `float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: torch.Tensor) -> str:
    shape = checkpoints.shape_of(tensor)
    return "nested" if shape is None else "x".join(map(str, shape))


def _indented(text: str) -> str:
    text = text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]} ..."
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())
