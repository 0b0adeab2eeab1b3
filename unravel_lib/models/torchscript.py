"""TorchScript modules: the only module that uses PyTorch's private API for them (`_c`)."""

import contextlib
import copy
import hashlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from unravel_lib.errors import ModelError
from unravel_lib.models.screening.code import Code, class_key
from unravel_lib.models.screening.model_file import ModelFile
from unravel_lib.text import last_line, printable

Module = torch.nn.Module
INNER = ("_rave", "rave_model")  # where RAVE 1 with its prior, and MSPrior, keep the RAVE
# What a TorchScript module raises: torch.jit.Error, which is no RuntimeError, where its own code does; the others where
# PyTorch does, or where a result has an unexpected type or shape.
MODEL_ERRORS = (torch.jit.Error, RuntimeError, ValueError, IndexError, TypeError, AttributeError)

PAST = ("pad", "cache")  # buffers of these names hold the past input of a streaming export

log = logging.getLogger("unravel_lib")


class CallError(ModelError):
    """A call failed.

    Attributes
    ----------
    size : batch and frames of the call where they may be why, else 0
    out_of_memory : they are why
    """

    def __init__(self, found: str, size: tuple[int, int] = (0, 0), out_of_memory: bool = False, **fields: Any) -> None:
        super().__init__(found, **fields)
        self.size, self.out_of_memory = size, out_of_memory


def is_missing(error: Exception) -> bool:
    """Return True if a model failed because the device lacks one of its operations."""
    return isinstance(error, NotImplementedError) or "not implemented for" in str(error)


def load(file: ModelFile, trust: bool = False) -> Module:
    """Load a TorchScript file onto the CPU, in evaluation mode.

    Raises
    ------
    ModelError
        As `ModelFile.check`; or this PyTorch cannot load it.
    """
    try:
        with file.screened(trust) as source:
            module: Module = torch.jit.load(source, map_location="cpu").eval()  # type: ignore[no-untyped-call]
            return module
    except (*MODEL_ERRORS, OSError) as error:
        found = f"is TorchScript, but this PyTorch cannot load it: {last_line(error)}"
        raise ModelError(found, path=file.path) from error


class _Prints(io.TextIOBase):
    """Logs what the code of a model prints: each line behind the model's name, control characters made visible."""

    def __init__(self, name: str) -> None:
        self._name = printable(name)

    def write(self, text: str) -> int:  # what a model prints comes in whole lines
        for line in filter(None, text.split("\n")):
            log.info("%s: %s", self._name, printable(line))
        return len(text)


@contextlib.contextmanager
def prints_logged(name: str) -> Iterator[None]:
    """Log what the code of a model prints or warns of: stdout is for results, and the terminal is not the model's.

    Parameters
    ----------
    name : the model's
    """
    with contextlib.redirect_stdout(_Prints(name)), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(message)
        yield


def call(module: Module, name: str, method: str, x: torch.Tensor) -> Any:
    """Call a method by the plain interpreter; `name` is the model's.

    The profiling one recompiles for new shapes and fuses after a few calls: slower on short files, and the bytes of a
    file would depend on how many came before it.
    """
    with prints_logged(name), torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        return getattr(module, method)(x)


def copy_with_same_parameters(module: Module) -> Module:
    """Return a copy of a module with everything in it but the parameters, which both share."""
    copied = copy.deepcopy(module)
    owners = dict(copied.named_modules())
    for path, owner in module.named_modules():
        for name, value in owner.named_parameters(recurse=False):
            _compiled(owners[path]).setattr(name, value)
    return copied


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


def class_name(module: Module) -> str:
    """Return the class that the module was an instance of when it was exported: `VariationalScriptedRAVE`."""
    return str(getattr(module, "original_name", "") or "")


def compiled_methods(module: Module) -> list[str]:
    """Return the names of all methods in the file."""
    return list(_compiled(module)._method_names())


def stated_methods(module: Module) -> list[str]:
    """Return the names of the methods that the module states (`get_methods`), else of all public ones."""
    if hasattr(module, "get_methods"):
        named = getattr(module, "get_methods")()  # noqa: B009  its type is known at run time only
        if isinstance(named, (list, tuple)) and named:
            return [str(name) for name in named]
    return [name for name in compiled_methods(module) if not name.startswith("_")]


def has(module: Module, *names: str) -> bool:
    """Return True if the module has all these attributes; their values may be None."""
    return all(_compiled(module).hasattr(name) for name in names)


def value(module: Module, name: str) -> Any:
    """Return the value of an attribute, a single value as a number; None where it does not exist or cannot be read."""
    if not has(module, name):
        return None
    try:
        found = getattr(module, name)
    except MODEL_ERRORS:
        return None
    return found.item() if isinstance(found, torch.Tensor) and found.numel() == 1 else found


def submodule(module: Module, name: str) -> Module | None:
    """Return a submodule, or None: an attribute of that name may exist and be None."""
    found = value(module, name)
    return found if isinstance(found, Module) else None


def inner_rave(module: Module) -> Module | None:
    """Return the RAVE inside a file that combines it with a prior."""
    return next((part for part in (submodule(module, name) for name in INNER) if part is not None), None)


def signatures(module: Module) -> dict[str, tuple[str, int]]:
    """Return for each method its signature, `encode(Tensor x) -> Tensor`, and how many arguments it needs."""
    schemas = {name: _compiled(module)._get_method(name).schema for name in sorted(compiled_methods(module))}
    return {
        name: (
            re.sub(r"\(\S+ self(, )?", "(", str(schema), count=1),
            sum(not argument.has_default_value() for argument in schema.arguments[1:]),
        )
        for name, schema in schemas.items()
    }


def properties(module: Module) -> list[str]:
    """Return the names of all properties in the file."""
    return sorted(item.name for item in _compiled(module)._properties())


def data(file: ModelFile, module: Module) -> dict[str, Any]:
    """Return the attributes of a module that are neither method nor property; those that its code declares, too."""
    qualified_name = str(_compiled(module)._type().qualified_name())  # __torch__.rave.VariationalScriptedRAVE
    path = f"code/{qualified_name.rpartition('.')[0].replace('.', '/')}.py"
    names = {name for name, _ in module.named_children()}
    names |= {name for name, _ in module.named_parameters(recurse=False)}
    names |= {name for name, _ in module.named_buffers(recurse=False)}
    with contextlib.suppress(ModelError, ValueError, KeyError):  # read as text; nothing is run
        names |= Code({path: file.member(path) or b""}).classes[class_key(qualified_name)].names
    names -= {*compiled_methods(module), *properties(module)}
    found: dict[str, Any] = {}
    for name in sorted(name for name in names if has(module, name)):
        try:
            found[name] = getattr(module, name)
        except MODEL_ERRORS:
            found[name] = "a value that Python cannot represent"
    return found


def _compiled(module: Module) -> Any:
    """Return PyTorch's own object behind a TorchScript module; untyped and undocumented."""
    return module._c
