"""The contract of a model: rate, compression, dims, channels, streaming or not, read off the model itself."""

import contextlib
import logging
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from unravel_lib.errors import ModelError, UsageError
from unravel_lib.models.state import State

FALLBACK_RATE = 44100.0  # Hz, what most RAVE models are trained at
# What a TorchScript module raises: torch.jit.Error, which is no RuntimeError, where its own code does; the others where
# PyTorch does, or where an answer is not what was promised.
MODEL_ERRORS = (torch.jit.Error, RuntimeError, ValueError, IndexError, TypeError, AttributeError)
PROBE_SAMPLES = 1 << 17  # about 3 s: enough for a few frames at any compression in use

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contract:
    """What a model promises: encode(x[B, in_channels, n]) -> z[B, dims, ceil(n / compression)], and back."""

    sample_rate: float
    compression: int
    dims: int
    in_channels: int
    out_channels: int


def methods_of(module: Any) -> list[str]:
    """The names of a TorchScript module's methods: what it says itself, else what it defines."""
    if hasattr(module, "get_methods"):
        named = module.get_methods()
        if isinstance(named, (list, tuple)) and named:
            return [str(name) for name in named]
    return [name for name in module._c._method_names() if not name.startswith("_")]


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """While the code of a model runs, what it prints goes to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def call_method(module: Any, method: str, x: torch.Tensor) -> Any:
    """Call a method of a TorchScript module by the plain interpreter.

    The profiling one recompiles for new shapes and fuses after a few calls: slower on short files, and the bytes of a
    file would depend on how many came before it.
    """
    with prints_to_stderr(), torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        return getattr(module, method)(x)


def method_params(module: Any, method: str) -> tuple[int, int, int, int] | None:
    """`<method>_params`: (in_channels, in_ratio, out_channels, out_ratio), or None.

    nn~ attributes have a buffer of that name too: those are float32 of one value.
    """
    params = getattr(module, f"{method}_params", None)
    if not isinstance(params, torch.Tensor) or params.numel() != 4 or params.is_floating_point():
        return None
    a, b, c, d = (int(value) for value in params.flatten().tolist())
    return (a, b, c, d) if min(a, b, c, d) > 0 else None


def stated_sample_rate(module: Any) -> float | None:
    """The sample rate in Hz that the model states, or None.

    RAVE 2 has `sr`, RAVE 1 and forks `sampling_rate` (also inside `_rave`), nn_tilde from 1.6 `get_sample_rate()`.
    """
    inner = getattr(module, "_rave", None)
    for owner, name in ((module, "sr"), (module, "sampling_rate"), (inner, "sampling_rate"), (inner, "sr")):
        rate = _as_rate(getattr(owner, name, None))
        if rate is not None:
            return rate
    if "get_sample_rate" in module._c._method_names():
        with contextlib.suppress(*MODEL_ERRORS):  # one that fails says nothing
            return _as_rate(module.get_sample_rate())
    return None


def _as_rate(value: Any) -> float | None:
    """A number in Hz, or a tensor of one, as float; None for all else."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return float(value)
    return None


def read_contract(module: Any, probe: "Probe", sample_rate: float | None) -> Contract:
    """Read the contract off a loaded module; probes with silence only for what its buffers do not say.

    Raises
    ------
    ModelError
        encode or decode is missing or does not answer as promised.
    UsageError
        `sample_rate` contradicts what the model says.
    """
    where = probe.where
    names = set(methods_of(module)) | set(module._c._method_names())
    for needed in ("encode", "decode"):
        if needed not in names:
            raise ModelError(f"{where} has no {needed}: its methods are {', '.join(methods_of(module))}")
    encode, decode = method_params(module, "encode"), method_params(module, "decode")
    in_channels = encode[0] if encode else probe.in_channels()
    if encode and encode[1] == 1:
        dims, compression = encode[2], encode[3]
    else:
        dims, compression = probe.dims_and_compression(in_channels)
    out_channels = decode[2] if decode else probe.out_channels(dims)
    if decode and decode[0] != dims:
        raise ModelError(f"{where} encodes {dims} dims but decodes {decode[0]}: it cannot be used for the way back")
    rate = _sample_rate(stated_sample_rate(module), sample_rate, where)
    return Contract(rate, compression, dims, in_channels, out_channels)


