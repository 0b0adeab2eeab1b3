"""The object tables of a TorchScript file, `data.pkl` and `constants.pkl`: read without making any of their objects.

PyTorch does not check them: names of classes, how deep they nest, how large each tensor is, and whether a value has the
type that the code declares for it. That is done here.
"""

import itertools
import math
import pickletools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unravel_lib.models.screening.code import MAX_DEPTH, Classes, class_key, type_parts

MAX_REPEATED = 1 << 24  # values of a tensor that has fewer of its own; a copy of it, 64 MiB
# what PyTorch writes; its reader takes no others
_OPCODES = """
    PROTO STOP MARK GLOBAL NEWOBJ REDUCE BUILD BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE
    BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS
    EMPTY_DICT SETITEM SETITEMS
"""
OPCODES = frozenset(_OPCODES.split())
PROTOCOL = 2  # that PyTorch reads
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
OWN = "__torch__."
OWN_NAME = re.compile(r"__torch__\.(?!torch\.classes)[\w.<>]+", re.ASCII)  # of the file, not what libraries register
INTERFACES = ("Interface", "ModuleInterface")
_ITEM_BYTES = {
    1: "Bool Byte Char",
    2: "Short Half BFloat16",
    4: "Int Float",
    8: "Long Double ComplexFloat",
    16: "ComplexDouble",
}
ITEM_BYTES = {f"torch.{kind}Storage": size for size, kinds in _ITEM_BYTES.items() for kind in kinds.split()}
_LISTS = {"int": "int", "double": "float", "bool": "bool", "tensor": "Tensor"}
LISTS = {f"torch.jit._pickle.build_{name}list": f"List[{kind}]" for name, kind in _LISTS.items()}
CALLED = (
    *("collections.OrderedDict", "torch.device"),
    *("torch._utils._rebuild_tensor_v2", "torch.jit._pickle.restore_type_tag"),
)
UNDECLARED = ("import", "values", "hooks", "List", "Dict")  # kinds that no type is; of a container without its tag


def check(table: str, data: bytes, tensor_bytes: Mapping[str, int], classes: Classes) -> None:
    """Raise ValueError for what PyTorch does not write in an object table, or what its code does not declare.

    Parameters
    ----------
    table : its name
    tensor_bytes : the bytes that the archive has for each key of a tensor
    classes : what the code declares
    """
    try:
        _Types(classes).check(_outermost(data, tensor_bytes), "Any", "it")
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"an odd object table ({' '.join(str(error).split())[:80]}) in {table}") from None


@dataclass(slots=True, eq=False)
class _Value:
    """What a step of a table would make.

    Attributes
    ----------
    kind : its type as code writes it, or one of `UNDECLARED`
    content : a number, a text, the name of an import, how many values of a tensor there are; in a container its items,
        in a dict and in an object keys and values in turn; None in an object that is not complete
    depth : how deep it nests
    is_shared : it was fetched from the memo: it may not grow
    """

    kind: str
    content: Any = None
    depth: int = 0
    is_shared: bool = False

    def take(self, items: "list[_Value]") -> "_Value":
        """Put items into it; return it."""
        if self.is_shared:
            raise ValueError("an object that grows after its making")
        self.content.extend(items)
        self.depth = max([self.depth, *(1 + item.depth for item in items)])
        if self.depth > MAX_DEPTH:
            raise ValueError(f"objects nested more than {MAX_DEPTH} deep")
        return self


def _outermost(data: bytes, tensor_bytes: Mapping[str, int]) -> _Value:
    """Return the value that a table describes; raise ValueError for steps that PyTorch does not write."""
    stack: list[_Value] = []
    below: list[list[_Value]] = []  # for each mark what is below it
    memo: dict[int, _Value] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in OPCODES or (opcode.name == "PROTO" and argument != PROTOCOL):
            raise ValueError(f"{opcode.name} in it")
        if opcode.name == "MARK":
            below.append(stack)
            stack = []
        elif opcode.name in ("BINPUT", "LONG_BINPUT"):
            if argument > len(data):
                raise ValueError("more references than values")
            memo[argument] = stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
            memo[argument].is_shared = True
        elif opcode.name not in ("PROTO", "STOP"):
            wanted, items = list(opcode.stack_before), list[_Value]()
            if pickletools.stackslice in wanted:  # behind a mark
                items, stack = stack, below.pop()
                del wanted[-2:]
            taken = [stack.pop() for _ in wanted][::-1]
            stack.append(_made(opcode.name, argument, taken + items, tensor_bytes))
    if below or len(stack) != 1:
        raise ValueError("values that belong to nothing")
    return stack[0]


def _made(step: str, argument: Any, taken: list[_Value], tensor_bytes: Mapping[str, int]) -> _Value:
    """Return what a step makes of what it takes."""
    match step, taken:
        case "GLOBAL", _:
            name = str(argument).replace(" ", ".", 1)
            if not (OWN_NAME.fullmatch(name) or name in CALLED or name in LISTS or name in ITEM_BYTES):
                raise ValueError(f"an import of {name!r}")
            return _Value("import", name)
        case "EMPTY_LIST" | "EMPTY_DICT", _:
            return _Value(step[6:].title(), [])
        case "EMPTY_TUPLE" | "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3", items:
            return _Value("Tuple", []).take(items)
        case "APPEND" | "APPENDS", [_Value("List") as container, *items]:
            return container.take(items)
        case "SETITEM" | "SETITEMS", [_Value("Dict") as container, *items] if len(items) % 2 == 0:
            return container.take(items)
        case "NEWOBJ", [_Value("import", str(name)), _Value("Tuple", [])] if name.startswith(OWN):
            return _Value(name)
        case "BUILD", [_Value(content=None) as made, _Value("Dict", state)] if made.kind.startswith(OWN):
            made.content = []
            return made.take(state)
        case "BINPERSID", [_Value("Tuple", [_, _Value("import", kind), _Value("str", key), _, _Value("int", count)])]:
            there = tensor_bytes.get(key, 0)
            if not 0 <= count * ITEM_BYTES[kind] <= there:
                raise ValueError(f"{count} values for tensor {key[:20]}, which has {there} bytes")
            return _Value("values", count)
        case "REDUCE", [_Value("import", name), _Value("Tuple", given)]:
            return _called(name, given)
        case _, []:
            constant = CONSTANTS.get(step, argument)
            return _Value(type(constant).__name__, constant)
    raise ValueError(f"an odd {step}")


