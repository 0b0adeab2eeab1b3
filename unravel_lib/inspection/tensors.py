"""The tensors of a model file, one at a time: shape, dtype, statistics; in bounded memory."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from unravel_lib.errors import ModelError
from unravel_lib.inspection.facts import TensorStatistics
from unravel_lib.models.screening.archive import AGAIN
from unravel_lib.models.screening.model_file import ModelFile, for_torch
from unravel_lib.text import printable

CHUNK_VALUES = 1 << 21  # values in one step: 16 MiB as float64
PRINTED_VALUES = 1000  # of a tensor with more, only the corners are printed
WITHOUT_VALUES = (RuntimeError, TypeError, ValueError)  # what PyTorch raises for meta, sparse, nested and other layouts


class SafeTensors(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file, read by the safetensors library as they are used.

    Raises
    ------
    ModelError
        The file is damaged.
    """

    def __init__(self, file: ModelFile) -> None:
        import safetensors

        opened: Any = safetensors.safe_open
        name = for_torch(file.file)
        try:
            self._file = opened(name if isinstance(name, str) else file.path, framework="pt")
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(f"{printable(file.path)} is damaged ({reason}): {AGAIN}") from error
        self._keys = dict.fromkeys(self._file.keys())
        self.metadata: dict[str, str] = dict(self._file.metadata() or {})

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of one tensor, from the header alone."""
        return tuple(self._file.get_slice(key).get_shape())

    def __getitem__(self, key: str) -> torch.Tensor:
        if key not in self._keys:
            raise KeyError(key)
        tensor: torch.Tensor = self._file.get_tensor(key)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def describe(key: str, tensor: torch.Tensor) -> TensorStatistics:
    """Return shape, dtype, mean, standard deviation (of the population), minimum and maximum of one tensor.

    Sums run in float64 over chunks, joined by the rule of Chan, Golub and LeVeque (1983), so that a tensor of any size
    and any offset keeps its digits. Complex values are described by their magnitudes.
    """
    shape, dtype = shape_of(tensor), dtype_of(tensor)
    count, mean, squares, low, high = 0, 0.0, 0.0, math.inf, -math.inf
    with suppress(*WITHOUT_VALUES):
        for chunk in _chunks(_without_repeats(tensor.detach())):
            n, total = chunk.numel(), count + chunk.numel()
            variance, chunk_mean = (float(value) for value in torch.var_mean(chunk, correction=0))
            difference = chunk_mean - mean
            mean += difference * n / total
            squares += variance * n + difference**2 * count * n / total
            lowest, highest = torch.aminmax(chunk)
            low, high = min(low, float(lowest)), max(high, float(highest))
            count = total
    if count == 0:
        return TensorStatistics(key, shape, dtype)
    if not math.isfinite(mean):  # a comparison with NaN is always false: min() and max() may have dropped it
        low, high = (math.nan, math.nan) if math.isnan(mean) else (low, high)
    std = math.nan if math.isnan(squares) else math.sqrt(squares / count)
    return TensorStatistics(key, shape, dtype, mean, std, low, high)


def shape_of(tensor: torch.Tensor) -> tuple[int, ...] | None:
    """Return the shape, None for a nested tensor, which has none."""
    with suppress(*WITHOUT_VALUES):
        return tuple(tensor.shape)
    return None


def dtype_of(tensor: torch.Tensor) -> str:
    """Return the dtype as NumPy names it: `float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def _without_repeats(tensor: torch.Tensor) -> torch.Tensor:
    """Return one copy of values that an expanded tensor repeats: its mean, deviation and extremes are the same.

    Raises RuntimeError where there are still more values than the file can hold: parts that overlap in other ways.
    """
    for axis, step in enumerate(tensor.stride()):
        if step == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise RuntimeError("values that overlap")
    return tensor


def _chunks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the values as float64, flat, in chunks cut along the first axis, so that nothing is copied whole."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.numel() <= CHUNK_VALUES or tensor.dim() == 0:
        flat = tensor.reshape(-1)
        if flat.numel():
            yield (flat.abs() if flat.is_complex() else flat).to(torch.float64)
        return
    tensor = tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True))  # the order in the file
    if tensor.is_contiguous():
        for chunk in torch.split(tensor.view(-1), CHUNK_VALUES):
            yield (chunk.abs() if chunk.is_complex() else chunk).to(torch.float64)
        return
    for part in tensor:
        yield from _chunks(part)


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
