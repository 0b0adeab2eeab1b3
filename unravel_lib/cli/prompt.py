"""Questions about a model's tensors and attributes, typed or piped: a name or a pattern in, what it is out."""

import contextlib
import fnmatch
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unravel_lib.errors import ModelError, UnravelError
from unravel_lib.inspection import families
from unravel_lib.inspection.facts import plain
from unravel_lib.inspection.inspect import Inspection, declared
from unravel_lib.inspection.tensors import describe, values_text
from unravel_lib.models.contract import MODEL_ERRORS, prints_to_stderr
from unravel_lib.text import did_you_mean, last_line, printable

Answer = Callable[[str], str]
Ask = Callable[[str], str | None]  # a question to the user -> the typed line; None at the end of the input

PROMPT = "> "
LEAVE = "exit"
VALUE_CHARACTERS = 4000


def read_line(prompt: str) -> str | None:
    """The next line of stdin, None at its end; the prompt is shown on a terminal only."""
    if sys.stdin is None:
        return None
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip() if line else None
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return None


def converse(names: Sequence[str], answer: Answer, ask: Ask = read_line) -> int:
    """Answer names and glob patterns on stdout until `exit` or the end of the input.

    Returns how many questions that came through a pipe had no answer, so that scripts can notice.
    """
    unanswered = 0
    with _completion(names):
        while (line := ask(PROMPT)) is not None and line != LEAVE:
            if not line:
                continue
            found = matches(line, names)
            if not found:
                unanswered += 1
                print(f"{printable(line)} is not here{did_you_mean(line, names)}", file=sys.stderr, flush=True)
            for name in found:
                try:
                    print(answer(name), flush=True)
                except UnravelError as error:
                    unanswered += 1
                    print(error, file=sys.stderr, flush=True)
    return 0 if sys.stdin is not None and sys.stdin.isatty() else unanswered


def matches(line: str, names: Sequence[str]) -> list[str]:
    """The name itself, else all names that fit the glob pattern."""
    return [line] if line in names else fnmatch.filter(names, line)


@contextlib.contextmanager
def _completion(names: Sequence[str]) -> Any:
    """Tab completes names while the block runs, on terminals that can."""
    try:
        import readline
    except ImportError:  # Windows
        yield
        return
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return

    def complete(text: str, state: int) -> str | None:
        fitting = [name for name in (*names, LEAVE) if name.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    old = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n")  # keys contain dots and dashes
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(old[0])
        readline.set_completer_delims(old[1])


def tensor_answer(found: Inspection) -> Answer:
    """Answers `--dict`: shape, dtype, statistics and values of a tensor of the state_dict."""
    return lambda key: _tensor(key, found.tensors[key])


def _tensor(key: str, tensor: Any) -> str:
    facts = describe(key, tensor)
    numbers = f"mean {facts.mean:.6g}, std {facts.std:.6g}, min {facts.min:.6g}, max {facts.max:.6g}"
    shape = " x ".join(map(str, facts.shape)) or "a single value"
    return f"{printable(key)}: {shape}, {facts.dtype}\n  {numbers}\n{_indented(values_text(tensor))}"


def _indented(text: str) -> str:
    text = text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]} ..."
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())


def attribute_names(found: Inspection, path: Path) -> dict[str, str]:
    """Name -> what it is (method, property, data), for `--attr`; of a checkpoint, the entries at its top."""
    if found.module is None:
        return {str(name): "data" for name in found.entries}
    listed = families.attributes(found.module, lambda name: declared(path, name))
    return {name: kind for kind, name in listed}


def listed(found: Inspection, name: str, kind: str) -> str:
    """What the list of attributes says about one: the signature of a method, the type of data."""
    if kind != "data":
        return f"{kind} {signature(found.module, name, kind)}"
    try:
        value = _data(found, name)
    except ModelError:
        return "data that Python cannot hold"
    what = getattr(value, "original_name", None) or type(value).__name__
    return f"data {what}"


def _data(found: Inspection, name: str) -> Any:
    try:
        return found.entries[name] if found.module is None else getattr(found.module, name)
    except MODEL_ERRORS as error:
        raise ModelError(f"{printable(name)} cannot be read: {last_line(error)}") from error


def attribute_answer(found: Inspection, kinds: Mapping[str, str], yes: bool, ask: Ask = read_line) -> Answer:
    """Answers `--attr`. Code of the model runs only after a typed yes, or, without a terminal, by `yes`."""

    def answer(name: str) -> str:
        if kinds[name] == "data":
            return _value(name, _data(found, name))
        return _callable(found.module, name, kinds[name], yes, ask)

    return answer


def signature(module: Any, name: str, kind: str) -> str:
    """How a method is called: `encode(Tensor x) -> Tensor`."""
    if kind == "property":
        return f"{name} (a property: reading it runs code)"
    text = str(module._c._get_method(name).schema)
    head, _, rest = text.partition("(")
    own, comma, others = rest.partition(", ")
    if not comma or ") ->" in own:  # nothing but self
        others = ")" + rest.partition(")")[2]
    return f"{head}({others}"


def _callable(module: Any, name: str, kind: str, yes: bool, ask: Ask) -> str:
    told = f"{printable(name)}: {kind}\n  {printable(signature(module, name, kind))}"
    needed = 0
    if kind == "method":
        arguments = module._c._get_method(name).schema.arguments[1:]
        needed = sum(not argument.has_default_value() for argument in arguments)
    if needed:
        return f"{told}\n  needs {needed} argument{'s' if needed > 1 else ''}: not called"
    if not yes:
        if not sys.stdin.isatty():
            return f"{told}\n  not called: --yes allows it"
        print(told, flush=True)
        if (ask("  run it? yes/no ") or "").lower() != "yes":
            return "  not called"
        told = ""
    try:
        with prints_to_stderr():
            value = getattr(module, name) if kind == "property" else getattr(module, name)()
    except MODEL_ERRORS as error:
        raise ModelError(f"{printable(name)} failed when called: {last_line(error)}") from error
    return f"{told}\n{_indented(_spelt(value))}".lstrip("\n")


def _value(name: str, value: Any) -> str:
    if hasattr(value, "numel"):
        return _tensor(name, value).replace(": ", ": data, ", 1)
    if hasattr(value, "original_name"):
        parts = [f"{child}: {printable(part.original_name)}" for child, part in value.named_children()]
        return f"{printable(name)}: data, module {printable(value.original_name)}\n" + _indented("\n".join(parts))
    return f"{printable(name)}: data, {type(value).__name__}\n{_indented(_spelt(value))}"


def _spelt(value: Any) -> str:
    if hasattr(value, "numel"):
        return f"{' x '.join(map(str, value.shape)) or 'a single value'}, {value.dtype}\n{values_text(value)}"
    return str(plain(value))
