"""What the code inside a TorchScript file could do to the machine, judged by its text alone. No files.

TorchScript has no `import`, no `open` and no `eval`. The remaining dangers are operators (`torch.save` writes a file,
others write outside of their tensors), classes that other libraries register, values taken for ones of another class,
and `__setstate__`, which runs as soon as the file is loaded. So code may use the operators that `operators` lists, and
must look as PyTorch writes it: what only PyTorch's own parser reads cannot be judged here.
"""

import ast
import collections
import functools
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from unravel_lib.models.screening.operators import ATEN, COUNTED, PRIM

MAX_DEPTH = 100  # of nesting; real exports have up to 12
RUN_ON_LOADING = "__setstate__"
WRITTEN = re.compile(rb"[\n\x20-\x7e]*")  # the characters that PyTorch writes
STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"' rb"|'(?:[^'\\\n]|\\.)*'")
NEVER_WRITTEN = re.compile(rb"[#\\\"']")  # outside of strings: comments, joined lines, strings over many lines
NAMELESS = (ast.Constant, ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
CAST = "unchecked_cast"
DTYPES = (None, *range(8), 9, 10, 11, 15)  # ordinary ones by number; others are read behind the end of a table
RESULTS = {"out", "out0", "out1", "values", "indices", "min", "min_indices", "max", "max_values"}  # tensors to write to
WITH_DTYPE = {"to": 1, "view": 1, "softmax": 2, "log_softmax": 2}  # without its name, at or behind this place
CHECKED = {"Tensor", "int", "float", "bool", "str", "complex", "number", "Device", "NoneType"}  # wherever they are used
CONTAINERS = {"Optional", "List", "Dict"}


@dataclass(frozen=True)
class Class:
    """A class that the code declares.

    Attributes
    ----------
    kind : what it is derived from: Module, Interface, ModuleInterface, NamedTuple, or nothing
    attributes : name -> type, as text, of what an object holds, in their order
    methods : name -> the types of parameters and result, as text
    names : all of these, and constants
    """

    kind: str
    attributes: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


Classes = Mapping[str, Class]  # `__torch__.module.Class` -> what it declares


class Code:
    """All code members of a file.

    Parameters
    ----------
    members : name in the archive, without its root -> source

    Attributes
    ----------
    members : as given
    classes : what they declare
    """

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self.members = members
        self._doubled: dict[str, str] = {}
        self.classes: dict[str, Class] = {}
        self._trees = {name: _parsed(source) for name, source in members.items()}
        for name, tree in self._trees.items():
            for node in tree.body if tree is not None else ():
                if isinstance(node, ast.ClassDef):
                    full = class_key(f"{name[5:-3].replace('/', '.')}.{node.name}")
                    if full in self.classes:
                        self._doubled[name] = full
                    self.classes[full] = _class(node)

    def suspicions(self, name: str) -> Iterator[str]:
        """Yield what a code member contains that could act outside the model, or that cannot be judged.

        The code is in the syntax of Python, so Python's own parser reads it: spaces, string escapes and names given to
        `getattr` hide nothing.
        """
        source, tree = self.members[name], self._trees[name]
        if tree is None:
            yield "unreadable code"
            return
        if name in self._doubled:
            yield f"{self._doubled[name]} twice"
        module = name[5:-3].replace("/", ".")
        yield from dict.fromkeys(_judged(tree, self.classes, module))
        if not WRITTEN.fullmatch(source) or NEVER_WRITTEN.search(STRING.sub(b"", source)):
            yield "code that PyTorch does not write (comments or odd characters)"


def class_key(name: str) -> str:
    """Return the key of `__torch__.module.Class` in `Classes`: PyTorch ignores the case of members."""
    module, dot, own = name.rpartition(".")
    return module.lower() + dot + own


def _parsed(source: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown escapes in strings
            return ast.parse(source.decode("utf-8"))  # as text: bytes could declare another encoding
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _class(node: ast.ClassDef) -> Class:
    found = Class(node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else "")
    for line in node.body:
        if isinstance(line, ast.FunctionDef):
            found.methods[line.name] = _signature(line)
            found.names.add(line.name)
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found.names.add(line.target.id)
            if line.value is None:  # else a constant, which no object holds
                found.attributes[line.target.id] = _text(line.annotation)
        elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Subscript):
            name = line.targets[0].slice  # __annotations__["0"] = Class, where a name is no identifier
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.names.add(name.value)
                found.attributes[name.value] = _text(line.value)
    return found


def _signature(node: ast.FunctionDef) -> str:
    types = [_text(argument.annotation) if argument.annotation else "Tensor" for argument in node.args.args[1:]]
    return f"({', '.join(types)}) -> {_text(node.returns) if node.returns else ''}"


def _text(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return "nested without end"


def type_tree(text: str) -> ast.expr:
    """Return a type as it is written in code, parsed; raises ValueError."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("a type that cannot be read") from error


def type_text(text: str) -> str:
    """Return a type as `Class.attributes` spells it."""
    return _text(type_tree(text))


@functools.lru_cache(10_000)
def type_parts(text: str) -> tuple[str, tuple[str, ...]]:
    """Split `Dict[str, List[int]]` into Dict and its parts; a type without parts has none."""
    node = type_tree(text)
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return text, ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return node.value.id, tuple(_text(part) for part in parts)


def is_checked(text: str) -> bool:
    """Return True for types that PyTorch checks wherever a value is used: no classes, no tuples, nothing unknown."""
    name, parts = type_parts(text)
    return name in CHECKED if not parts else name in CONTAINERS and all(map(is_checked, parts))


class _Function:
    """The names in a function, and their types where one assignment decides."""

    def __init__(self, node: ast.FunctionDef | None, classes: Classes, owner: str | None) -> None:
        self.node, self._classes = node, classes
        arguments = node.args.args if node is not None else []
        self._types = {a.arg: _text(a.annotation) if a.annotation else "Tensor" for a in arguments}
        if owner is not None and arguments:  # PyTorch does not read what is written there
            self._types[arguments[0].arg] = owner
        self._values: dict[str, ast.expr] = {}
        self._stored: collections.Counter[str] = collections.Counter(list(self._types))
        for part in ast.walk(node) if node is not None else ():
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self._stored[part.id] += 1
            elif isinstance(part, ast.Assign) and len(part.targets) == 1 and isinstance(part.targets[0], ast.Name):
                self._values[part.targets[0].id] = part.value

    def type_of(self, node: ast.expr, depth: int = 0) -> str | None:
        """Return the type of an expression as text, None where it does not follow from declarations."""
        if depth > MAX_DEPTH:
            return None
        if isinstance(node, ast.Constant):
            return type(node.value).__name__
        if isinstance(node, ast.Name) and self._stored[node.id] == 1:
            if node.id in self._values:
                return self.type_of(self._values[node.id], depth + 1)
            return self._types.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node.value, node.attr, depth)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not self._stored[node.func.id]:
            named = node.func.id
            if named == "getattr" and len(node.args) == 2 and isinstance(node.args[1], ast.Constant):
                return self._attribute(node.args[0], str(node.args[1].value), depth)
            if named in ("annotate", CAST) and node.args:
                return _text(node.args[0])
            return "int" if named == "int" else None
        return None

    def _attribute(self, owner: ast.expr, name: str, depth: int) -> str | None:
        known = self._classes.get(class_key(self.type_of(owner, depth + 1) or ""))
        return None if known is None else known.attributes.get(name)

    def is_dtype(self, node: ast.expr, by_name: bool) -> bool:
        """Return False for a dtype that is no ordinary one; `by_name` also for what no code of PyTorch's gives it."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(node, ast.Name) and self._stored[node.id] == 1 and node.id in self._values):
                break
            node = self._values[node.id]
        if isinstance(node, (ast.Constant, ast.UnaryOp, ast.BinOp)):
            value = node.value if isinstance(node, ast.Constant) else -1
            return isinstance(value, bool) or type(value) is str or value in DTYPES
        return not (by_name and isinstance(node, ast.Call) and _text(node.func).startswith(("torch.", "ops.aten.")))

    def refused(self, owner: ast.expr, name: str) -> list[str]:
        """Return the operator that `owner.name` may be, unless a class of the file declares that name."""
        if not _is_refused(name):
            return []
        known = self._classes.get(class_key(self.type_of(owner) or ""))
        return [] if known is not None and name in known.names else [f"torch.{name}"]


def _judged(tree: ast.Module, classes: Classes, module: str) -> Iterator[str]:
    """Judge every node of a code member; without recursion, so that any depth of nesting is safe."""
    nodes: list[tuple[ast.AST, int, _Function, str | None]] = [(tree, 0, _Function(None, classes, None), None)]
    while nodes:
        node, depth, function, owner = nodes.pop()
        if depth > MAX_DEPTH:
            yield f"code nested more than {MAX_DEPTH} deep"
            return
        if isinstance(node, ast.ClassDef):
            owner = f"{module}.{node.name}"
        elif isinstance(node, ast.FunctionDef):
            if function.node is not None:
                yield "a function inside another"
                return
            if node.name == RUN_ON_LOADING:
                yield RUN_ON_LOADING
            function = _Function(node, classes, owner)
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, NAMELESS)]
        if isinstance(node, ast.Call) and (judged := _judged_call(node, function)) is not None:
            yield from judged
            children.remove(node.func)
        elif isinstance(node, ast.Attribute):
            inner, parts = _dotted(node)
            yield from _dotted_name(node, parts, function)
            children = [] if parts[0] else [inner]
            depth += len(parts) - 2
        elif isinstance(node, ast.Name):
            yield from _bare_name(node.id)
        nodes.extend((child, depth + 1, function, owner) for child in reversed(children))


