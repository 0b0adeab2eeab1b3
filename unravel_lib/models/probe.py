"""Properties of a module that are found by calling it on silence and noise."""

import logging

import torch

from unravel_lib.errors import ModelError
from unravel_lib.models import torchscript
from unravel_lib.models.direction import Direction
from unravel_lib.models.state import State
from unravel_lib.models.torchscript import MODEL_ERRORS, Module

PROBE_SAMPLES = 1 << 17  # about 3 s: enough for a few frames at any compression in use

log = logging.getLogger(__name__)


class Probe:
    """Calls a module to measure its properties; restores the load-time state after each.

    It uses the global random generator: use it between files, never within one.

    Parameters
    ----------
    where : the model's name, for errors
    """

    def __init__(self, module: Module, state: State, where: str, device: torch.device) -> None:
        self.module, self.state, self.where, self.device = module, state, where, device

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
        if any(name.endswith(".cache.pad") for name, _ in self.module.named_buffers()):
            return True
        shape = direction.shape_in(1, 8)
        self.state.restore()
        first, second = self._noise(direction.method, *shape), self._noise(direction.method, *shape)
        self.state.restore()
        if not _alike(first, self._noise(direction.method, *shape)):
            log.warning(
                "%s keeps state outside its buffers, which cannot be restored: each file depends on the one before",
                self.where,
            )
        self.state.restore()
        return not _alike(first, second)

    def _silence(self, method: str, *shape: int) -> torch.Tensor | None:
        result = self._call(method, torch.zeros(shape))
        self.state.restore()
        return result

    def _noise(self, method: str, *shape: int) -> torch.Tensor | None:
        torch.manual_seed(0)
        return self._call(method, torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5)

    def _call(self, method: str, x: torch.Tensor) -> torch.Tensor | None:
        """Return the result, or None where the model refuses this shape."""
        try:
            result = torchscript.call(self.module, method, x.to(self.device))
        except MODEL_ERRORS as error:
            if isinstance(error, NotImplementedError) or "not implemented for" in str(error):
                raise
            return None
        return result if isinstance(result, torch.Tensor) and result.dim() == 3 else None


def _alike(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Return True if equal but for rounding, which differs from call to call on a GPU."""
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-4 * max(1e-6, float(a.abs().max())))
