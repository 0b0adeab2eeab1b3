"""What the code inside a TorchScript file could do to the machine, judged by its text alone. No files.

TorchScript has no `import`, no `open` and no `eval`. The remaining dangers are operators (`torch.save` writes a file,
others write outside of their tensors), classes that other libraries register, and `__setstate__`, which runs as soon
as the file is loaded. So code may use the operators that `operators` lists, and must look as PyTorch writes it: what
only PyTorch's own parser reads cannot be judged here.
"""

import ast
import functools
import re
import warnings
from collections.abc import Iterator

from unravel_lib.models.screening.operators import ATEN, PRIM

MAX_DEPTH = 100  # of nesting; real exports have up to 12
RUN_ON_LOADING = "__setstate__"
WRITTEN = re.compile(rb"[\n\x20-\x7e]*")  # the characters that PyTorch writes
STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*"' rb"|'(?:[^'\\\n]|\\.)*'")
NEVER_WRITTEN = re.compile(rb"[#\\\"']")  # outside of strings: comments, joined lines, strings over many lines
NAMELESS = (ast.Constant, ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)


def suspicions(source: bytes) -> Iterator[str]:
    """Yield what a code member contains that could act outside the model, or that cannot be judged.

    The code is in the syntax of Python, so Python's own parser reads it: spaces, string escapes and names given to
    `getattr` hide nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown escapes in strings
            tree = ast.parse(source.decode("utf-8"))  # as text: bytes could declare another encoding
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "unreadable code"
        return
    yield from dict.fromkeys(_walk(tree))
    if not WRITTEN.fullmatch(source) or NEVER_WRITTEN.search(STRING.sub(b"", source)):
        yield "code that PyTorch does not write (comments or odd characters)"


def _walk(tree: ast.AST) -> Iterator[str]:
    """Judge every node; without recursion, so that any depth of nesting is safe."""
    nodes: list[tuple[ast.AST, int]] = [(tree, 0)]
    while nodes:
        node, depth = nodes.pop()
        if depth > MAX_DEPTH:
            yield f"code nested more than {MAX_DEPTH} deep"
            return
        if isinstance(node, ast.Attribute):
            inner, parts = _dotted(node)
            yield from _dotted_name(parts)
            if not parts[0]:
                nodes.append((inner, depth + len(parts) - 1))
            continue
        if isinstance(node, ast.FunctionDef) and node.name == RUN_ON_LOADING:
            yield RUN_ON_LOADING
        elif isinstance(node, ast.Name):
            refused = _bare_name(node.id)
            if refused is not None:
                yield refused
            continue
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, NAMELESS)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            yield from _getattr(node)
            children.remove(node.func)
        nodes.extend((child, depth + 1) for child in reversed(children))


def _dotted(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """Split `a.b.c` into its innermost expression and ["a", "b", "c"]; the first is "" where it is no global name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    is_global = isinstance(node, ast.Name) and node.id in ("torch", "ops", "__torch__")
    parts.append(node.id if is_global and isinstance(node, ast.Name) else "")
    return node, parts[::-1]


def _dotted_name(parts: list[str]) -> Iterator[str]:
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
        yield from (f"torch.{name}" for name in parts[1:] if _is_refused(name))


@functools.cache
def _bare_name(name: str) -> str | None:
    if name in ("torch", "ops", "__torch__", "getattr"):  # to be completed elsewhere
        return f"{name} under another name"
    return name if name == RUN_ON_LOADING or (name not in PRIM and _is_operator(f"prim::{name}")) else None


def _getattr(node: ast.Call) -> Iterator[str]:
    name = node.args[1] if len(node.args) > 1 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        if _is_refused(name.value):
            yield f"torch.{name.value}"
    else:
        yield "a computed getattr"


@functools.cache
def _is_refused(name: str) -> bool:
    """Return True for names that PyTorch resolves to an operator, on any value, that is not in the allowed list."""
    if name == RUN_ON_LOADING:
        return True
    return name not in ATEN and name not in PRIM and (_is_operator(f"aten::{name}") or _is_operator(f"prim::{name}"))


def _is_operator(name: str) -> bool:
    import torch

    return bool(torch._C._jit_get_schemas_for_operator(name))
