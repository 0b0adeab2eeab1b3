"""The state inside a model: its buffers as they were at load time, and the way back to them."""

from typing import Any

import torch


class State:
    """Remembers every buffer of a module as it was loaded, and restores those that calls have changed.

    Streaming exports keep the past in buffers (`pad`, `cache`); adaptive normalisation keeps statistics in others.
    Restored before every file, no file hears the one before it.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        for name, buffer in module.named_buffers():
            if name.endswith((".pad", ".cache")):  # spherical RAVE, exported after a silence, remembers NaN
                buffer.nan_to_num_(nan=0.0)
        self._saved = {name: buffer.detach().clone() for name, buffer in module.named_buffers()}
        self._marks = self._current_marks()

    def _current_marks(self) -> dict[str, tuple[int, int, torch.Tensor]]:
        # every write through PyTorch raises a tensor's version; a tensor put in its place has another address, which
        # is not given out again while the mark holds the old tensor
        return {name: (b.data_ptr(), b._version, b) for name, b in self._module.named_buffers()}

    def restore(self) -> None:
        """Put every touched buffer back to its load-time values."""
        marks = self._current_marks()
        with torch.no_grad():
            for name, buffer in self._module.named_buffers():
                if name in self._saved and marks[name][:2] != self._marks[name][:2]:
                    buffer.resize_(self._saved[name].shape).copy_(self._saved[name])
        self._marks = self._current_marks()

    def keep(self) -> dict[str, torch.Tensor]:
        """A copy of the buffers now, for `put_back`."""
        return {name: buffer.detach().clone() for name, buffer in self._module.named_buffers()}

    def put_back(self, kept: dict[str, torch.Tensor]) -> None:
        """Return to what `keep` copied."""
        with torch.no_grad():
            for name, buffer in self._module.named_buffers():
                buffer.resize_(kept[name].shape).copy_(kept[name])
