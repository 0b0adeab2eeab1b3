"""The contract of a model: rate, compression, dims, channels and conditions, read off the model itself."""

import contextlib
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unravel_lib.errors import ModelError, UsageError
from unravel_lib.models import torchscript
from unravel_lib.models.torchscript import MODEL_ERRORS, Module, is_missing
from unravel_lib.text import printable

RATE_NAMES = ("sr", "sampling_rate", "sample_rate")
FALLBACK_RATE = 44100.0  # Hz, what most RAVE models are trained at
PROBE_SAMPLES = 1 << 17  # about 3 s: enough for a few frames at any compression in use
PROBE_FRAMES = 8
LIVE = ("source_model", "recordings", "minutes")  # what only live files have

Block = npt.NDArray[np.float32]  # [channels, n] or [batch, channels, n], sound or latents
Call = Callable[[str, torch.Tensor], Any]  # returns what a method gives for a signal [1, channels, n]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Direction:
    """Encode or decode: the shapes of a call.

    Attributes
    ----------
    method : encode or decode
    channels_in, channels_out : channels of sound, or dims
    step_in, step_out : values of a frame: compression for sound, 1 for latents
    nan_is_silence : NaN in the result stands for silence
    """

    method: str
    channels_in: int
    step_in: int
    channels_out: int
    step_out: int
    nan_is_silence: bool = False

    def values(self, result: torch.Tensor) -> Block:
        """Return a result as an array, 0 for NaN where that stands for silence."""
        array: Block = result.float().cpu().numpy()
        return np.nan_to_num(array, nan=0.0, posinf=np.inf, neginf=-np.inf) if self.nan_is_silence else array

    def shape_in(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return the shape of a signal of whole frames."""
        return batch, self.channels_in, frames * self.step_in

    def shape_out(self, batch: int, n: int) -> tuple[int, int, int]:
        """Return the shape of the result for a signal of `n` values per channel."""
        return batch, self.channels_out, math.ceil(n / self.step_in) * self.step_out


@dataclass(frozen=True)
class Contract:
    """The interface of a model: encode(x[B, in_channels, n]) -> z[B, dims, ceil(n / compression)], and back.

    `sample_rate` in Hz. `conditions`: names of what decode takes behind the latents, such as the pitch of a vschaos2
    model.
    """

    sample_rate: float
    encode: Direction
    decode: Direction
    conditions: tuple[str, ...] = ()

    def direction(self, method: str) -> Direction:
        """Return the shapes of encode, or of decode."""
        return self.encode if method == "encode" else self.decode


def with_conditions(latents: Block, values: Block) -> Block:
    """Append the conditions to latents [..., dims, frames], one constant row each."""
    if not len(values):
        return latents
    rows = np.broadcast_to(values[:, np.newaxis], (*latents.shape[:-2], len(values), latents.shape[-1]))
    return np.concatenate([latents, rows], axis=-2)


def method_params(module: Module, method: str) -> tuple[int, int, int, int] | None:
    """Return `<method>_params`: (in_channels, in_ratio, out_channels, out_ratio), or None.

    nn~ attributes have a buffer of that name too: those are float32 of one value.
    """
    params = getattr(module, f"{method}_params", None)
    if not isinstance(params, torch.Tensor) or params.numel() != 4 or params.is_floating_point():
        return None
    a, b, c, d = (int(value) for value in params.flatten().tolist())
    return (a, b, c, d) if min(a, b, c, d) > 0 else None


def stated_sample_rate(module: Module) -> float | None:
    """Return the sample rate in Hz that the model states, or None.

    RAVE 2 has `sr`, RAVE 1 and forks `sampling_rate`, Stable Audio `sample_rate`, nn_tilde from 1.6
    `get_sample_rate()`. A file that combines a RAVE with a prior may have it in the RAVE only.
    """
    owners = module, torchscript.inner_rave(module)
    rates = (_as_rate(getattr(owner, name, None)) for owner in owners for name in RATE_NAMES)
    if (rate := next(filter(None, rates), None)) is not None:
        return rate
    if "get_sample_rate" in torchscript.compiled_methods(module):
        with contextlib.suppress(*MODEL_ERRORS):  # one that fails states no rate
            return _as_rate(getattr(module, "get_sample_rate")())  # noqa: B009  its type is known at run time only
    return None


def _as_rate(value: object) -> float | None:
    """Return a number in Hz, or a tensor of one, as float; None for all else."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return float(value)
    return None


def condition_names(module: Module, dims: int, decode_channels: int) -> tuple[str, ...]:
    """Return the names of decode's inputs behind the latents; none where the model names no such inputs."""
    labels = torchscript.value(module, "decode_input_labels")
    if not isinstance(labels, list) or not dims < decode_channels == len(labels):
        return ()
    return tuple(_condition_name(str(label)) for label in labels[dims:])


def _condition_name(label: str) -> str:
    """Return the name in a label that nn~ shows at an inlet: "(signal) pitch label (0-12)" -> "pitch"."""
    return re.sub(r"\([^)]*\)", "", label).strip().removesuffix(" label")


def read_contract(module: Module, call: Call, path: Path, sample_rate: float | None) -> Contract:
    """Read the contract off a loaded module; calls it, with silence, only for what its buffers do not state.

    Raises
    ------
    ModelError
        encode or decode is missing or its result has another shape.
    UsageError
        `sample_rate` contradicts the model.
    """
    if torchscript.class_name(module) == "Live" and torchscript.has(module, *LIVE):
        found = "is a live file of generator.py, which plays on by itself in nn~: it neither encodes nor decodes"
        raise ModelError(found, path=path, remedy="give the model that its latents are of")
    stated = torchscript.stated_methods(module)
    for needed in ("encode", "decode"):
        if needed not in {*stated, *torchscript.compiled_methods(module)}:
            raise ModelError(f"has no {needed}: its methods are {printable(', '.join(stated))}", path=path)
    labels = torchscript.value(module, "encode_input_labels")
    names = [_condition_name(str(label)) for label in labels or () if re.search(r" label\b", str(label))]
    if names:
        raise ModelError(f"encodes with conditions ({printable(', '.join(names))}), which is not supported", path=path)
    encode, decode = method_params(module, "encode"), method_params(module, "decode")
    in_channels, _, dims, compression = encode or (0, 0, 0, 0)
    if not encode or encode[1] != 1:
        in_channels, latents = _probed(call, path, "encode", [in_channels] if encode else (1, 2), PROBE_SAMPLES)
        dims, frames = latents.shape[1:]
        _, sound = _probed(call, path, "decode", [dims], frames)
        compression, rest = divmod(sound.shape[2], frames)
        if rest:
            raise ModelError("cannot be used: decode does not take what encode gives", path=path)
    out_channels = decode[2] if decode else _probed(call, path, "decode", [dims], PROBE_FRAMES)[1].shape[1]
    conditions = condition_names(module, dims, decode[0]) if decode else ()
    if decode and decode[0] != dims + len(conditions):
        found = f"encodes {dims} dims but decodes {decode[0]}: it cannot decode its own latents"
        raise ModelError(found, path=path)
    rate = _sample_rate(stated_sample_rate(module), sample_rate, path)
    spherical = torchscript.class_name(module).startswith("Spherical")  # an angle of silence is 0/0
    into = Direction("encode", in_channels, compression, dims, 1, spherical)
    out = Direction("decode", dims + len(conditions), 1, out_channels, compression)
    return Contract(rate, into, out, conditions)


def _probed(call: Call, path: Path, method: str, channels: Sequence[int], n: int) -> tuple[int, torch.Tensor]:
    """Return how many channels a method takes, of those given, and its result for silence."""
    for count in channels:
        try:
            result = call(method, torch.zeros(1, count, n))
        except MODEL_ERRORS as error:
            if is_missing(error):
                raise
            continue
        if isinstance(result, torch.Tensor) and result.dim() == 3:
            return count, result
    wanted = " or ".join(map(str, channels))
    raise ModelError(f"is no audio codec: its {method} does not take {wanted} channels or dims", path=path)


def _sample_rate(stated: float | None, given: float | None, path: Path) -> float:
    if stated is not None and given is not None and stated != given:
        found = f"says that it runs at {stated:g} Hz, not {given:g}"
        raise UsageError(found, path=path, remedy="leave it out", remedy_options=("sample_rate",))
    if stated is None and given is None:
        found = "does not say its sample rate: taking 44100 Hz"
        log.warning(ModelError(found, path=path.name, remedy="set it", remedy_options=("sample_rate",)))
    return stated or given or FALLBACK_RATE
