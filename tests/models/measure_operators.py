"""Lists the operators that the code of TorchScript files uses, and marks those that need trust.

    PYTHONPATH=. python tests/models/measure_operators.py FILE_OR_FOLDER ...

The list in `unravel_lib/models/screening/operators.txt` was made of what it prints for exports of each family.
"""

import ast
import collections
import sys
from pathlib import Path

import torch

from unravel_lib.models.screening.code import ATEN, CAST, COUNTED, PRIM
from unravel_lib.models.screening.model_file import open_model


def names(source: bytes) -> set[str]:
    """Every name in code that PyTorch may take for an operator."""
    nodes = list(ast.walk(ast.parse(source.decode())))
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return {name for name in found if any(map(torch._C._jit_get_schemas_for_operator, both(name)))}


def both(name: str) -> tuple[str, str]:
    return f"aten::{name}", f"prim::{name}"


def main(paths: list[Path]) -> None:
    files = [file for path in paths for file in (sorted(path.rglob("*.ts")) if path.is_dir() else [path])]
    counts: collections.Counter[str] = collections.Counter()
    for path in files:
        with open_model(path) as file:
            members = [info.filename.split("/", 1)[1] for info in file.members if info.filename.endswith(".py")]
            counts.update(set().union(*(names(file.member(name) or b"") for name in members)))
    listed = ATEN | PRIM | {COUNTED, CAST}
    for name, count in sorted(counts.items()):
        print(f"{name:30} in {count} of {len(files)} files{'' if name in listed else '   not in the list'}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
