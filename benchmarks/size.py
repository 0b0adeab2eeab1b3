"""How large the library and the four scripts are: `make size`."""

import ast
import io
import tokenize
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MACHINERY = ("kinds", "catalogue", "steps", "composition")  # of music/: choosing by name, options, own files, steps
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """Count the lines that are not empty and hold more than comments and docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def total(paths: Iterable[Path]) -> int:
    """Count the code lines of files."""
    return sum(code_lines(path.read_text("utf-8")) for path in paths)


def main() -> None:
    """Print the table, and the lines of each package."""
    library = sorted((ROOT / "unravel_lib").rglob("*.py"))
    scripts = sorted(ROOT / f"{name}.py" for name in ("encoder", "generator", "decoder", "inspector"))
    music = set((ROOT / "unravel_lib" / "music").glob("*.py"))
    machinery = {path for path in music if path.stem in MACHINERY}
    print(f"{total([*library, *scripts]):6,}  code lines, library and four scripts")
    print(f"{len(library):6,}  modules")
    print(
        f"{total(machinery):6,}  code lines of the machinery of music/; {total(music - machinery):,} of its catalogue"
    )
    packages = [path.relative_to(ROOT / "unravel_lib").parts[0] for path in library]
    for package in sorted(set(packages)):
        inside = [path for path, name in zip(library, packages, strict=True) if name == package]
        print(f"{total(inside):14,}  {package}, {len(inside)} modules")
    print(f"{total(scripts):14,}  the scripts")


if __name__ == "__main__":
    main()
