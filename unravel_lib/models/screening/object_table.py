"""The object tables of a TorchScript file, `data.pkl` and `constants.pkl`: read without making any of their objects.

PyTorch does not check them: names of classes, how deep they nest, how large each tensor is. That is done here.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unravel_lib.models.screening.code import MAX_DEPTH

MAX_GLOBALS = 100_000
MAX_REPEATED = 1 << 24  # values of a tensor that has fewer of its own; a copy of it, 64 MiB
# what PyTorch writes; its reader takes no others
_OPCODES = """
    PROTO STOP MARK GLOBAL NEWOBJ REDUCE BUILD BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE
    BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS
    EMPTY_DICT SETITEM SETITEMS
"""
OPCODES = frozenset(_OPCODES.split())
NAME = re.compile(r"[\w.<>]+", re.ASCII)
CLASSES = "__torch__.torch."  # what libraries register, not the file
OF_PYTORCH = {
    "collections.OrderedDict",
    "torch.device",
    "torch._utils._rebuild_tensor_v2",
    "torch.jit._pickle.restore_type_tag",
    *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool", "tensor")),
}
ITEM_BYTES = {
    **dict.fromkeys(("torch.BoolStorage", "torch.ByteStorage", "torch.CharStorage"), 1),
    **dict.fromkeys(("torch.ShortStorage", "torch.HalfStorage", "torch.BFloat16Storage"), 2),
    **dict.fromkeys(("torch.IntStorage", "torch.FloatStorage"), 4),
    **dict.fromkeys(("torch.LongStorage", "torch.DoubleStorage", "torch.ComplexFloatStorage"), 8),
    "torch.ComplexDoubleStorage": 16,
}


def suspicions(data: bytes, tensor_bytes: Mapping[str, int]) -> Iterator[str]:
    """Yield what an object table contains that PyTorch does not write.

    Parameters
    ----------
    tensor_bytes : the bytes that the archive has for each key of a tensor
    """
    try:
        yield from filter(None, map(_name, imports(data)))
        _refuse_odd_steps(data)
        _Reader(data, tensor_bytes).load()
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, pickle.UnpicklingError) as error:
        yield f"an odd object table ({' '.join(str(error).split())[:80]})"


def imports(data: bytes) -> list[str]:
    """List all `module.name` that a pickle would import, in order of appearance, read without running it.

    Raises
    ------
    ValueError
        Not a well-formed pickle.
    """
    found: dict[str, None] = {}
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            found[str(argument).replace(" ", ".", 1)] = None
        elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):  # TorchScript's own pickles have none of these
            found["a name that is only known at run time"] = None
        if len(found) > MAX_GLOBALS:
            raise ValueError("too many names")
    return list(found)


def _name(name: str) -> str | None:
    """Return what is suspicious about an imported name; None where it is harmless."""
    if name.startswith("__torch__.") and not name.startswith(CLASSES + "classes") and NAME.fullmatch(name):
        return None
    if name in OF_PYTORCH or name in ITEM_BYTES:
        return None
    return name if name.startswith(CLASSES) and NAME.fullmatch(name) else f"an import of {name!r}"


def _refuse_odd_steps(data: bytes) -> None:
    """Raise ValueError for steps that PyTorch does not write, and where anything made on the way nests too deep.

    The stack holds, for each value, how deep it nests, in a list of one that all references to the value share, and
    whether the value was fetched from the memo. What came from there is complete: it may not grow.
    """
    stack: list[tuple[list[int], bool] | None] = []  # None is a mark
    memo: dict[int, list[int]] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in OPCODES:
            raise ValueError(f"{opcode.name} in it")
        if isinstance(argument, str) and argument.count("[") > MAX_DEPTH:  # a type such as List[List[...]]
            raise ValueError(f"a type nested more than {MAX_DEPTH} deep")
        if opcode.name == "MARK":
            stack.append(None)
        elif opcode.name in ("BINPUT", "LONG_BINPUT"):
            if argument > len(data):
                raise ValueError("more references than values")
            memo[argument] = _top(stack)[0]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append((memo[argument], True))
        else:
            _step(opcode, stack)
    if stack:
        raise ValueError("values that belong to nothing")


def _step(opcode: pickletools.OpcodeInfo, stack: list[tuple[list[int], bool] | None]) -> None:
    """Take from the stack what a step takes and leave on it what it leaves, as `pickletools` describes it."""
    taken: list[list[int]] = []
    wanted = len(opcode.stack_before)
    if pickletools.stackslice in opcode.stack_before:
        while (entry := stack.pop()) is not None:
            taken.append(entry[0])
        wanted -= 2  # the mark and what is above it
    grows = opcode.name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD")
    for _ in range(wanted - grows):
        taken.append(_top(stack)[0])
        stack.pop()
    if not opcode.stack_after:
        return
    depth = 1 + max((deep for (deep,) in taken), default=-1)
    if depth > MAX_DEPTH:
        raise ValueError(f"objects nested more than {MAX_DEPTH} deep")
    if grows:
        cell, fetched = _top(stack)
        if fetched:
            raise ValueError("an object that grows after its making")
        cell[0] = max(cell[0], depth)
    else:
        stack.append(([depth], False))


def _top(stack: list[tuple[list[int], bool] | None]) -> tuple[list[int], bool]:
    if stack[-1] is None:
        raise ValueError("a mark in the place of a value")
    return stack[-1]


@dataclass
class _Storage:
    """The values of a tensor in the archive."""

    count: int


class _Object:
    """Stand-in for every object that the table would make."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Reader(pickle.Unpickler):
    """Python's own reader of pickles, which imports nothing here."""

    def __init__(self, data: bytes, tensor_bytes: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(data))
        self._tensor_bytes = tensor_bytes

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an imported name."""
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return _tensor
        return full if full in ITEM_BYTES else _Object

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the values of a tensor, which the archive must have as many of as the table says."""
        _, kind, key, _, count = pid
        there = self._tensor_bytes.get(key, 0)
        if not 0 <= count * ITEM_BYTES[kind] <= there:
            raise ValueError(f"{count} values for tensor {str(key)[:20]}, which has {there} bytes")
        return _Storage(count)


def _tensor(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> _Object:
    """Return a tensor, which must lie within its values."""
    if min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor of negative size")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.count:
        raise ValueError("a tensor larger than its values")
    if math.prod(size) > max(storage.count, MAX_REPEATED):
        raise ValueError("a tensor that repeats its values without end")
    return _Object()
