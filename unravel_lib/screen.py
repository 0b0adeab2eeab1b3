"""What the code inside a TorchScript file could do to the machine, told from its text alone. No torch, no files.

TorchScript has no `import`, no `open` and no `eval`. What is left to fear are a few operators (`torch.save` writes a
file, `torch.from_file` maps one, also into existence, remote calls talk to a network), operators and classes that
other libraries register, and `__setstate__`, which runs as soon as the file is loaded. None of 48 exports of RAVE,
MSPrior, vschaos2 and AFTER uses any of these.
"""

import ast
import pickletools
import re
import warnings
from collections.abc import Iterator

FORBIDDEN = frozenset(
    ("__setstate__", "save", "from_file", "rpc_sync", "rpc_async", "rpc_remote", "PythonOp", "IgnoredPythonOp")
)  # fmt: skip
OPERATORS = frozenset(("aten", "prim", "prims", "quantized", "_quantized", "sparse", "prepacked", "mkldnn_prepacked"))
CLASSES = frozenset(("quantized", "sparse"))  # registered by PyTorch itself, packed weights only
CLASSES_PREFIX = "__torch__.torch.classes."
PICKLE_MODULES = ("torch.jit._pickle", "torch._utils", "torch", "collections")
MAX_GLOBALS = 100_000


def code(source: bytes) -> Iterator[str]:
    """Yield what a code member contains that could reach outside the model.

    The code is in the syntax of Python, so Python's own parser reads it: spaces, comments, string escapes and names
    given to `getattr` hide nothing. Text that Python cannot parse is searched word by word, which sees more than there
    is rather than less.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in strings
            tree = ast.parse(source.decode("utf-8"))  # as text: bytes could name an encoding of their own
        visitor = _Visitor()
        visitor.visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield from _words(source)
        return
    yield from visitor.found


def _words(source: bytes) -> Iterator[str]:
    words = set(re.findall(rb"[A-Za-z_][A-Za-z_0-9]*", source))
    for word in sorted({name.encode() for name in FORBIDDEN} | {b"getattr", b"ops", b"classes"}):
        if word in words:
            yield f"unreadable code with {word.decode()}"


class _Visitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._look(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._look(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in FORBIDDEN:
            self.found[node.name] = None
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                self.found["a computed getattr"] = None
            elif name.value in FORBIDDEN:
                self.found[name.value] = None
            elif isinstance(node.args[0], ast.Name) and node.args[0].id == "torch":
                self.found[f"torch.{name.value}"] = None
        self.generic_visit(node)

    def _look(self, node: ast.expr) -> None:
        """Judge a dotted name as a whole: `ops.aten.save`, `self.net.save`, `(x + y).save`."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            parts.append(node.id)
        else:
            self.visit(node)
            parts.append("")
        parts.reverse()
        bad = next((part for part in parts if part in FORBIDDEN), None)
        if bad is not None:
            self.found[f"torch.{bad}" if bad in ("save", "from_file") else bad] = None
        elif parts[0] == "ops" and (len(parts) < 3 or parts[1] not in OPERATORS):
            self.found[".".join(["torch", *parts])] = None
        elif parts[0] == "__torch__" and not _harmless_class(parts):
            self.found[".".join(parts)] = None


def _harmless_class(parts: list[str]) -> bool:
    if len(parts) < 3 and parts[1:] in ([], ["torch"]):
        return False  # the start of a name, on its way to being completed elsewhere
    if parts[1:3] == ["torch", "classes"]:
        return len(parts) > 4 and parts[3] in CLASSES
    return True


def pickle(data: bytes) -> Iterator[str]:
    """Yield the names that an object table of a TorchScript file wants to import beyond its own classes and tensors."""
    try:
        for name in pickle_globals(data):
            module, _, attribute = name.rpartition(".")
            if name.startswith(CLASSES_PREFIX):
                if name[len(CLASSES_PREFIX) :].split(".")[0] not in CLASSES:
                    yield name
            elif not name.startswith("__torch__.") and not (module in PICKLE_MODULES and _plain(module, attribute)):
                yield f"an import of {name}"
    except (ValueError, IndexError) as error:
        yield f"an unreadable object table ({' '.join(str(error).split())[:60]})"


def _plain(module: str, attribute: str) -> bool:
    if module == "torch":
        return attribute.endswith("Storage") or attribute == "device"
    if module == "collections":
        return attribute == "OrderedDict"
    return True


def pickle_globals(data: bytes) -> list[str]:
    """All `module.name` that a pickle would import, in order of appearance, read without running it.

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
