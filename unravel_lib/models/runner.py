"""A module that is called again and again, from the state in which it was loaded; its results are checked."""

from typing import Any

import numpy as np
import torch

from unravel_lib.models import torchscript
from unravel_lib.models.contract import Block, Direction
from unravel_lib.models.torchscript import MODEL_ERRORS, PAST, CallError, Module, copy_with_same_parameters
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

    def call(self, direction: Direction, x: Block) -> Block:
        """Call encode or decode once: [batch, channels, n] in, [batch, channels, n] out.

        Raises
        ------
        CallError
            The model fails, or gives something else.
        """
        expected, size = direction.shape_out(len(x), x.shape[2]), (len(x), x.shape[2] // direction.step_in)
        what = f"{self.name}: {direction.method}"
        try:
            output = self.raw(direction.method, torch.from_numpy(x))
            shape = tuple(output.shape)
        except MODEL_ERRORS as error:
            if "out of memory" not in str(error).lower():
                raise CallError(f"{what} failed: {last_line(error)}", size) from error
            found = f"{what} failed: {self._device} is out of memory even for {size[1]} frames at once"
            raise CallError(found, size, True, remedy="use cpu", remedy_options=("device",)) from error
        if shape != expected:
            raise CallError(f"{what} gave {shape}, expected {expected}", size)
        result = direction.values(output)
        if not np.isfinite(result).all():
            raise CallError(f"{what} gave NaN or Inf for this input")
        return result
