"""Conditions: what decode takes beside the latents, such as the pitch of a vschaos2 model, one value per file."""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError
from unravel_lib.models.direction import Block, CallError
from unravel_lib.models.torchscript import Module, value
from unravel_lib.text import did_you_mean, printable

Values = npt.NDArray[np.float32]  # one per condition, in the order of decode's inputs


def condition_names(module: Module, dims: int, decode_channels: int) -> tuple[str, ...]:
    """Return the names of decode's inputs behind the latents; none where the model names no such inputs."""
    labels = value(module, "decode_input_labels")
    if not isinstance(labels, list) or len(labels) != decode_channels or decode_channels <= dims:
        return ()
    return tuple(_name(str(label)) for label in labels[dims:])


def encoder_conditions(module: Module) -> tuple[str, ...]:
    """Return the names of what encode takes beside the sound."""
    labels = value(module, "encode_input_labels")
    found = [str(label) for label in labels] if isinstance(labels, list) else []
    return tuple(_name(label) for label in found if re.search(r" label\b", label))


def _name(label: str) -> str:
    """Return the name in a label that nn~ shows at an inlet: "(signal) pitch label (0-12)" -> "pitch"."""
    return re.sub(r"\([^)]*\)", "", label).strip().removesuffix(" label")


def condition_values(where: str, names: tuple[str, ...], given: Mapping[str, float]) -> Values:
    """Return the values of a model's conditions in their order, 0 for those that are not given.

    Parameters
    ----------
    where : the model's name, for errors
    names : of its conditions
    given : name -> value

    Raises
    ------
    UsageError
        The model has no condition of that name.
    """
    for name in given:
        if not names:
            raise UsageError(f"{where} decodes without conditions: leave `condition` out")
        if name not in names:
            raise UsageError(
                f"{where} has no condition {printable(name)}: its conditions are {printable(', '.join(names))}"
                f"{did_you_mean(name, names)}"
            )
    return np.array([given.get(name, 0.0) for name in names], np.float32)


def with_conditions(latents: Block, values: Values) -> Block:
    """Append the conditions to latents [..., dims, frames], one constant row each."""
    if not len(values):
        return latents
    rows = np.broadcast_to(values[:, np.newaxis], (*latents.shape[:-2], len(values), latents.shape[-1]))
    return np.concatenate([latents, rows], axis=-2)


def naming_conditions(sound: Iterator[Block], given: Mapping[str, float]) -> Iterator[Block]:
    """Yield decoded sound; where the model fails, the error names the conditions: one may be out of range."""
    try:
        yield from sound
    except CallError as error:
        if not given:
            raise
        values = " ".join(f"{name}={number:g}" for name, number in given.items())
        text = f"{error} (with `condition` {printable(values)}: is one of them out of range?)"
        raise CallError(text, error.frames) from error
