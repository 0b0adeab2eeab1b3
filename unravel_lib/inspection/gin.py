"""The config.gin that RAVE, MSPrior and AFTER write beside their checkpoints, as data. Nothing in it is run."""

import ast
import re
from pathlib import Path
from typing import Any

GIN_BYTES = 1 << 20  # it has some KB
LEVELS = 3  # RAVE: RUN/config.gin and RUN/version_0/checkpoints/best.ckpt


def gin_config(checkpoint: Path) -> tuple[dict[str, Any], str] | None:
    """Return (bindings, file name) of the config.gin beside a checkpoint, or up to two folders above it."""
    for folder in checkpoint.absolute().parents[:LEVELS]:
        path = folder / "config.gin"
        try:
            if path.is_file() and path.stat().st_size <= GIN_BYTES:
                return parse(path.read_text("utf-8", "replace")), path.name
        except OSError:
            continue
    return None


def parse(text: str) -> dict[str, Any]:
    """Return name -> value: numbers, strings, lists and dicts as such; references and macros (`@x`, `%X`) as text."""
    found: dict[str, Any] = {}
    scope = ""
    for line in _logical_lines(text):
        if re.fullmatch(r"\S+:", line):  # the lines below it, indented, belong to it
            scope = line[:-1] + "."
            continue
        name, equals, value = line.partition("=")
        if equals:
            found[(scope if line[0].isspace() else "") + name.strip()] = _value(value.strip())
    return found


def _logical_lines(text: str) -> list[str]:
    """Join what goes on in the next line; leave comments out."""
    lines, begun = [], ""
    for raw in text.splitlines():
        line = re.sub(r"#[^'\"]*$", "", raw).rstrip()
        begun = f"{begun} {line.strip()}" if begun.strip() else line
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip()
        elif begun.strip() and sum(map(begun.count, "([{")) <= sum(map(begun.count, ")]}")) and begun[-1] != "=":
            lines.append(begun)
            begun = ""
    return lines


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
