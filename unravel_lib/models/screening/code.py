"""What the code inside a TorchScript file could do to the machine, judged by its text alone. No files.

TorchScript has no `import`, no `open` and no `eval`. The remaining dangers are operators (`torch.save` writes a file,
others write outside of their tensors), classes that other libraries register, values taken for ones of another class,
and `__setstate__`, which runs as soon as the file is loaded. So code may use the operators that operators.txt lists,
and must look as PyTorch writes it: what only PyTorch's own parser reads cannot be judged here.
"""

import ast
import collections
import contextlib
import functools
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_DEPTH = 100  # of nesting; real exports have up to 12
RUN_ON_LOADING = "__setstate__"
WRITTEN = re.compile(rb"[\n\x20-\x7e]*")  # the characters that PyTorch writes
STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"' rb"|'(?:[^'\\\n]|\\.)*'")
NEVER_WRITTEN = re.compile(rb"[#\\\"']")  # outside of strings: comments, joined lines, strings over many lines
CAST = "unchecked_cast"
COUNTED = "repeat_interleave"  # is allowed with a number; it does not check a tensor of counts
_LISTED = re.sub("#.*", "", Path(__file__).with_name("operators.txt").read_text("utf-8"))
ATEN, PRIM = (frozenset(names.split()) for names in _LISTED.split("[prim]"))
DTYPES = (None, *range(8), 9, 10, 11, 15)  # ordinary ones by number; others are read behind the end of a table
RESULTS = {"out", "out0", "out1", "values", "indices", "min", "min_indices", "max", "max_values"}  # tensors to write to
ODD_DTYPE = "a dtype that is no ordinary one"
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
    classes : what they declare

    Raises
    ------
    ValueError
        Code that cannot be read, or that declares a class twice.
    """

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self.classes: dict[str, Class] = {}
        self._members = members
        self._trees: dict[str, ast.Module] = {}
        for name, source in members.items():
            with _naming(name):
                self._trees[name] = _parsed(source)
                for node in self._trees[name].body:
                    if isinstance(node, ast.ClassDef):
                        full = class_key(f"{_module(name)}.{node.name}")
                        if full in self.classes:
                            raise ValueError(f"{full} twice")
                        self.classes[full] = _class(node)

    def check(self) -> None:
        """Raise ValueError for what could act outside the model, or cannot be judged; it says what it is, and where.

        The code is in the syntax of Python, so Python's own parser reads it: spaces, string escapes and names given to
        `getattr` hide nothing.
        """
        for name, source in self._members.items():
            with _naming(name):
                _Judge(self.classes, _module(name)).visit(self._trees[name])
                if not WRITTEN.fullmatch(source) or NEVER_WRITTEN.search(STRING.sub(b"", source)):
                    raise ValueError("code that PyTorch does not write (comments or odd characters)")


@contextlib.contextmanager
def _naming(member: str) -> Iterator[None]:
    """Let errors name the code member that they are about."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        what = "names or types that cannot be followed" if isinstance(error, RecursionError) else error
        raise ValueError(f"{what} in {member}") from None


def class_key(name: str) -> str:
    """Return the key of `__torch__.module.Class` in `Classes`: PyTorch ignores the case of members."""
    module, dot, own = name.rpartition(".")
    return module.lower() + dot + own


def _module(name: str) -> str:
    """Return the module that a code member is: `code/__torch__/m.py` is `__torch__.m`."""
    return name[5:-3].replace("/", ".")


