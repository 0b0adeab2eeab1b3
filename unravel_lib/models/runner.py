"""One direction of a loaded model, run call by call, in float32 or in bfloat16."""

import contextlib
import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unravel_lib.errors import ModelError
from unravel_lib.models import torchscript
from unravel_lib.models.behaviour import NO_CONTEXT, Behaviour, Context
from unravel_lib.models.contract import Block
from unravel_lib.models.state import State
from unravel_lib.models.torchscript import MODEL_ERRORS, CallError
from unravel_lib.text import last_line

log = logging.getLogger(__name__)


def check_precision(precision: str, device: torch.device) -> str:
    """Return a precision, "fp32" or "bf16", if the device calculates in it.

    Raises
    ------
    ModelError
        There is no such precision, or the device only imitates bfloat16.
    """
    if precision not in ("fp32", "bf16"):
        raise ModelError("is no precision", option="precision", value=precision, expected="fp32 or bf16")
    if precision == "bf16" and not _has_bfloat16(device):
        found = f"would be slower than fp32: the {device.type} of this machine has no bfloat16"
        raise ModelError(found, option="precision", value=precision, remedy="leave it out")
    return precision


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.machine() in ("arm64", "aarch64"):
        return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class _Float32Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, random bfloat16 numbers are rounded float32 ones: PyTorch draws others for each type.

    So the results of both precisions differ by rounding, not as those of two seeds.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        match args:
            case torch.Tensor(dtype=torch.bfloat16) as like, *rest if torch.Tag.nondeterministic_seeded in func.tags:
                drawn = func(like.float(), *rest, **kwargs)
                return like.copy_(drawn) if func._schema.is_mutable else drawn.to(torch.bfloat16)
        return func(*args, **kwargs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise PyTorch imports its compiler here, which takes a second


@contextlib.contextmanager
def _bfloat16(device: torch.device) -> Iterator[None]:
    with torch.autocast(device.type, torch.bfloat16), _Float32Draws():  # type: ignore[no-untyped-call]
        yield


@dataclass
class Runner:
    """Calls encode or decode of a module on blocks, and checks the results; `name` is the model's."""

    state: State
    behaviour: Behaviour
    name: str
    device: torch.device
    precision: str = "fp32"

    def call(self, x: Block, context: Context = NO_CONTEXT) -> Block:
        """Call once: [batch, channels, n] in, checked [batch, channels, n] out; in parts if the GPU's memory is full.

        `context` is the part of `x` that is discarded afterwards.

        Raises
        ------
        CallError
            The model fails, or gives something else.
        """
        kept = self.state.keep() if self.behaviour.carries_state and self.device.type != "cpu" else None
        try:
            return self._call_once(x)
        except MODEL_ERRORS as error:
            if self.device.type == "cpu" or "out of memory" not in str(error).lower():
                raise self._error(f"failed: {last_line(error)}", x.shape[2]) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if kept is not None:
            self.state.put_back(kept)
        return self._call_halved(x, context)

    def _call_once(self, x: Block) -> Block:
        direction = self.behaviour.direction
        expected = direction.shape_out(x.shape[0], x.shape[2])
        signal = torch.from_numpy(x)
        if not self.behaviour.takes_any_length:
            signal = torch.nn.functional.pad(signal, (0, -x.shape[2] % direction.step_in))
        with _bfloat16(self.device) if self.precision == "bf16" else contextlib.nullcontext():
            output = torchscript.call(self.state.module, self.name, direction.method, signal.to(self.device))
        if tuple(output.shape) != expected:
            raise self._error(f"gave {tuple(output.shape)}, expected {expected}", x.shape[2])
        result = direction.values(output)
        if not np.isfinite(result).all():
            raise self._error("gave NaN or Inf for this input")
        return result

    def _error(self, text: str, length: int = 0, **fields: Any) -> CallError:
        direction = self.behaviour.direction
        if self.precision != "fp32" and not fields:
            fields = {"remedy": "try fp32", "remedy_options": ("precision",)}
        return CallError(f"{self.name}: {direction.method} {text}", length // direction.step_in, **fields)

    def _call_halved(self, x: Block, context: Context) -> Block:
        """Return the same call as two smaller ones: half of the batch each, then half of the window each."""
        if len(x) > 1:
            return np.concatenate([self.call(half, context) for half in np.array_split(x, 2)])
        step_in, step_out = self.behaviour.direction.step_in, self.behaviour.direction.step_out
        left, right = context.left, context.right
        frames = x.shape[2] // step_in
        if frames < 4 * (left + right + 1):
            found = f"failed: {self.device} is out of memory even for {frames} frames at once"
            raise self._error(found, remedy="use cpu", remedy_options=("device",))
        log.warning("%s is out of memory: smaller chunks, so random parts differ from other runs", self.device)
        middle = frames // 2
        first = self.call(x[..., : (middle + right) * step_in], context)
        second = self.call(x[..., (middle - left) * step_in :], context)
        return np.concatenate([first[..., : middle * step_out], second[..., left * step_out :]], axis=-1)
