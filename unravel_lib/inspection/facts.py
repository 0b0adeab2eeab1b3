"""Facts about a model file, as data: what the inspector found, None where the file does not state it."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_DEPTH = 16  # of nested values
MAX_VALUES = 64  # a tensor with more is named, not spelt out


@dataclass(frozen=True)
class Method:
    """One method that nn~ can call: `in_ratio` and `out_ratio` are samples per step at its inlet and outlet."""

    name: str
    in_channels: int | None = None
    in_ratio: int | None = None
    out_channels: int | None = None
    out_ratio: int | None = None


Part = dict[str, Any]  # some of the facts, by their names in `Facts`


@dataclass(frozen=True)
class Facts:
    """What is known about one model file. None where the file does not state it; never a guess.

    Attributes
    ----------
    weights_sha256 : the same for the offline and the streaming export of the same weights; TorchScript only
    mark : what family and version were identified by
    dims, full_dims : usable latent dims, and those before the least important were cut off; None for codes and angles,
        from which none are
    compression : samples per frame
    sample_rate : Hz
    streaming : whether calls carry state; `delay_samples` is the sum of `encode_delay` and
        `decode_delay`, all in samples; 0 for an offline export
    encode_context, decode_context : (before, after), frames that a frame depends on; measured
    variance_shares : of a variational RAVE, the share of the variance per full dim, in PCA order, 0 to 1
    parameters : trained values; of a checkpoint, which does not mark them, all values of its state_dict
    torch_version : of a checkpoint whose trainer stored it as `torch_version`; PyTorch itself never does, so it is
        None for every TorchScript export
    format_version : of the zip archive
    details : what only this family has
    """

    name: str
    path: str
    bytes: int | None = None
    sha256: str | None = None
    weights_sha256: str | None = None
    kind: str | None = None
    family: str | None = None
    version: str | None = None
    mark: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    dims: int | None = None
    full_dims: int | None = None
    compression: int | None = None
    sample_rate: float | None = None
    in_channels: int | None = None
    out_channels: int | None = None
    streaming: bool | None = None
    delay_samples: int | None = None
    encode_delay: int | None = None
    decode_delay: int | None = None
    encode_context: tuple[int, int] | None = None
    decode_context: tuple[int, int] | None = None
    methods: list[Method] | None = None
    attributes: dict[str, Any] | None = None
    variance_shares: list[float] | None = None
    parameters: int | None = None
    torch_version: str | None = None
    format_version: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def latent_rate(self) -> float | None:
        """Frames per second."""
        return self.sample_rate / self.compression if self.sample_rate and self.compression else None

    @property
    def delay_ms(self) -> float | None:
        """The delay in milliseconds."""
        if self.delay_samples is None or not self.sample_rate:
            return None
        return 1000 * self.delay_samples / self.sample_rate

    def as_json(self) -> dict[str, Any]:
        """Return the facts as values of JSON."""
        found: dict[str, Any] = json_value(asdict(self) | {"latent_rate": self.latent_rate, "delay_ms": self.delay_ms})
        return found


@dataclass(frozen=True)
class TensorStatistics:
    """One tensor: name, shape (None: it has none), dtype, and statistics of all its values, NaN without any."""

    key: str
    shape: tuple[int, ...] | None
    dtype: str
    mean: float = math.nan
    std: float = math.nan
    min: float = math.nan
    max: float = math.nan


def joined(parts: Iterable[Part]) -> Facts:
    """Join parts: a fact is what the last part that has it says; details and warnings add up."""
    facts: Part = {"name": "", "path": ""}
    details: dict[str, Any] = {}
    warnings: list[str] = []
    for part in parts:
        facts |= part
        details |= part.get("details", {})
        warnings += part.get("warnings", [])
    return Facts(**facts | {"details": json_value(details), "warnings": warnings})


def json_value(value: Any, depth: int = 0) -> Any:
    """Return any value as JSON can represent it: tensors become lists or are named, NaN and Inf become null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return int_if_whole(value) if math.isfinite(value) else None
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item, depth + 1) for item in value]
    if hasattr(value, "numel") and hasattr(value, "tolist"):
        with suppress(RuntimeError, TypeError, ValueError):  # tensors without plain values
            if value.numel() <= MAX_VALUES:
                return json_value(value.tolist(), depth + 1)
            return f"{str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
        return f"{str(value.dtype).removeprefix('torch.')} tensor"
    return str(value)


def int_if_whole(value: float) -> float | int:
    """44100.0 -> 44100; 0.5 stays."""
    return int(value) if value == int(value) and abs(value) < 2**53 else value
