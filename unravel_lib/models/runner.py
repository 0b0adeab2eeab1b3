"""A module that is called again and again, from the state in which it was loaded, in float32 or in bfloat16."""

import contextlib
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unravel_lib.errors import ModelError
from unravel_lib.models import torchscript
from unravel_lib.models.contract import Block, Direction
from unravel_lib.models.torchscript import MODEL_ERRORS, PAST, CallError, Module, copy_with_same_parameters, is_missing
from unravel_lib.text import last_line


class Runner:
    """Calls a module, and restores its state, so that no file depends on the one before it.

    Streaming exports keep the past in buffers (`pad`, `cache`); adaptive normalisation keeps statistics in others.

    Attributes
    ----------
    module : the module to call now; another one after `restore` if that is done by copies
    name : the model's, for messages
    by_copies : restore everything that the module holds, at 20 to 40 ms each time: for models whose state is not all
        in buffers (a list, a number)
    """

    def __init__(self, module: Module, name: str, device: torch.device) -> None:
        self.module, self.name, self.by_copies = module.to(device), name, False
        self._device = device
        owners = dict(module.named_modules())
        buffers = [(path, name) for path, owner in owners.items() for name, _ in owner.named_buffers(recurse=False)]
        for path, name in buffers:
            if name in PAST:  # spherical RAVE, exported after silence, contains NaN
                setattr(owners[path], name, getattr(owners[path], name).detach().nan_to_num(nan=0.0))
        self._saved = copy_with_same_parameters(module)
        saved = dict(self._saved.named_modules())
        # found once: iterating over all modules takes 5 ms
        self._buffers = [(owners[path], saved[path], name) for path, name in buffers]

    def restore(self) -> None:
        """Return to the state at load time."""
        if self.by_copies:
            self.module = self.untouched()
            return
        for owner, saved, name in self._buffers:
            setattr(owner, name, getattr(saved, name).detach().clone())

    def untouched(self) -> Module:
        """Return a copy of the module as it was loaded; its weights are shared."""
        return copy_with_same_parameters(self._saved)

    def raw(self, method: str, x: torch.Tensor) -> Any:
        """Return what a method gives for a signal [batch, channels, n], unchecked."""
        return torchscript.call(self.module, self.name, method, x.to(self._device))

    def call(self, direction: Direction, x: Block, precision: str = "fp32") -> Block:
        """Call encode or decode once: [batch, channels, n] in, [batch, channels, n] out.

        Raises
        ------
        CallError
            The model fails, or gives something else.
        """
        expected, size = direction.shape_out(len(x), x.shape[2]), (len(x), x.shape[2] // direction.step_in)
        what = f"{self.name}: {direction.method}"
        try:
            with _calculating(precision, self._device):
                output = self.raw(direction.method, torch.from_numpy(x))
            shape = tuple(output.shape)
        except MODEL_ERRORS as error:
            found, out_of_memory, remedy = last_line(error), "out of memory" in str(error).lower(), {}
            if out_of_memory:
                found = f"{self._device} is out of memory even for {size[1]} frames at once"
            if out_of_memory or is_missing(error):
                remedy = {"remedy": "use cpu", "remedy_options": ("device",)}
            raise CallError(f"{what} failed: {found}", size, out_of_memory, **remedy) from error
        if shape != expected:
            raise CallError(f"{what} gave {shape}, expected {expected}", size)
        result = direction.values(output)
        if not np.isfinite(result).all():
            raise CallError(f"{what} gave NaN or Inf for this input")
        return result


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


class Draws(TorchDispatchMode):
    """Inside, random bfloat16 numbers are rounded float32 ones: PyTorch draws others for each type.

    So the results of both precisions differ by rounding, not as those of two seeds. With `still` all of them are 0.
    """

    def __init__(self, still: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._still = still

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        match args:
            case torch.Tensor(dtype=torch.bfloat16) as like, *rest:
                drawn = func(like.float(), *rest, **kwargs)
                drawn = like.copy_(drawn) if func._schema.is_mutable else drawn.to(torch.bfloat16)
            case _:
                drawn = func(*args, **kwargs)
        return drawn.zero_() if self._still and isinstance(drawn, torch.Tensor) else drawn

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise PyTorch imports its compiler here, which takes a second


@contextlib.contextmanager
def _calculating(precision: str, device: torch.device) -> Iterator[None]:
    """Let models calculate in a precision."""
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16), Draws():
        yield
