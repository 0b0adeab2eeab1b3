"""How a model calculates: in float32 or in bfloat16, with random numbers that do not depend on it, or without any."""

import contextlib
import platform
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unravel_lib.errors import ModelError


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
def calculating(precision: str, device: torch.device) -> Iterator[None]:
    """Let models calculate in a precision."""
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16), Draws():
        yield
