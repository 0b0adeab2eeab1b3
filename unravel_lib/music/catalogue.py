"""The catalogues of distributions, patterns and transforms: registered by decorators, found by name, listed.

The library's own are in the modules that a catalogue names at the end of this file; these are imported when one is
looked for. A user's own are in a file, as `FILE.py:name`, or in the code that is running, such as a notebook, by name.
"""

import importlib
import logging
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np

from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.find import open_input
from unravel_lib.music import kinds
from unravel_lib.music.kinds import Entry, Function
from unravel_lib.text import did_you_mean, printable

F = TypeVar("F", bound=Function)
E = TypeVar("E", bound=Entry)
LOADED = "user_code_"  # begins the names of modules that are files of a user's

log = logging.getLogger("unravel_lib")


class Catalogue(Mapping[str, E], Generic[E]):
    """All entries of one kind by name; those of users' files by `FILE.py:name`."""

    def __init__(self, kind: type[E], *modules: str) -> None:
        self._kind, self._unread = kind, [f"unravel_lib.music.{module}" for module in modules]
        self._entries: dict[str, E] = {}
        self._of: dict[Function, E] = {}

    def _all(self) -> dict[str, E]:
        """All entries, the library's own in the order of its modules, whichever was imported first."""
        if self._unread:
            order, self._unread = self._unread, []
            for module in order:
                importlib.import_module(module)

            def place(key: str) -> int:  # a user's come last
                module = self._entries[key].function.__module__
                return order.index(module) if module in order else len(order)

            self._entries = {key: self._entries[key] for key in sorted(self._entries, key=place)}
        return self._entries

    def __getitem__(self, name: str) -> E:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def register(self, name: F) -> F: ...
    @overload
    def register(self, name: str | None = None, **declared: Any) -> Callable[[F], F]: ...
    def register(self, name: Any = None, **declared: Any) -> Any:
        """Make a function chosen by name: a decorator, as it is or called, with another name and what is `declared`.

        `@distribution`, `@distribution("name", needs_frames=False, spreads_by_iqr="with_iqr")`; `@pattern`,
        `@pattern(steady=False)`; `@transform`, `@transform("name", keeps_length=False)`: see `unravel_lib.music.kinds`.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of a type that no text can be read as.
        """

        def add(function: F) -> F:
            entry = self._kind.of(function, name if isinstance(name, str) else None, **declared)
            loaded = function.__module__.startswith(LOADED)
            taken = entry.source is not None and self._all().get(entry.name, entry).source is None
            if taken and not loaded:
                text = "%s %s is one of the library's: give your own as the function itself, or rename it"
                log.warning(text, entry.kind, entry.name)
            key = f"{entry.source}:{entry.name}" if loaded or taken else entry.name
            self._entries.pop(key, None)  # so that the newest is last
            self._entries[key] = self._of[function] = entry
            return function

        return add(name) if callable(name) else add

    def find(self, chosen: "str | Function | E") -> E:
        """Find an entry by its name, by `FILE.py:name` in a user's file, which is run for that, or by its function.

        Raises
        ------
        UsageError
            No such entry, no such file, or its code fails; names the file, the line and the reason.
        """
        kind = self._kind.kind
        if isinstance(chosen, self._kind):
            return chosen
        if not isinstance(chosen, str):
            if chosen not in self._of:
                name = getattr(chosen, "__name__", repr(chosen))
                raise UsageError(f"{printable(name)} is no {kind}", remedy=f"put @{kind} (from unravel_lib) before it")
            return self._of[chosen]
        if file := file_of(chosen):
            there, name = self._in_file(file), chosen.rpartition(":")[2]
            if name not in there:
                has = f"it has {', '.join(there)}" if there else f"put @{kind} (from unravel_lib) before a function"
                raise UsageError("is not in that file", option=kind, value=chosen, remedy=has)
            return there[name]
        if chosen not in self:
            known = [key for key in self if not file_of(key)]
            remedy = f"choose from {', '.join(known)}, or FILE.py:name for one of your own{did_you_mean(chosen, known)}"
            raise UsageError("is unknown", option=kind, value=chosen, remedy=remedy)
        return self[chosen]

    def _in_file(self, file: str) -> dict[str, E]:
        """Run a user's file; return its entries by name."""
        run_file(file)
        path = os.path.realpath(file)
        own = (entry for entry in self._all().values() if entry.source is not None)
        return {entry.name: entry for entry in own if os.path.realpath(str(entry.source)) == path}

    def listing(self, chosen: str = "") -> list[tuple[str, str]]:
        """List (name, what it does, with its options and their defaults) of the library's own entries.

        Where a user's file is chosen (`FILE.py:name` or `FILE.py`), it is run, and its entries are listed too.

        Raises
        ------
        UsageError
            The file cannot be read, or its code fails.
        """
        listed = {key: entry for key, entry in self.items() if entry.source is None}
        if file := file_of(chosen):
            listed |= {f"{file}:{name}": entry for name, entry in self._in_file(file).items()}
        return [entry.listed(printable(key)) for key, entry in listed.items()]


def file_of(chosen: str) -> str:
    """Return the file of `FILE.py:name`, or of `FILE.py` alone; "" for any other name."""
    file = chosen.rpartition(":")[0]
    return file if file.endswith(".py") else chosen if ".py" in chosen else ""


def run_file(source: str) -> None:
    """Run a user's file, so that it registers its functions; nothing is written beside it.

    It may import modules of its own folder, unless a library has the same name. A file that is running already, as the
    script that was started or because another one named it, is not run again.

    Raises
    ------
    UsageError
        The file cannot be read, or its code fails.
    """
    running = [f.f_code.co_filename for f, _ in traceback.walk_stack(None) if f.f_code.co_name == "<module>"]
    running.append(getattr(sys.modules["__main__"], "__file__", None) or "")
    if os.path.realpath(source) in map(os.path.realpath, running):
        return
    try:
        with open_input(Path(source)) as file:
            code = file.read()
    except InputError as error:
        raise UsageError(error.found, path=source, remedy=error.remedy or "check the path") from error
    module = types.ModuleType(f"{LOADED}{Path(source).stem}")
    module.__file__ = source
    sys.modules[module.__name__] = module  # where dataclasses look for it
    beside = str(Path(os.path.abspath(source)).parent)
    if beside not in sys.path:
        sys.path.append(beside)  # last, so that no file of the user's replaces a library
    sys.dont_write_bytecode = True
    kinds.seed_global_generators(np.random.SeedSequence(0))
    with kinds.naming_errors(source, source):
        exec(compile(code, source, "exec"), module.__dict__)


DISTRIBUTIONS = Catalogue(kinds.Distribution, "distributions", "following", "spectral", "mosaic")
PATTERNS = Catalogue(kinds.Pattern, "patterns")
TRANSFORMS = Catalogue(kinds.Transform, "transforms")

distribution, pattern, transform = DISTRIBUTIONS.register, PATTERNS.register, TRANSFORMS.register
