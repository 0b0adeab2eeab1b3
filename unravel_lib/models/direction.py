"""The two directions of a model, encode and decode: the shapes of a call, and what a frame depends on."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import ModelError

Block = npt.NDArray[np.float32]  # [channels, n] or [batch, channels, n], sound or latents


class CallError(ModelError):
    """A call failed; `frames` is how long it was where that may be why, else 0."""

    def __init__(self, text: str, frames: int = 0) -> None:
        super().__init__(text)
        self.frames = frames


@dataclass(frozen=True)
class Context:
    """Frames before (`left`) and after (`right`) a frame that its result depends on."""

    left: int
    right: int


NO_CONTEXT = Context(0, 0)


@dataclass(frozen=True)
class Direction:
    """One direction of a model.

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

    def shape_in(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return the shape of a signal of whole frames."""
        return batch, self.channels_in, frames * self.step_in

    def shape_out(self, batch: int, n: int) -> tuple[int, int, int]:
        """Return the shape of the result for a signal of `n` values per channel."""
        return batch, self.channels_out, math.ceil(n / self.step_in) * self.step_out
