"""One direction of a loaded model, run call by call."""

import logging
from functools import cached_property

import numpy as np
import torch

from unravel_lib.models import torchscript
from unravel_lib.models.direction import NO_CONTEXT, Block, CallError, Context, Direction
from unravel_lib.models.probe import Probe
from unravel_lib.models.torchscript import MODEL_ERRORS
from unravel_lib.text import last_line

log = logging.getLogger(__name__)


class Runner:
    """Calls encode or decode of a module on blocks, and checks the results.

    `prepare` measures what calls depend on, before the seed of a file is set: measuring runs the model, which uses
    random numbers and changes its state.

    Attributes
    ----------
    longest_call : the frames that one call takes; None while every call was taken
    """

    def __init__(self, probe: Probe, direction: Direction, device: torch.device) -> None:
        self.direction, self.device = direction, device
        self.longest_call: int | None = None
        self._probe, self._state, self._name = probe, probe.state, probe.where
        self._takes_any_length: bool | None = None  # until `prepare`
        self._seams: dict[Context, bool] = {}
        self._undoes_failed_calls = False

    @cached_property
    def carries_state(self) -> bool:
        """True if a call continues where the last one ended. Runs the model when first read."""
        return self._probe.carries_state(self.direction)

    def has_seams(self, context: Context) -> bool:
        """Return True if windows with this context, joined, differ from one call. Runs the model the first time."""
        if context not in self._seams:
            self._seams[context] = self._probe.has_seams(self.direction, context)
        return self._seams[context]

    def is_too_long(self, frames: int) -> bool:
        """Measure the longest call after one of `frames` failed; return True if that is the reason. Runs the model."""
        longest = self._probe.longest_call(self.direction, frames)
        if not 0 < longest < frames:
            return False
        self.longest_call = longest
        return True

    @cached_property
    def takes_batches(self) -> bool:
        """True if several signals go through one call. Runs the model when first read."""
        return self._probe.takes_batches(self.direction)

    @cached_property
    def random_share(self) -> float:
        """By how much results differ from seed to seed, as a share of their level. Runs the model when first read."""
        return self._probe.random_share(self.direction)

    def prepare(self) -> None:
        """Measure what calls depend on; runs the model the first time, and leaves its load-time state."""
        if self._takes_any_length is None:
            self._undoes_failed_calls = self.carries_state and self.device.type != "cpu"
            self._takes_any_length = self._probe.takes_any_length(self.direction)

    def call_seeded(self, x: Block) -> Block:
        """Call once from seed 0, for measurements."""
        self.prepare()
        torch.manual_seed(0)
        return self.call(x)

    def call(self, x: Block, context: Context = NO_CONTEXT) -> Block:
        """Call once: [batch, channels, n] in, checked [batch, channels, n] out; in parts if the GPU's memory is full.

        `context` is the part of `x` that is discarded afterwards.
        """
        kept = self._state.keep() if self._undoes_failed_calls else None
        try:
            return self._call_once(x)
        except MODEL_ERRORS as error:
            if self.device.type == "cpu" or "out of memory" not in str(error).lower():
                raise self._error(f"failed: {last_line(error)}", x.shape[2]) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if kept is not None:
            self._state.put_back(kept)
        return self._call_halved(x, context)

    def _call_once(self, x: Block) -> Block:
        method, step = self.direction.method, self.direction.step_in
        expected = self.direction.shape_out(x.shape[0], x.shape[2])
        signal = torch.from_numpy(x)
        if not self._takes_any_length:
            signal = torch.nn.functional.pad(signal, (0, -x.shape[2] % step))
        output = torchscript.call(self._state.module, self._name, method, signal.to(self.device))
        if tuple(output.shape) != expected:
            raise self._error(f"gave {tuple(output.shape)}, expected {expected}", x.shape[2])
        result: Block = output.float().cpu().numpy()
        if self.direction.nan_is_silence:
            result = np.nan_to_num(result, nan=0.0, posinf=np.inf, neginf=-np.inf)
        if not np.isfinite(result).all():
            raise self._error("gave NaN or Inf for this input")
        return result

    def _error(self, text: str, length: int = 0) -> CallError:
        return CallError(f"{self._name}: {self.direction.method} {text}", length // self.direction.step_in)

    def _call_halved(self, x: Block, context: Context) -> Block:
        """Return the same call as two smaller ones: half of the batch each, then half of the window each."""
        if len(x) > 1:
            return np.concatenate([self.call(half, context) for half in np.array_split(x, 2)])
        step_in, step_out = self.direction.step_in, self.direction.step_out
        left, right = context.left, context.right
        frames = x.shape[2] // step_in
        if frames < 4 * (left + right + 1):
            text = f"failed: {self.device} is out of memory even for {frames} frames at once: use `device` cpu"
            raise self._error(text)
        log.warning("%s is out of memory: smaller chunks, so random parts differ from other runs", self.device)
        middle = frames // 2
        first = self.call(x[..., : (middle + right) * step_in], context)
        second = self.call(x[..., (middle - left) * step_in :], context)
        return np.concatenate([first[..., : middle * step_out], second[..., left * step_out :]], axis=-1)
