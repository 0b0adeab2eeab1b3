"""What is chosen by name, patterns, distributions, transforms: registered by a decorator, found, listed, run.

An entry is a function. Parameters named like an input of its kind (`loop` or `rng` of a pattern) are given that input;
every other parameter is an option of its own, which `pattern_args` or `distribution_args` set as name=value.
"""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from unravel_lib.errors import UnravelError, UsageError
from unravel_lib.music import user_code
from unravel_lib.music.options import Options, Parameters, choices_or_type, read_options, usage
from unravel_lib.text import did_you_mean, printable

Function = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """A function that is chosen by name.

    Attributes
    ----------
    name : str
    function : callable
    inputs : tuple of str
        Which of the `offered` values the function takes.
    parameters : mapping of inspect.Parameter by name
        Its options.
    source : str or None
        The user's file that it comes from; None for the library's own.
    """

    kind: ClassVar[str]
    offered: ClassVar[tuple[str, ...]]

    name: str
    function: Function
    inputs: tuple[str, ...]
    parameters: Parameters
    source: str | None

    @classmethod
    def of(cls, function: Function, name: str | None = None, **declared: Any) -> Self:
        """Make an entry of a function, by its own name or another; `declared` are the further attributes of its kind.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of a type that no text can be read as.
        ValueError
            The name cannot be part of a file name.
        """
        name = name or function.__name__
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"{cls.kind} {name!r:.60}: expected a name of letters, digits, _ and -")
        parameters = inspect.signature(function, eval_str=True).parameters
        options = {key: parameter for key, parameter in parameters.items() if key not in cls.offered}
        for parameter in parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{cls.kind} {function.__name__}: {parameter} cannot be given by name")
            if parameter.name in options:
                choices_or_type(parameter)
        inputs = tuple(key for key in parameters if key in cls.offered)
        source = None if function.__module__.startswith("unravel_lib.") else function.__code__.co_filename
        return cls(name, function, inputs, options, source, **declared)

    @property
    def summary(self) -> str:
        """What it does: the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "(no description)").splitlines()[0]

    @property
    def arguments(self) -> str:
        """What follows the name where the entry is used."""
        return ""

    @property
    def description(self) -> str:
        """What it does, and its options with their defaults."""
        return f"{self.summary}{usage(self.parameters)}"

    def read_options(self, texts: Sequence[str]) -> Options:
        """Read `["levels=3"]` as `{"levels": 3}`; see `options.read_options`."""
        return read_options(texts, self.parameters, self.kind, self.name)

    def complete(self, options: Options) -> Options:
        """Fill in the defaults of options given as values.

        Raises
        ------
        UsageError
            An unknown option, or one without default is missing.
        """
        for name in options:
            if name not in self.parameters:
                has = ", ".join(self.parameters) or "none"
                raise UsageError(f"{self.kind} {self.name} has no option {printable(name)}, it takes {has}")
        missing = [name for name, p in self.parameters.items() if p.default is p.empty and name not in options]
        if missing:
            raise UsageError(f"{self.kind} {self.name} needs {', '.join(missing)}")
        return {name: options.get(name, parameter.default) for name, parameter in self.parameters.items()}

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Turn what fails in the entry's own code into a UsageError of one line that names the user's file and line."""
        try:
            yield
        except (UnravelError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if self.source is None and type(error) is not ValueError:
                raise
            text = printable(" ".join(str(error).split()))
            reason = text if type(error) is ValueError and text else f"{type(error).__name__}: {text}".rstrip(": ")
            raise UsageError(f"{self._place(error)}: {reason}") from error

    def _place(self, error: BaseException) -> str:
        if self.source is None:
            return f"{self.kind} {self.name}"
        line = user_code.failed_line(error, self.source) or self.function.__code__.co_firstlineno
        return f"{printable(self.source)}, line {line}"


E = TypeVar("E", bound=Entry)


class Registry(dict[str, E]):
    """All entries of one kind: the library's own by name, those of a user's file as `FILE.py:name`."""

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind, self._entry = kind.kind, kind

    def decorate(self, name: Function | str | None, **declared: Any) -> Any:
        """Return the decorator that registers a function, by its own name or another, or apply it to the function.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of a type that no text can be read as.
        """

        def register(function: Function) -> Function:
            self.add(self._entry.of(function, name if isinstance(name, str) else None, **declared))
            return function

        return register(name) if callable(name) else register

    def add(self, entry: E) -> None:
        """Register an entry; one of the same name in the same file is replaced."""
        self[entry.name if entry.source is None else f"{entry.source}:{entry.name}"] = entry

    def find(self, name: str) -> E:
        """Find an entry by its name, or by `FILE.py:name` in a user's file, whose code is run for that.

        Raises
        ------
        UsageError
            No such entry, no such file, or its code fails; names the file, the line and the reason.
        """
        if ".py" not in name:
            if name in self:
                return self[name]
            known = [key for key, entry in self.items() if entry.source is None]
            raise UsageError(
                f"`{self.kind}` {printable(name)} is unknown: choose from {', '.join(known)}, or FILE.py:name for one "
                f"of your own{did_you_mean(name, known)}"
            )
        source, colon, _ = name.rpartition(":")
        if not colon or not source.endswith(".py"):
            raise UsageError(
                f"`{self.kind}` {printable(name)} names no {self.kind} in that file: write it like FILE.py:name"
            )
        user_code.load(source, self.kind)
        if name not in self:
            there = [entry.name for entry in self.values() if entry.source == source]
            has = f"it has {', '.join(there)}" if there else f"put @{self.kind} (from unravel_lib) before a function"
            raise UsageError(f"`{self.kind}` {printable(name)}: no such {self.kind} in that file: {has}")
        return self[name]

    def listing(self, chosen: str = "") -> list[tuple[str, str]]:
        """List (name, what it does, with its options and their defaults) of all entries.

        Where a user's file is chosen (`FILE.py:name` or `FILE.py`), it is run, and its entries are listed too.

        Raises
        ------
        UsageError
            The file cannot be read, or its code fails.
        """
        source = chosen if chosen.endswith(".py") else chosen.rpartition(":")[0]
        if source:
            user_code.load(source, self.kind)
        listed = [(key, entry) for key, entry in self.items() if entry.source in (None, source)]
        return [(printable(key) + entry.arguments, entry.description) for key, entry in listed]
