"""What one tensor or attribute of a model is, as text."""

from typing import Any

import torch

from unravel_lib.errors import ModelError
from unravel_lib.inspection.facts import json_value
from unravel_lib.inspection.inspect import Inspection
from unravel_lib.inspection.tensors import describe, dtype_of, shape_of, values_text
from unravel_lib.models import torchscript
from unravel_lib.models.torchscript import MODEL_ERRORS, Module, prints_logged
from unravel_lib.text import last_line, printable

VALUE_CHARACTERS = 4000


def tensor_line(tensor: torch.Tensor) -> str:
    """Return shape and dtype for a list: `4x2x7 float32`."""
    shape = shape_of(tensor)
    return f"{'nested' if shape is None else 'x'.join(map(str, shape)) or 'single'} {dtype_of(tensor)}"


def tensor_text(key: str, tensor: torch.Tensor) -> str:
    """Return shape, dtype, statistics and values."""
    facts = describe(key, tensor)
    numbers = f"mean {facts.mean:.6g}, std {facts.std:.6g}, min {facts.min:.6g}, max {facts.max:.6g}"
    return f"{printable(key)}: {_shape(tensor)}, {facts.dtype}\n  {numbers}\n{_indented(values_text(tensor))}"


def attribute_kinds(found: Inspection) -> dict[str, str]:
    """Return what each attribute is: method, property or data; of a checkpoint, the entries at its top are data."""
    if found.module is None:
        return dict.fromkeys(found.entries, "data")
    return torchscript.attributes(found.module, found.declared)


def attribute_line(found: Inspection, name: str, kind: str) -> str:
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
        return tensor_text(name, value).replace(": ", ": data, ", 1)
    if isinstance(value, Module):
        parts = [f"{child}: {printable(torchscript.class_name(part))}" for child, part in value.named_children()]
        what = f"module {printable(torchscript.class_name(value))}"
        return f"{printable(name)}: data, {what}\n" + _indented("\n".join(parts))
    return f"{printable(name)}: data, {type(value).__name__}\n{_indented(_value_text(value))}"


def callable_text(module: Module, name: str, kind: str) -> str:
    """Return what a method or a property is; nothing is called."""
    return f"{printable(name)}: {kind}\n  {printable(_signature(module, name, kind))}"


def needed_arguments(module: Module, name: str, kind: str) -> int:
    """Return how many arguments must be given."""
    return torchscript.needed_arguments(module, name) if kind == "method" else 0


def result_text(module: Module, model_name: str, name: str, kind: str) -> str:
    """Return the result of a method or a property. Runs code of the model.

    Raises
    ------
    ModelError
        It fails.
    """
    try:
        with prints_logged(model_name):
            value = getattr(module, name) if kind == "property" else getattr(module, name)()
    except MODEL_ERRORS as error:
        raise ModelError(f"{printable(name)} failed when called: {last_line(error)}") from error
    return _indented(_value_text(value))


def _signature(module: Module, name: str, kind: str) -> str:
    if kind == "property":
        return f"{name} (a property: reading it runs code)"
    return torchscript.signature(module, name)


def _data(found: Inspection, name: str) -> Any:
    try:
        return found.entries[name] if found.module is None else getattr(found.module, name)
    except MODEL_ERRORS as error:
        raise ModelError(f"{printable(name)} cannot be read: {last_line(error)}") from error


def _value_text(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{_shape(value)}, {value.dtype}\n{values_text(value)}"
    return str(json_value(value))


def _shape(tensor: torch.Tensor) -> str:
    shape = shape_of(tensor)
    return "nested" if shape is None else " x ".join(map(str, shape)) or "a single value"


def _indented(text: str) -> str:
    text = text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]} ..."
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())
