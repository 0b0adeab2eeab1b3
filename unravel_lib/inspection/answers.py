"""What the tensors and attributes of a model are: their statistics, and as text."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unravel_lib.errors import ModelError
from unravel_lib.inspection.checkpoints import WITHOUT_VALUES, config_of, shape_of
from unravel_lib.inspection.facts import TensorStatistics, json_value
from unravel_lib.inspection.inspect import Inspection
from unravel_lib.models import torchscript
from unravel_lib.models.torchscript import MODEL_ERRORS, Module, prints_logged
from unravel_lib.text import last_line, printable

VALUE_CHARACTERS = 4000
PRINTED_VALUES = 1000  # of a tensor with more, only the corners are printed


def config(found: Inspection) -> dict[str, Any]:
    """Return the training config of a checkpoint.

    Raises
    ------
    ModelError
        There is none, neither inside nor next to it.
    """
    path = Path(found.facts.path)
    if found.failure is not None:
        raise found.failure
    if found.module is not None:
        raise ModelError(
            "is a TorchScript export, which keeps no training config", path=path, remedy="give a checkpoint"
        )
    values, _ = config_of(path, found.entries, found.tensors) or (None, "")
    if values is None:
        name = printable(path.with_suffix(".json").name)
        needed = "config.gin: copy that of its run there" if found.facts.family == "RAVE" else f"JSON: name it {name}"
        raise ModelError(
            "has no training config inside, and none beside it that belongs to it",
            path=path,
            remedy=f"it would be in a {needed}",
        )
    return dict(json_value(values))


def statistics(found: Inspection) -> list[TensorStatistics]:
    """Return the statistics of all tensors."""
    return [describe(key, tensor) for key, tensor in found.tensors.items()]


def tensor_rows(found: Inspection) -> list[tuple[str, str]]:
    """Return the key of each tensor, with shape and dtype: `4x2x7 float32`."""
    return [(key, f"{_shape(tensor, 'x', 'single')} {dtype_of(tensor)}") for key, tensor in found.tensors.items()]


def tensor_text(found: Inspection, key: str) -> str:
    """Return shape, dtype, statistics and values."""
    return _tensor_text(key, found.tensors[key])


def _tensor_text(key: str, tensor: torch.Tensor) -> str:
    facts = describe(key, tensor)
    numbers = f"mean {facts.mean:.6g}, std {facts.std:.6g}, min {facts.min:.6g}, max {facts.max:.6g}"
    return f"{printable(key)}: {_shape(tensor)}, {facts.dtype}\n  {numbers}\n{_indented(values_text(tensor))}"


def attribute_kinds(found: Inspection) -> dict[str, str]:
    """Return what each attribute is: method, property or data; of a checkpoint, the entries at its top are data."""
    if found.module is None:
        return dict.fromkeys(found.entries, "data")
    return torchscript.attributes(found.module, found.declared)


def attribute_rows(found: Inspection) -> list[tuple[str, str, str]]:
    """Return name, kind and text of each attribute."""
    return [(name, kind, _attribute_line(found, name, kind)) for name, kind in attribute_kinds(found).items()]


def _attribute_line(found: Inspection, name: str, kind: str) -> str:
    """Return an attribute in a list: the signature of a method, the type of data."""
    if kind != "data" and found.module is not None:
        return f"{kind} {_signature(found.module, name, kind)}"
    try:
        value = _data(found, name)
    except ModelError:
        return "data that Python cannot represent"
    what = getattr(value, "original_name", None) or type(value).__name__
    return f"data {what}"


def data_text(found: Inspection, name: str) -> str:
    """Return the value of an attribute that is data."""
    value = _data(found, name)
    if isinstance(value, torch.Tensor):
        return _tensor_text(name, value).replace(": ", ": data, ", 1)
    what, text = type(value).__name__, _value_text(value)
    if isinstance(value, Module):
        what = f"module {printable(torchscript.class_name(value))}"
        text = "\n".join(f"{child}: {torchscript.class_name(part)}" for child, part in value.named_children())
    return f"{printable(name)}: data, {what}\n{_indented(text)}"


def callable_text(found: Inspection, name: str, kind: str) -> tuple[str, int]:
    """Return what a method or a property is, and how many arguments it needs; nothing is called."""
    if found.module is None:
        raise ValueError("a checkpoint has data only")
    text = f"{printable(name)}: {kind}\n  {printable(_signature(found.module, name, kind))}"
    return text, torchscript.needed_arguments(found.module, name) if kind == "method" else 0


def result_text(found: Inspection, name: str, kind: str) -> str:
    """Return the result of a method or a property. Runs code of the model.

    Raises
    ------
    ModelError
        It fails.
    """
    try:
        with prints_logged(found.facts.name):
            value = getattr(found.module, name) if kind == "property" else getattr(found.module, name)()
    except MODEL_ERRORS as error:
        raise ModelError(f"failed when called: {last_line(error)}", path=name) from error
    return _indented(_value_text(value))


def _signature(module: Module, name: str, kind: str) -> str:
    if kind == "property":
        return f"{name} (a property: reading it runs code)"
    return torchscript.signature(module, name)


def _data(found: Inspection, name: str) -> Any:
    try:
        return found.entries[name] if found.module is None else getattr(found.module, name)
    except MODEL_ERRORS as error:
        raise ModelError(f"cannot be read: {last_line(error)}", path=name) from error


def _value_text(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{_shape(value)}, {value.dtype}\n{values_text(value)}"
    return str(json_value(value))


def _shape(tensor: torch.Tensor, between: str = " x ", single: str = "a single value") -> str:
    shape = shape_of(tensor)
    return "nested" if shape is None else between.join(map(str, shape)) or single


def _indented(text: str) -> str:
    text = text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]} ..."
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())


def describe(key: str, tensor: torch.Tensor) -> TensorStatistics:
    """Return shape, dtype, mean, standard deviation (of the population), minimum and maximum of one tensor.

    They are computed in float64; complex values are described by their magnitudes.
    """
    described = TensorStatistics(key, shape_of(tensor), dtype_of(tensor))
    with suppress(*WITHOUT_VALUES):
        values = _values(tensor.detach())
        numbers = (values.abs() if values.is_complex() else values).to(torch.float64)
        (low, high), (std, mean) = torch.aminmax(numbers), torch.std_mean(numbers, correction=0)
        return replace(described, mean=float(mean), std=float(std), min=float(low), max=float(high))
    return described


def _values(tensor: torch.Tensor) -> torch.Tensor:
    """Return the values flat, those that an expanded tensor repeats once: its statistics are the same.

    Raises RuntimeError where there are still more values than the file can hold: parts that overlap in other ways.
    """
    if tensor.is_quantized:
        return tensor.dequantize().reshape(-1)
    for axis, step in enumerate(tensor.stride()):
        if step == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise RuntimeError("values that overlap")
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)  # that in the file: nothing is copied
    return tensor.permute(order).reshape(-1)


def dtype_of(tensor: torch.Tensor) -> str:
    """Return the dtype as NumPy names it: `float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def values_text(tensor: torch.Tensor) -> str:
    """Return the values as text, those of a large tensor by its corners; as PyTorch writes them where NumPy cannot."""
    tensor = tensor.detach()
    with suppress(*WITHOUT_VALUES):
        array = _corners(tensor) if tensor.numel() > PRINTED_VALUES else tensor
        array = array.float() if array.dtype in (torch.bfloat16, torch.float16) else array
        values = array.cpu().resolve_conj().resolve_neg().numpy()
        return np.array2string(values, precision=6, threshold=PRINTED_VALUES, max_line_width=100)
    with suppress(*WITHOUT_VALUES):
        return str(tensor)
    return "values that cannot be shown"


def _corners(tensor: torch.Tensor) -> torch.Tensor:
    """Return the first values along every axis, few enough to print."""
    most = 4 if tensor.dim() > 1 else 16
    for axis, size in enumerate(tensor.shape):
        tensor = tensor.narrow(axis, 0, min(size, most))
    return tensor
