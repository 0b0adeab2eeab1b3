"""The state inside a model: its buffers or all of it, saved at load time and restored."""

import hashlib
from collections.abc import Iterable

import torch

from unravel_lib.models.torchscript import Module, copy_with_same_parameters

Kept = dict[str, torch.Tensor] | Module  # buffers by path, or a whole module

PAST = ("pad", "cache")  # buffers of these names hold the past input of a streaming export


def weights_sha256(module: Module) -> str | None:
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
    """Saves the state of a module at load time, and restores what calls have changed.

    Streaming exports keep the past in buffers (`pad`, `cache`); adaptive normalisation keeps statistics in others.
    Restored before every file, so that no file depends on the one before it. Where buffers are not all (a list, a
    number), each restoring puts a fresh copy of the module in its place: see `restore_by_copies`.

    Attributes
    ----------
    module : the module to call now; another one after `restore` or `put_back`
    """

    def __init__(self, module: Module) -> None:
        for owner, name in _buffer_places(module).values():
            if name in PAST:  # spherical RAVE, exported after silence, contains NaN
                setattr(owner, name, getattr(owner, name).detach().nan_to_num(nan=0.0))
        self._by_copies = False
        self._untouched = copy_with_same_parameters(module)
        self._use(module)
        self._saved = self._copied_buffers()

    def _use(self, module: Module) -> None:
        self.module = module
        # the owner of each buffer, found once: iterating over all modules takes 5 ms, reading all buffers 0.2 ms
        self._places = _buffer_places(module)
        self._marks = self._current_marks()

    def _buffers(self) -> dict[str, torch.Tensor]:
        return {path: getattr(owner, name) for path, (owner, name) in self._places.items()}

    def _copied_buffers(self) -> dict[str, torch.Tensor]:
        return {name: buffer.detach().clone() for name, buffer in self._buffers().items()}

    def _current_marks(self) -> dict[str, tuple[int, int, torch.Tensor]]:
        # every write through PyTorch raises a tensor's version; a tensor put in its place has another address, which
        # is not given out again while the mark holds the old tensor
        return {name: (b.data_ptr(), b._version, b) for name, b in self._buffers().items()}

    def restore_by_copies(self) -> None:
        """From now on, restore everything that the module holds, at 10 to 30 ms each time."""
        self._by_copies = True

    def restore(self) -> None:
        """Return to the state at load time."""
        if self._by_copies:
            self._use(copy_with_same_parameters(self._untouched))
            return
        touched = [name for name, mark in self._current_marks().items() if mark[:2] != self._marks[name][:2]]
        if touched:
            self._assign(self._saved, touched)

    def keep(self) -> Kept:
        """Return a copy of the state now, for `put_back`."""
        return copy_with_same_parameters(self.module) if self._by_copies else self._copied_buffers()

    def put_back(self, kept: Kept) -> None:
        """Return to what `keep` copied; once."""
        if isinstance(kept, Module):
            self._use(kept)
        else:
            self._assign(kept, kept)

    def _assign(self, source: dict[str, torch.Tensor], names: Iterable[str]) -> None:
        for name in names:
            owner, own_name = self._places[name]
            setattr(owner, own_name, source[name].clone())
        self._marks = self._current_marks()


def _buffer_places(module: Module) -> dict[str, tuple[Module, str]]:
    """Return path -> (the module that owns the buffer, its name there)."""
    return {
        f"{prefix}.{name}" if prefix else name: (owner, name)
        for prefix, owner in module.named_modules()
        for name, _ in owner.named_buffers(recurse=False)
    }