def _sample_rate(stated: float | None, given: float | None, where: str) -> float:
    if stated is not None and given is not None and stated != given:
        raise UsageError(f"{where} says that it runs at {stated:g} Hz, not {given:g}: leave `sample_rate` out")
    if stated is None and given is None:
        log.warning("%s does not say its sample rate: taking 44100 Hz (`sample_rate` changes that)", where)
    return stated or given or FALLBACK_RATE


class Probe:
    """Asks a module questions by calling it on silence and noise; the load-time state comes back after each.

    Ask between files, never within one.
    """

    def __init__(self, module: Any, state: State, where: str, device: torch.device) -> None:
        self.module, self.state, self.where, self.device = module, state, where, device

    def _call(self, method: str, *shape: int, loud: bool = False) -> torch.Tensor | None:
        """The answer, or None where the model refuses this shape."""
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(shape, generator=generator) - 0.5 if loud else torch.zeros(shape)
        try:
            answer = call_method(self.module, method, x.to(self.device))
        except MODEL_ERRORS as error:
            if isinstance(error, NotImplementedError) or "not implemented for" in str(error):
                raise
            return None
        return answer if isinstance(answer, torch.Tensor) and answer.dim() == 3 else None

    def _quiet(self, method: str, *shape: int) -> torch.Tensor | None:
        answer = self._call(method, *shape)
        self.state.restore()
        return answer

    def in_channels(self) -> int:
        for channels in (1, 2):
            if self._quiet("encode", 1, channels, PROBE_SAMPLES) is not None:
                return channels
        raise ModelError(f"{self.where}: encode takes neither 1 nor 2 channels of audio: is it an audio codec?")

    def dims_and_compression(self, in_channels: int) -> tuple[int, int]:
        latents = self._quiet("encode", 1, in_channels, PROBE_SAMPLES)
        if latents is None:
            raise ModelError(f"{self.where}: encode fails on {in_channels} channels of audio: is it an audio codec?")
        frames = latents.shape[2]
        sound = self._quiet("decode", 1, latents.shape[1], frames)
        if sound is None or sound.shape[2] % frames:
            raise ModelError(f"{self.where}: decode does not take what encode gives: it cannot be used here")
        return latents.shape[1], sound.shape[2] // frames

    def out_channels(self, dims: int) -> int:
        sound = self._quiet("decode", 1, dims, 8)
        if sound is None:
            raise ModelError(f"{self.where}: decode fails on {dims} dims: it cannot be used here")
        return sound.shape[1]

    def takes_any_length(self, contract: Contract) -> bool:
        """True if encode takes lengths that are no multiple of the compression as they are."""
        for samples, frames in ((contract.compression + 1, 2), (1, 1)):
            answer = self._quiet("encode", 1, contract.in_channels, samples)
            if answer is None or tuple(answer.shape) != (1, contract.dims, frames):
                return False
        return True

    def takes_batches(self, contract: Contract) -> bool:
        """True if several signals go through one call.

        Exports that make two channels out of one (`rave export --channels 2`) take one at a time.
        """
        shapes = {"encode": (2, contract.in_channels, 4 * contract.compression), "decode": (2, contract.dims, 4)}
        answers = [self._quiet(method, *shape) for method, shape in shapes.items()]
        return all(answer is not None and answer.shape[0] == 2 for answer in answers)

    def carries_state(self, contract: Contract, method: str) -> bool:
        """True if a call of encode or decode continues where the last one ended, as in streaming exports.

        The answers decide: a buffer may change (a counter, say) without being heard.
        """
        if any(name.endswith(".cache.pad") for name, _ in self.module.named_buffers()):
            return True
        shape = (1, contract.in_channels, 8 * contract.compression) if method == "encode" else (1, contract.dims, 8)
        self.state.restore()
        first, second = self._loud(method, *shape), self._loud(method, *shape)
        self.state.restore()
        if not _alike(first, self._loud(method, *shape)):
            log.warning(
                "%s keeps state outside its buffers, which cannot be put back: files hear the one before", self.where
            )
        self.state.restore()
        return not _alike(first, second)

    def _loud(self, method: str, *shape: int) -> torch.Tensor | None:
        torch.manual_seed(0)
        return self._call(method, *shape, loud=True)


def _alike(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Equal but for rounding, which differs from call to call on a GPU."""
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-4 * max(1e-6, float(a.abs().max())))
