"""Properties of a module that are found by calling it on silence and noise."""

import logging
import math
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unravel_lib.audio.windows import in_windows
from unravel_lib.errors import ModelError
from unravel_lib.models import torchscript
from unravel_lib.models.direction import Block, Context, Direction
from unravel_lib.models.state import State
from unravel_lib.models.torchscript import MODEL_ERRORS

PROBE_SAMPLES = 1 << 17  # about 3 s: enough for a few frames at any compression in use
PROBE_FRAMES = 8

log = logging.getLogger(__name__)


class _StillRandomNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, every random number that a module draws is 0."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        drawn = torch.Tag.nondeterministic_seeded in func.tags and isinstance(result, torch.Tensor)
        return result.zero_() if drawn else result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise PyTorch imports its compiler here, which takes a second


class Probe:
    """Calls a module to measure its properties; restores the load-time state after each.

    It uses the global random generator: use it between files, never within one.

    Parameters
    ----------
    where : the model's name, for errors
    """

    def __init__(self, state: State, where: str, device: torch.device) -> None:
        self.state, self.where, self.device = state, where, device

    def in_channels(self) -> int:
        """Return the channels of sound that encode takes."""
        for channels in (1, 2):
            if self._silence("encode", 1, channels, PROBE_SAMPLES) is not None:
                return channels
        raise ModelError(f"{self.where}: encode takes neither 1 nor 2 channels of audio: is it an audio codec?")

    def dims_and_compression(self, in_channels: int) -> tuple[int, int]:
        """Return dims, and samples per frame."""
        latents = self._silence("encode", 1, in_channels, PROBE_SAMPLES)
        if latents is None:
            raise ModelError(f"{self.where}: encode fails on {in_channels} channels of audio: is it an audio codec?")
        frames = latents.shape[2]
        sound = self._silence("decode", 1, latents.shape[1], frames)
        if sound is None or sound.shape[2] % frames:
            raise ModelError(f"{self.where}: decode does not take what encode gives: it cannot be used here")
        return latents.shape[1], sound.shape[2] // frames

    def out_channels(self, dims: int) -> int:
        """Return the channels of sound that decode gives."""
        sound = self._silence("decode", 1, dims, 8)
        if sound is None:
            raise ModelError(f"{self.where}: decode fails on {dims} dims: it cannot be used here")
        return sound.shape[1]

    def takes_any_length(self, direction: Direction) -> bool:
        """Return True if lengths that are no whole number of frames are taken as they are."""
        if direction.step_in == 1:
            return True
        for n in (direction.step_in + 1, 1):
            result = self._silence(direction.method, 1, direction.channels_in, n)
            if result is None or tuple(result.shape) != direction.shape_out(1, n):
                return False
        return True

    def takes_batches(self, direction: Direction) -> bool:
        """Return True if several signals go through one call.

        Exports that make two channels out of one (`rave export --channels 2`) take one at a time.
        """
        result = self._silence(direction.method, *direction.shape_in(2, 4))
        return result is not None and result.shape[0] == 2

    def carries_state(self, direction: Direction) -> bool:
        """Return True if a call continues where the last one ended, as in streaming exports.

        The results are compared, not the buffers: one may change (a counter, say) without any effect on the sound.
        """
        first, second, again = self._twice_and_again(direction)
        if not _alike(first, again):
            self.state.restore_by_copies()
            first, second, again = self._twice_and_again(direction)
        if not _alike(first, again):
            log.warning(
                "%s keeps state that cannot be restored: the result of a file depends on the one before", self.where
            )
        caches = any(name.endswith(".cache.pad") for name, _ in self.state.module.named_buffers())
        return caches or not _alike(first, second)

    def _twice_and_again(self, direction: Direction) -> tuple[torch.Tensor | None, ...]:
        """Return the results of two calls after each other, and of the first of them from the load-time state."""
        shape = direction.shape_in(1, PROBE_FRAMES)
        self.state.restore()
        first, second = self._noise(direction.method, *shape), self._noise(direction.method, *shape)
        self._noise(direction.method, *direction.shape_in(1, PROBE_FRAMES // 2))  # files differ in length
        self.state.restore()
        again = self._noise(direction.method, *shape)
        self.state.restore()
        return first, second, again

    def random_share(self, direction: Direction) -> float:
        """Return by how much results differ from seed to seed, as a share of their level (RMS); 0 for equal results."""
        results = []
        for seed in (0, 1):
            self.state.restore()
            results.append(self._noise(direction.method, *direction.shape_in(1, PROBE_FRAMES), seed=seed))
        self.state.restore()
        first, second = results
        if first is None or second is None or first.shape != second.shape or _alike(first, second):
            return 0.0
        level = float(first.nan_to_num(nan=0.0).square().mean())
        return math.sqrt(float((first - second).nan_to_num(nan=0.0).square().mean()) / level) if level else math.inf

    def has_seams(self, direction: Direction, context: Context) -> bool:
        """Return True if two windows, joined, differ from one call: the model fades at the borders of calls, say.

        Random parts are held still, as more or shorter calls draw other numbers.

        Parameters
        ----------
        context : of a frame; none for a model that carries state
        """
        window = max(PROBE_FRAMES, 2 * (context.left + context.right) + 1)
        frames = 2 * window - context.left - context.right - 3  # the last window of a file is shorter
        signal = np.random.default_rng(0).uniform(-0.5, 0.5, direction.shape_in(1, frames)).astype(np.float32)

        def call(x: Block) -> Block:
            result = self._call(direction.method, torch.from_numpy(x))
            if result is None:
                raise ModelError(f"{self.where}: {direction.method} fails")
            return result.float().cpu().numpy()

        self.state.restore()
        try:
            with _StillRandomNumbers():  # type: ignore[no-untyped-call]
                whole = call(signal)[0]
                self.state.restore()
                steps = {"step_in": direction.step_in, "step_out": direction.step_out}
                extent = {"window": window, "left": context.left, "right": context.right}
                parts = np.concatenate(list(in_windows([signal[0]], call, **steps, **extent)), axis=1)
        except ModelError:
            return True
        finally:
            self.state.restore()
        return not _alike(torch.from_numpy(whole), torch.from_numpy(parts))

    def longest_call(self, direction: Direction, frames: int) -> int:
        """Return how many frames one call takes: `frames`, or less where the model has a largest length."""
        self.state.restore()
        fits, too_long = 0, frames + 1
        tried = frames
        while fits + 1 < too_long:
            if self._gives_all(direction, tried):
                fits = tried
            else:
                too_long = tried
            tried = (fits + too_long) // 2
        return fits

    def _gives_all(self, direction: Direction, frames: int) -> bool:
        result = self._silence(direction.method, *direction.shape_in(1, frames))
        return result is not None and tuple(result.shape) == direction.shape_out(1, frames * direction.step_in)

    def _silence(self, method: str, *shape: int) -> torch.Tensor | None:
        result = self._call(method, torch.zeros(shape))
        self.state.restore()
        return result

    def _noise(self, method: str, *shape: int, seed: int = 0) -> torch.Tensor | None:
        torch.manual_seed(seed)
        return self._call(method, torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5)

    def _call(self, method: str, x: torch.Tensor) -> torch.Tensor | None:
        """Return the result, or None where the model refuses this shape."""
        try:
            result = torchscript.call(self.state.module, self.where, method, x.to(self.device))
        except MODEL_ERRORS as error:
            if isinstance(error, NotImplementedError) or "not implemented for" in str(error):
                raise
            return None
        return result if isinstance(result, torch.Tensor) and result.dim() == 3 else None


def _alike(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Return True if equal but for rounding, which differs from call to call on a GPU."""
    if a is None or b is None:
        return a is b
    peak = float(a.nan_to_num(nan=0.0).abs().max())
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-4 * max(1e-6, peak), equal_nan=True)