def _parsed(source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown escapes in strings
            tree = ast.parse(source.decode("utf-8"))  # as text: bytes could declare another encoding
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("unreadable code") from None
    depth, level = 0, list[ast.AST](tree.body)
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
        if depth > MAX_DEPTH:
            raise ValueError(f"code nested more than {MAX_DEPTH} deep")
    return tree


def _class(node: ast.ClassDef) -> Class:
    found = Class(node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else "")
    for line in node.body:
        match line:
            case ast.FunctionDef(name):
                found.methods[name] = _signature(line)
            case ast.AnnAssign(ast.Name(name), kind, value):
                if value is None:  # else a constant, which no object holds
                    found.attributes[name] = ast.unparse(kind)
            case ast.Assign([ast.Subscript(_, ast.Constant(str(name))), *_], kind):
                found.attributes[name] = ast.unparse(kind)  # __annotations__["0"] = Class: its name is no identifier
            case _:
                continue
        found.names.add(name)
    return found


def _signature(node: ast.FunctionDef) -> str:
    types = [ast.unparse(argument.annotation) if argument.annotation else "Tensor" for argument in node.args.args[1:]]
    return f"({', '.join(types)}) -> {ast.unparse(node.returns) if node.returns else ''}"


@functools.lru_cache(10_000)
def type_parts(text: str) -> tuple[str, tuple[str, ...]]:
    """Split `Dict[str, List[int]]` into Dict and its parts; a type without parts has none. Raises ValueError."""
    if text.count("[") > MAX_DEPTH:
        raise ValueError(f"a type nested more than {MAX_DEPTH} deep")
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("a type that cannot be read") from None
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return text, ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return node.value.id, tuple(ast.unparse(part) for part in parts)


def is_checked(text: str) -> bool:
    """Return True for types that PyTorch checks wherever a value is used: no classes, no tuples, nothing unknown."""
    name, parts = type_parts(text)
    return name in CHECKED if not parts else name in CONTAINERS and all(map(is_checked, parts))


class _Names:
    """The names in a function, and their types where one assignment decides; outside of functions there are none."""

    def __init__(self, classes: Classes, node: ast.FunctionDef | None = None, owner: str | None = None) -> None:
        self._classes = classes
        arguments = node.args.args if node is not None else []
        self._types = {a.arg: ast.unparse(a.annotation) if a.annotation else "Tensor" for a in arguments}
        if owner is not None and arguments:  # PyTorch does not read what is written there
            self._types[arguments[0].arg] = owner
        self._values: dict[str, ast.expr] = {}
        self._stored: collections.Counter[str] = collections.Counter(list(self._types))
        for part in ast.walk(node) if node is not None else ():
            match part:
                case ast.Name(name, ast.Store()):
                    self._stored[name] += 1
                case ast.Assign([ast.Name(name)], value):
                    self._values[name] = value

    def type_of(self, node: ast.expr) -> str | None:
        """Return the type of an expression as text, None where it does not follow from declarations."""
        match self._resolved(node):
            case ast.Constant(value):
                return type(value).__name__
            case ast.Name(name) if self._stored[name] == 1:
                return self._types.get(name)
            case ast.Call(ast.Name(called)) if self._stored[called]:
                return None
            case ast.Attribute(owner, name) | ast.Call(ast.Name("getattr"), [owner, ast.Constant(str(name))]):
                known = self._class_of(owner)
                return known.attributes.get(name) if known is not None else None
            case ast.Call(ast.Name("annotate" | "unchecked_cast"), [wanted, *_]):
                return ast.unparse(wanted)
            case ast.Call(ast.Name("int")):
                return "int"
        return None

    def _resolved(self, node: ast.expr) -> ast.expr:
        """Return what was assigned to a name, if that is one thing only; else the expression itself."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(node, ast.Name) and self._stored[node.id] == 1 and node.id in self._values):
                return node
            node = self._values[node.id]
        raise RecursionError

    def _class_of(self, node: ast.expr) -> Class | None:
        return self._classes.get(class_key(self.type_of(node) or ""))

    def is_dtype(self, node: ast.expr, by_name: bool) -> bool:
        """Return False for a dtype that is no ordinary one; `by_name` also for what no code of PyTorch's gives it."""
        match self._resolved(node):
            case ast.Constant(value):
                return isinstance(value, (bool, str)) or value in DTYPES
            case ast.UnaryOp() | ast.BinOp():
                return False
            case ast.Call(called):
                return not (by_name and ast.unparse(called).startswith(("torch.", "ops.aten.")))
        return True

    def check(self, owner: ast.expr, name: str) -> None:
        """Raise ValueError if `owner.name` is an operator that is refused, and no attribute that the file declares."""
        if _is_refused(name):
            known = self._class_of(owner)
            if known is None or name not in known.names:
                raise ValueError(f"torch.{name}")


class _Judge(ast.NodeVisitor):
    """Raises ValueError, which says what it is, for anything suspicious in a code member."""

    def __init__(self, classes: Classes, module: str) -> None:
        self._classes, self._module = classes, module
        self._owner: str | None = None  # the class that is visited
        self._in_function = False
        self._names = _Names(classes)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._owner = self._owner, f"{self._module}.{node.name}"
        self.generic_visit(node)
        self._owner = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self._in_function:
            raise ValueError("a function inside another")
        if node.name == RUN_ON_LOADING:
            raise ValueError(RUN_ON_LOADING)
        self._in_function, self._names = True, _Names(self._classes, node, self._owner)
        self.generic_visit(node)
        self._in_function, self._names = False, _Names(self._classes)

    def visit_Call(self, node: ast.Call) -> None:
        names = self._names
        for keyword in node.keywords:
            if keyword.arg in RESULTS or keyword.arg is None:
                raise ValueError(f"a result that is written to a given place ({keyword.arg})")
            if keyword.arg == "layout" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
                raise ValueError("a tensor that is not dense")
            if keyword.arg == "dtype" and not names.is_dtype(keyword.value, by_name=True):
                raise ValueError(ODD_DTYPE)
        match node:
            case ast.Call(ast.Name("getattr"), [owner, ast.Constant(str(name)), *_]):
                names.check(owner, name)
            case ast.Call(ast.Name("unchecked_cast"), [wanted, value], []):
                kind = ast.unparse(wanted)
                if not (is_checked(kind) or names.type_of(value) == f"Optional[{kind}]"):
                    raise ValueError(f"{CAST} to {kind}")
            case ast.Call(ast.Name("getattr" | "unchecked_cast" as name)):
                raise ValueError(f"a computed {name}")
            case ast.Call(ast.Attribute(ast.Name("torch"), "repeat_interleave"), arguments, keywords):
                if len(arguments) not in (2, 3) or keywords or names.type_of(arguments[1]) != "int":
                    raise ValueError(f"torch.{COUNTED} with counts that are not known to be one number")
            case ast.Call(called, arguments):
                if isinstance(called, ast.Attribute) and called.attr in WITH_DTYPE:
                    place = WITH_DTYPE[called.attr] - (ast.unparse(called.value) not in ("torch", "ops.aten"))
                    if not all(names.is_dtype(argument, by_name=False) for argument in arguments[place:]):
                        raise ValueError(ODD_DTYPE)
                self.visit(called)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Judge a name as a whole: `torch.save`, `ops.prim.data`, `__torch__.module.Class`, `.net.save`."""
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
        is_global = isinstance(inner, ast.Name) and inner.id in ("torch", "ops", "__torch__")
        match ast.unparse(node).split(".") if is_global else []:
            case ["__torch__", *inside]:  # a class or function of the file itself, but for what libraries register
                if inside[:2] in (["torch"], ["torch", "classes"]):
                    raise ValueError(ast.unparse(node))
            case ["ops", *inside]:
                allowed = {"aten": ATEN, "prim": PRIM}.get(inside[0], frozenset())
                if len(inside) != 2 or inside[1] not in allowed:
                    raise ValueError(f"torch.{ast.unparse(node)}")
            case ["torch", name, *_] if name not in ATEN:
                raise ValueError(f"torch.{name}")
            case parts:
                self._names.check(node.value, node.attr)
                if parts != ["torch", node.attr]:
                    self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        if name in ("torch", "ops", "__torch__", "getattr", CAST):  # to be completed elsewhere
            raise ValueError(f"{name} under another name")
        if name == RUN_ON_LOADING or (name not in PRIM and _is_operator(f"prim::{name}")):
            raise ValueError(name)


@functools.cache
def _is_refused(name: str) -> bool:
    """Return True for names that PyTorch resolves to an operator, on any value, that is not in the allowed list."""
    if name == RUN_ON_LOADING:
        return True
    return name not in ATEN and name not in PRIM and (_is_operator(f"aten::{name}") or _is_operator(f"prim::{name}"))


@functools.cache
def _is_operator(name: str) -> bool:
    import torch

    return bool(torch._C._jit_get_schemas_for_operator(name))