def _judged_call(node: ast.Call, function: _Function) -> list[str] | None:
    """Judge a call whose arguments decide; None for any other."""
    called = node.func
    for keyword in node.keywords:
        if keyword.arg in RESULTS or keyword.arg is None:
            return [f"a result that is written to a given place ({keyword.arg})"]
        if keyword.arg == "layout" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
            return ["a tensor that is not dense"]
        if keyword.arg == "dtype" and not function.is_dtype(keyword.value, by_name=True):
            return ["a dtype that is no ordinary one"]
    if isinstance(called, ast.Attribute) and called.attr in WITH_DTYPE:
        places = node.args[WITH_DTYPE[called.attr] - (_text(called.value) not in ("torch", "ops.aten")) :]
        if not all(function.is_dtype(argument, by_name=False) for argument in places):
            return ["a dtype that is no ordinary one"]
    if isinstance(called, ast.Name) and called.id == "getattr":
        return _getattr(node, function)
    if isinstance(called, ast.Name) and called.id == CAST:
        if len(node.args) != 2 or node.keywords:
            return [f"an odd {CAST}"]
        wanted = _text(node.args[0])
        known = is_checked(wanted) or function.type_of(node.args[1]) == f"Optional[{wanted}]"
        return [] if known else [f"{CAST} to {wanted}"]
    if isinstance(called, ast.Attribute) and called.attr == COUNTED and _text(called.value) == "torch":
        plain = len(node.args) in (2, 3) and not node.keywords
        counted = plain and function.type_of(node.args[1]) == "int"
        return [] if counted else [f"torch.{COUNTED} with counts that are not known to be one number"]
    return None