def _called(name: str, given: list[_Value]) -> _Value:
    """Return what one of PyTorch's own functions makes."""
    match name, given:
        case "torch._utils._rebuild_tensor_v2", [
            _Value("values", int(count)),
            offset,
            _Value("Tuple", size),
            _Value("Tuple", stride),
            *_,
        ]:
            return _tensor(count, offset, size, stride)
        case "torch.jit._pickle.restore_type_tag", [value, _Value("str", tag)]:
            return _tagged(value, tag)
        case _, [value] if name in LISTS:
            return _tagged(value, LISTS[name])
        case "torch.device", _:
            return _Value("Device")
        case "collections.OrderedDict", _:
            return _Value("hooks")
    raise ValueError(f"an odd call of {name[:60]}")


def _tagged(value: _Value, tag: str) -> _Value:
    """Return a list or dict whose type is stated; it has one type everywhere."""
    name, parts = type_parts(tag)
    if value.kind not in (tag, name) or len(parts) != {"List": 1, "Dict": 2}.get(name):
        raise ValueError(f"{tag[:40]} for something else")
    value.kind = tag
    return value


def _tensor(count: int, offset: _Value, size: list[_Value], stride: list[_Value]) -> _Value:
    """Return a tensor, which must lie within its values, of which there are `count`."""
    if any(number.kind != "int" or number.content < 0 for number in (offset, *size, *stride)):
        raise ValueError("a tensor of negative size")
    sizes, steps = [number.content for number in size], [number.content for number in stride]
    last = offset.content + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    if 0 not in sizes and last >= count:
        raise ValueError("a tensor larger than its values")
    if math.prod(sizes) > max(count, MAX_REPEATED):
        raise ValueError("a tensor that repeats its values without end")
    return _Value("Tensor")


class _Types:
    """Checks that all values of a table have the types that the code declares; PyTorch does not.

    What is taken for a value of another class is read and written at places that it does not have.
    """

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._checked: set[tuple[int, str]] = set()

    def check(self, value: _Value, declared: str, where: str) -> None:
        """Raise ValueError if a value, or anything in it, is not of its declared type."""
        if (id(value), declared) in self._checked:
            return
        self._checked.add((id(value), declared))
        if not self._fits(value, declared):
            raise ValueError(f"{where[-60:]}, declared as {declared[:60]}, is {value.kind[:60]}")
        name, parts = type_parts(declared)
        if name in ("Optional", "Union"):
            self.check(value, next(part for part in (*parts, "NoneType") if self._fits(value, part)), where)
        elif value.kind.startswith(OWN):
            self._check_attributes(value)
        elif isinstance(value.content, list):
            kinds: Iterable[str] = itertools.cycle(type_parts(value.kind)[1])
            if value.kind == "Tuple":
                kinds = self._tuple_types(declared) or itertools.repeat("Any")
            for item, kind in zip(value.content, kinds, strict=False):
                self.check(item, kind, where)

    def _check_attributes(self, value: _Value) -> None:
        known = self._classes.get(class_key(value.kind))
        if value.content is None or known is None or known.kind not in ("", "Module"):
            raise ValueError(f"an object of {value.kind[:60]}, which the code does not declare")
        names = [key.content for key in value.content[::2]]
        if sorted(names) != sorted(known.attributes):
            raise ValueError(f"{value.kind[:60]} with other attributes than declared")
        for name, item in zip(names, value.content[1::2], strict=True):
            self.check(item, known.attributes[name], f"{value.kind}.{name}")

    def _fits(self, value: _Value, declared: str) -> bool:
        """Return True if a value is of a type, without a look at what it contains."""
        name, parts = type_parts(declared)
        if name in ("Optional", "Union"):
            return any(self._fits(value, part) for part in parts) or (name, value.kind) == ("Optional", "NoneType")
        if value.kind in UNDECLARED:
            return False
        if value.kind == "Tuple" and name != "Any":
            kinds = self._tuple_types(declared)
            return kinds is not None and len(kinds) == len(value.content)
        is_number = name == "number" and value.kind in ("int", "float")
        return declared in ("Any", value.kind) or is_number or self._implements(value.kind, name)

    def _tuple_types(self, declared: str) -> tuple[str, ...] | None:
        """Return the types in a tuple; None where the type is no tuple or may be any."""
        name, parts = type_parts(declared)
        known = self._classes.get(class_key(name))
        if known is not None and known.kind == "NamedTuple":
            return tuple(known.attributes.values())
        return parts if name == "Tuple" else None

    def _implements(self, kind: str, name: str) -> bool:
        """Return True if `name` is an interface and the class `kind` has its methods, type by type."""
        wanted, own = (self._classes.get(class_key(key)) for key in (name, kind))
        if wanted is None or own is None or wanted.kind not in INTERFACES:
            return False
        return wanted.methods.items() <= own.methods.items()
