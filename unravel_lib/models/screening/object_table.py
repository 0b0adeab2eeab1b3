"""The object tables of a TorchScript file, `data.pkl` and `constants.pkl`: read without making any of their objects.

PyTorch does not check them: names of classes, how deep they nest, how large each tensor is, and whether a value has the
type that the code declares for it. That is done here.
"""

import functools
import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unravel_lib.models.screening.code import MAX_DEPTH, Classes, class_key, is_checked, type_parts, type_text

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
SIMPLE = {
    **{kind.__name__: (kind,) for kind in (int, float, bool, str, type(None))},
    "number": (int, float),
    "Any": (int, float, bool, str, type(None)),
}
INTERFACES = ("Interface", "ModuleInterface")
ITEM_BYTES = {
    **dict.fromkeys(("torch.BoolStorage", "torch.ByteStorage", "torch.CharStorage"), 1),
    **dict.fromkeys(("torch.ShortStorage", "torch.HalfStorage", "torch.BFloat16Storage"), 2),
    **dict.fromkeys(("torch.IntStorage", "torch.FloatStorage"), 4),
    **dict.fromkeys(("torch.LongStorage", "torch.DoubleStorage", "torch.ComplexFloatStorage"), 8),
    "torch.ComplexDoubleStorage": 16,
}


def suspicions(data: bytes, tensor_bytes: Mapping[str, int], classes: Classes) -> Iterator[str]:
    """Yield what an object table contains that PyTorch does not write, or that its code does not declare.

    Parameters
    ----------
    tensor_bytes : the bytes that the archive has for each key of a tensor
    classes : what the code declares
    """
    try:
        yield from filter(None, map(_suspicious, dict.fromkeys(imports(data))))
        _refuse_odd_steps(data)
        reader = _Reader(data, tensor_bytes)
        _Types(classes, reader.tags).check(reader.load(), "Any", "it")
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, RecursionError, pickle.PickleError) as error:
        yield f"an odd object table ({' '.join(str(error).split())[:80]})"


def imports(data: bytes) -> Iterator[str]:
    """Yield each `module.name` that a pickle would import, read without running it; raise ValueError where it is none.

    Only the step that PyTorch writes is looked at: all others are refused.
    """
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".", 1)


def _suspicious(name: str) -> str | None:
    """Return what is suspicious about an imported name; None where it is harmless."""
    if name.startswith("__torch__.") and not name.startswith(CLASSES + "classes") and NAME.fullmatch(name):
        return None
    if name in MADE or name in ITEM_BYTES:
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
class _Other:
    """Stand-in for a tensor, for its values in the archive, or for a device."""

    kind: str
    count: int = 0


class _Object:
    """Stand-in for an object of a class that the code declares."""

    class_name = ""
    state: dict[str, Any] | None = None  # until it is complete

    def __setstate__(self, state: Any) -> None:
        if self.state is not None or type(state) is not dict:
            raise ValueError("an object that is made in an odd way")
        self.state = dict(state)  # as PyTorch takes it over now, whatever is added later


