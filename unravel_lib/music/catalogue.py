"""The catalogues of distributions, patterns and transforms: registered by decorators, found by name, listed.

The library's own are in the modules that a catalogue names. A user's own are in a file, as `FILE.py:name`, or in the
code that is running, such as a notebook, by name.
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

from unravel_lib.errors import InputError, UnravelError, UsageError
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
        self._kind, self._modules = kind, modules
        self._entries: dict[str, E] = {}
        self._of: dict[Function, E] = {}

    def _all(self) -> dict[str, E]:
        """All entries, the library's own in the order of its modules, whichever was imported first."""
        if self._modules:
            names = [f"unravel_lib.music.{module}" for module in self._modules]
            self._modules = ()
            for name in names:
                importlib.import_module(name)
            places = {name: place for place, name in enumerate(names)}
            ordered = sorted(self._entries.items(), key=lambda item: places.get(item[1].function.__module__, 99))
            self._entries = dict(ordered)
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
        if ".py" not in chosen:
            if chosen in self:
                return self[chosen]
            known = [key for key in self if ".py:" not in key]
            remedy = f"choose from {', '.join(known)}, or FILE.py:name for one of your own{did_you_mean(chosen, known)}"
            raise UsageError("is unknown", option=kind, value=chosen, remedy=remedy)
        source, _, name = chosen.rpartition(":")
        there = self._in_file(source if source.endswith(".py") else chosen)
        if name not in there:
            has = f"it has {', '.join(there)}" if there else f"put @{kind} (from unravel_lib) before a function"
            raise UsageError("is not in that file", option=kind, value=chosen, remedy=has)
        return there[name]

    def _in_file(self, source: str) -> dict[str, E]:
        """Run a user's file; return its entries by name."""
        run_file(source)
        path = os.path.realpath(source)
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
        source = chosen if chosen.endswith(".py") else chosen.rpartition(":")[0]
        listed = {key: entry for key, entry in self.items() if entry.source is None}
        if source:
            listed |= {f"{source}:{name}": entry for name, entry in self._in_file(source).items()}
        return [entry.listed(printable(key)) for key, entry in listed.items()]


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
    try:
        exec(compile(code, source, "exec"), module.__dict__)
    except UnravelError:
        raise
    except (Exception, SystemExit) as error:
        raise kinds.failure_in_file(error, source) from error


DISTRIBUTIONS = Catalogue(kinds.Distribution, "distributions", "following", "spectral", "mosaic")
PATTERNS = Catalogue(kinds.Pattern, "patterns")
TRANSFORMS = Catalogue(kinds.Transform, "transforms")

distribution, pattern, transform = DISTRIBUTIONS.register, PATTERNS.register, TRANSFORMS.register
