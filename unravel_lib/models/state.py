"""The state inside a model: its buffers, saved at load time and restored."""

import hashlib
from collections.abc import Iterable

import torch

PAST = ("pad", "cache")  # buffers of these names hold the past input of a streaming export


def weights_sha256(module: torch.nn.Module) -> str | None:
    """Return the SHA-256 of all tensors of a module but those that hold the past; None without parameters.

    The offline and the streaming export of the same weights have the same: their tensors differ in the past only.
    """
    if next(module.parameters(), None) is None:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.rpartition(".")[2] not in PAST:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class State:
    """Saves every buffer of a module at load time, and restores those that calls have changed.

    Streaming exports keep the past in buffers (`pad`, `cache`); adaptive normalisation keeps statistics in others.
    Restored before every file, so that no file depends on the one before it.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        # the owner of each buffer, found once: iterating over all modules takes 5 ms, reading all buffers 0.2 ms
        self._places = {
            f"{prefix}.{name}" if prefix else name: (owner, name)
            for prefix, owner in module.named_modules()
            for name, _ in owner.named_buffers(recurse=False)
        }
        for name, buffer in self._buffers().items():
            if name.rpartition(".")[2] in PAST:  # spherical RAVE, exported after silence, contains NaN
                buffer.nan_to_num_(nan=0.0)
        self._saved = self.keep()
        self._marks = self._current_marks()

    def _buffers(self) -> dict[str, torch.Tensor]:
        return {path: getattr(owner, name) for path, (owner, name) in self._places.items()}

    def _current_marks(self) -> dict[str, tuple[int, int, torch.Tensor]]:
        # every write through PyTorch raises a tensor's version; a tensor put in its place has another address, which
        # is not given out again while the mark holds the old tensor
        return {name: (b.data_ptr(), b._version, b) for name, b in self._buffers().items()}

    def restore(self) -> None:
        """Put every touched buffer back to its load-time values."""
        touched = [name for name, mark in self._current_marks().items() if mark[:2] != self._marks[name][:2]]
        if touched:
            self._copy_back(self._saved, touched)
            self._marks = self._current_marks()

    def keep(self) -> dict[str, torch.Tensor]:
        """Return a copy of the buffers now, for `put_back`."""
        return {name: buffer.detach().clone() for name, buffer in self._buffers().items()}

    def put_back(self, kept: dict[str, torch.Tensor]) -> None:
        """Return to what `keep` copied."""
        self._copy_back(kept, kept)

    def _copy_back(self, source: dict[str, torch.Tensor], names: Iterable[str]) -> None:
        buffers = self._buffers()
        with torch.no_grad():
            for name in names:
                buffers[name].resize_(source[name].shape).copy_(source[name])