class _Reader(pickle.Unpickler):
    """Python's own reader of pickles, which imports nothing here.

    Attributes
    ----------
    tags : the type that the table says a list or dict has, by the identity of that
    """

    def __init__(self, data: bytes, tensor_bytes: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(data))
        self._tensor_bytes = tensor_bytes
        self._own: dict[str, type[_Object]] = {}
        self._kept: list[Any] = []  # so that no identity is given twice
        self.tags: dict[int, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an imported name."""
        full = f"{module}.{name}"
        if full.startswith("__torch__."):
            return self._own.setdefault(full, type(name, (_Object,), {"class_name": full}))
        return full if full in ITEM_BYTES else functools.partial(MADE[full], self)

    def tagged(self, value: Any, tag: str) -> Any:
        """Return a list or dict whose type is stated."""
        if type(value) not in (list, dict) or self.tags.setdefault(id(value), tag) != tag:
            raise ValueError(f"{tag[:40]} for something else")
        self._kept.append(value)
        return value

    def persistent_load(self, pid: Any) -> _Other:
        """Return the values of a tensor, which the archive must have as many of as the table says."""
        _, kind, key, _, count = pid
        there = self._tensor_bytes.get(key, 0)
        if not 0 <= count * ITEM_BYTES[kind] <= there:
            raise ValueError(f"{count} values for tensor {str(key)[:20]}, which has {there} bytes")
        return _Other("values", count)


def _tensor(
    reader: _Reader, storage: _Other, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> _Other:
    """Return a tensor, which must lie within its values."""
    if min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor of negative size")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.count:
        raise ValueError("a tensor larger than its values")
    if math.prod(size) > max(storage.count, MAX_REPEATED):
        raise ValueError("a tensor that repeats its values without end")
    return _Other("Tensor")


def _list_of(kind: str) -> Callable[[_Reader, Any], Any]:
    return lambda reader, values: reader.tagged(values, f"List[{kind}]")


MADE: dict[str, Callable[..., Any]] = {  # what PyTorch's own functions make
    "collections.OrderedDict": lambda reader: None,
    "torch.device": lambda reader, name: _Other("Device"),
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.jit._pickle.restore_type_tag": lambda reader, value, tag: reader.tagged(value, type_text(tag)),
    "torch.jit._pickle.build_intlist": _list_of("int"),
    "torch.jit._pickle.build_doublelist": _list_of("float"),
    "torch.jit._pickle.build_boollist": _list_of("bool"),
    "torch.jit._pickle.build_tensorlist": _list_of("Tensor"),
}


class _Types:
    """Checks that all values of a table have the types that the code declares; PyTorch does not.

    What is taken for a value of another class is read and written at places that it does not have.
    """

    def __init__(self, classes: Classes, tags: Mapping[int, str]) -> None:
        self._classes, self._tags = classes, tags
        self._checked: set[tuple[int, str]] = set()

    def check(self, value: Any, declared: str, where: str) -> None:
        """Raise ValueError if a value, or anything in it, is not of its declared type."""
        if (id(value), declared) in self._checked:
            return
        self._checked.add((id(value), declared))
        if isinstance(value, _Object):
            self._check_object(value)
        if not self._fits(value, declared):
            raise ValueError(f"{where[-60:]}, declared as {declared[:60]}, is {self._kind(value)[:60]}")
        name, parts = type_parts(declared)
        if name in ("Optional", "Union"):
            self.check(value, next(part for part in (*parts, "NoneType") if self._fits(value, part)), where)
        elif isinstance(value, (list, dict)):
            kinds = type_parts(self._tags[id(value)])[1]
            for kind, items in zip(
                kinds, (value, value.values()) if isinstance(value, dict) else (value,), strict=True
            ):
                for item in items:
                    self.check(item, kind, where)
        elif isinstance(value, tuple):
            kinds = ("Any",) * len(value) if name == "Any" else self._tuple_types(declared) or ()
            for item, kind in zip(value, kinds, strict=True):
                self.check(item, kind, where)

    def _check_object(self, value: _Object) -> None:
        known = self._classes.get(class_key(value.class_name))
        if value.state is None or known is None or known.kind not in ("", "Module"):
            raise ValueError(f"an object of {value.class_name[:60]}, which the code does not declare")
        if value.state.keys() != known.attributes.keys():
            raise ValueError(f"{value.class_name[:60]} with other attributes than declared")
        for name, declared in known.attributes.items():
            self.check(value.state[name], declared, f"{value.class_name}.{name}")

    def _fits(self, value: Any, declared: str) -> bool:
        """Return True if a value is of a type, without a look at what it contains."""
        name, parts = type_parts(declared)
        if name in ("Optional", "Union"):
            return any(self._fits(value, part) for part in parts) or (name == "Optional" and value is None)
        if isinstance(value, (list, dict)):  # the tag is what PyTorch goes by: one container has one type everywhere
            tag = self._tags.get(id(value), "untagged")
            kind, parts = type_parts(tag)
            # keys that are equal in Python, such as 1 and True, hide values from this check
            hides = kind == "Dict" and parts[0] != "str" and not is_checked(parts[1])
            return declared in ("Any", tag) and (kind, type(value)) in (("List", list), ("Dict", dict)) and not hides
        if isinstance(value, tuple):
            kinds = self._tuple_types(declared)
            return name == "Any" or (kinds is not None and len(kinds) == len(value))
        if isinstance(value, _Object):
            return name in ("Any", value.class_name) or self._implements(value, name)
        if isinstance(value, _Other):
            return name in ("Any", value.kind)
        return type(value) in SIMPLE.get(name, ())

    def _tuple_types(self, declared: str) -> tuple[str, ...] | None:
        """Return the types in a tuple; None where the type is no tuple or may be any."""
        name, parts = type_parts(declared)
        known = self._classes.get(class_key(name))
        if known is not None and known.kind == "NamedTuple":
            return tuple(known.attributes.values())
        return parts if name == "Tuple" else None

    def _implements(self, value: _Object, name: str) -> bool:
        """Return True if `name` is an interface and the class of an object has its methods, type by type."""
        wanted, own = (self._classes.get(class_key(key)) for key in (name, value.class_name))
        if wanted is None or own is None or wanted.kind not in INTERFACES:
            return False
        return wanted.methods.items() <= own.methods.items()

    def _kind(self, value: Any) -> str:
        if isinstance(value, _Object):
            return value.class_name
        return self._tags.get(id(value)) or str(getattr(value, "kind", type(value).__name__))