def _dotted(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """Split `a.b.c` into its innermost expression and ["a", "b", "c"]; the first is "" where it is no global name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    is_global = isinstance(node, ast.Name) and node.id in ("torch", "ops", "__torch__")
    parts.append(node.id if is_global and isinstance(node, ast.Name) else "")
    return node, parts[::-1]


def _dotted_name(node: ast.Attribute, parts: list[str], function: _Function) -> Iterator[str]:
    """Judge a name as a whole: `torch.save`, `ops.prim.data`, `__torch__.module.Class`, `.net.save`."""
    if parts[0] == "__torch__":  # a class or function of the file itself, but for those that libraries register
        if parts[1:3] in (["torch"], ["torch", "classes"]):
            yield ".".join(parts)
    elif parts[0] == "ops":
        allowed = {"aten": ATEN, "prim": PRIM}.get(parts[1], frozenset())
        if len(parts) != 3 or parts[2] not in allowed:
            yield ".".join(["torch", *parts])
    elif parts[0] == "torch" and parts[1] not in ATEN:
        yield f"torch.{parts[1]}"
    else:
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            yield from function.refused(inner.value, inner.attr)
            inner = inner.value


@functools.cache
def _bare_name(name: str) -> tuple[str, ...]:
    if name in ("torch", "ops", "__torch__", "getattr", CAST):  # to be completed elsewhere
        return (f"{name} under another name",)
    return (name,) if name == RUN_ON_LOADING or (name not in PRIM and _is_operator(f"prim::{name}")) else ()


def _getattr(node: ast.Call, function: _Function) -> list[str]:
    name = node.args[1] if len(node.args) > 1 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return function.refused(node.args[0], name.value)
    return ["a computed getattr"]


@functools.cache
def _is_refused(name: str) -> bool:
    """Return True for names that PyTorch resolves to an operator, on any value, that is not in the allowed list."""
    if name == RUN_ON_LOADING:
        return True
    return name not in ATEN and name not in PRIM and (_is_operator(f"aten::{name}") or _is_operator(f"prim::{name}"))


def _is_operator(name: str) -> bool:
    import torch

    return bool(torch._C._jit_get_schemas_for_operator(name))
