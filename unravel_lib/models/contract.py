"""The contract of a model: rate, compression, dims and channels, and its two directions, read off the model itself."""

import contextlib
import logging
import math
from dataclasses import dataclass

import torch

from unravel_lib.errors import ModelError, UsageError
from unravel_lib.models import torchscript
from unravel_lib.models.conditions import condition_names, encoder_conditions
from unravel_lib.models.direction import Direction
from unravel_lib.models.probe import Probe
from unravel_lib.models.torchscript import MODEL_ERRORS, Module
from unravel_lib.text import printable

RATE_NAMES = ("sr", "sampling_rate", "sample_rate")
FALLBACK_RATE = 44100.0  # Hz, what most RAVE models are trained at

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contract:
    """The interface of a model: encode(x[B, in_channels, n]) -> z[B, dims, ceil(n / compression)], and back.

    `sample_rate` in Hz, `compression` in samples per frame. `nan_is_silence`: its encode gives NaN for silence.
    `conditions`: names of what decode takes behind the latents.
    """

    sample_rate: float
    compression: int
    dims: int
    in_channels: int
    out_channels: int
    nan_is_silence: bool = False
    conditions: tuple[str, ...] = ()

    @property
    def encode(self) -> Direction:
        """Sound to latents."""
        return Direction("encode", self.in_channels, self.compression, self.dims, 1, self.nan_is_silence)

    @property
    def decode(self) -> Direction:
        """Latents, and conditions, to sound."""
        return Direction("decode", self.dims + len(self.conditions), 1, self.out_channels, self.compression)


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
    for owner in (module, torchscript.inner_rave(module)):
        for name in RATE_NAMES:
            rate = _as_rate(getattr(owner, name, None))
            if rate is not None:
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


def read_contract(probe: Probe, sample_rate: float | None) -> Contract:
    """Read the contract off a loaded module; probes with silence only for what its buffers do not state.

    Raises
    ------
    ModelError
        encode or decode is missing or its result has another shape.
    UsageError
        `sample_rate` contradicts the model.
    """
    where, module = probe.where, probe.state.module
    stated = torchscript.stated_methods(module)
    for needed in ("encode", "decode"):
        if needed not in {*stated, *torchscript.compiled_methods(module)}:
            raise ModelError(f"{where} has no {needed}: its methods are {', '.join(stated)}")
    if names := encoder_conditions(module):
        raise ModelError(f"{where} encodes with conditions ({printable(', '.join(names))}), which is not supported")
    encode, decode = method_params(module, "encode"), method_params(module, "decode")
    in_channels = encode[0] if encode else probe.in_channels()
    if encode and encode[1] == 1:
        dims, compression = encode[2], encode[3]
    else:
        dims, compression = probe.dims_and_compression(in_channels)
    out_channels = decode[2] if decode else probe.out_channels(dims)
    conditions = condition_names(module, dims, decode[0]) if decode else ()
    if decode and decode[0] != dims + len(conditions):
        raise ModelError(f"{where} encodes {dims} dims but decodes {decode[0]}: it cannot decode its own latents")
    rate = _sample_rate(stated_sample_rate(module), sample_rate, where)
    spherical = torchscript.class_name(module).startswith("Spherical")  # an angle of silence is 0/0
    return Contract(rate, compression, dims, in_channels, out_channels, spherical, conditions)


def _sample_rate(stated: float | None, given: float | None, where: str) -> float:
    if stated is not None and given is not None and stated != given:
        raise UsageError(f"{where} says that it runs at {stated:g} Hz, not {given:g}: leave `sample_rate` out")
    if stated is None and given is None:
        log.warning("%s does not say its sample rate: taking 44100 Hz (`sample_rate` changes that)", where)
    return stated or given or FALLBACK_RATE
