"""The catalogues of distributions, patterns and transforms: registered by decorators, found by name, listed.

The library's own are registered when `unravel_lib.music` is imported. A user's own are in a file, as `FILE.py:name`, or
in the code that is running, such as a notebook, by name.
"""

import logging
import os
import sys
import traceback
import types
from pathlib import Path
from typing import TypeVar

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.files.find import open_input
from unravel_lib.music.kinds import Entry, Function, naming_errors, seed_global_generators
from unravel_lib.text import did_you_mean, printable

F = TypeVar("F", bound=Function)
LOADED = "user_code_"  # begins the names of modules that are files of a user's

log = logging.getLogger("unravel_lib")


class Catalogue(dict[str, Entry]):
    """All entries of one kind by name: the library's own, and those of the code that is running."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._of: dict[Function, Entry] = {}  # of every function that was registered, those of users' files too

    def register(self, function: F) -> F:
        """Register a function, to be chosen by its name: the decorators `@distribution`, `@pattern` and `@transform`.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of a type that no text can be read as.
        """
        self._of[function] = entry = Entry.of(self._kind, function)
        if not function.__module__.startswith(LOADED):
            if entry.source is not None and self.get(entry.name, entry).source is None:
                text = "%s %s is one of the library's: give your own as the function itself, or rename it"
                log.warning(text, entry.kind, entry.name)
            else:
                self[entry.name] = entry
        return function

    def find(self, chosen: str | Function | Entry) -> Entry:
        """Find an entry by its name, by `FILE.py:name` in a user's file, which is run for that, or by its function.

        Raises
        ------
        UsageError
            No such entry, or the code of its file fails; names the file, the line and the reason.
        InputError
            The file cannot be read.
        """
        kind = self._kind
        if not isinstance(chosen, str):
            entry = chosen if isinstance(chosen, Entry) else self._of.get(chosen)
            if entry is None or entry.kind != kind:
                name = getattr(chosen, "__name__", repr(chosen))
                raise UsageError(f"{printable(name)} is no {kind}", remedy=f"put @{kind} (from unravel_lib) before it")
            return entry
        file = file_of(chosen)
        known, name = (self._in_file(file), chosen.rpartition(":")[2]) if file else (self, chosen)
        if name in known:
            return known[name]
        found, remedy = "is not in that file", f"put @{kind} (from unravel_lib) before a function"
        if known:
            remedy = f"choose from {', '.join(known)}"
        if not file:
            found, remedy = "is unknown", f"{remedy}, or FILE.py:name for one of your own"
        raise UsageError(found, option=kind, value=chosen, remedy=remedy + did_you_mean(name, list(known)))

    def _in_file(self, file: str) -> dict[str, Entry]:
        """Run a user's file; return its entries by name, the newest where several have the same name."""
        run_file(file)
        own = (entry for entry in self._of.values() if entry.source is not None)
        return {entry.name: entry for entry in own if os.path.realpath(str(entry.source)) == os.path.realpath(file)}

    def listing(self, chosen: str = "") -> list[tuple[str, str]]:
        """List (name, what it does, with its options and their defaults) of the library's own entries.

        Where a user's file is chosen (`FILE.py:name` or `FILE.py`), it is run, and its entries are listed too; raises
        as `find`.
        """
        listed = {name: entry for name, entry in self.items() if entry.source is None}
        if file := file_of(chosen):
            listed |= {f"{file}:{name}": entry for name, entry in self._in_file(file).items()}
        return [entry.listed(printable(name)) for name, entry in listed.items()]


def file_of(chosen: str) -> str:
    """Return the file of `FILE.py:name`; any other text with .py in it is a file as a whole; else ""."""
    file = chosen.rpartition(":")[0]
    return file if file.endswith(".py") else chosen if ".py" in chosen else ""


def run_file(source: str) -> None:
    """Run a user's file, so that it registers its functions; nothing is written beside it.

    It may import modules of its own folder, unless a library has the same name. A file that is running already, as the
    script that was started or because another one named it, is not run again. Raises as `Catalogue.find`.
    """
    running = [f.f_code.co_filename for f, _ in traceback.walk_stack(None) if f.f_code.co_name == "<module>"]
    running.append(getattr(sys.modules["__main__"], "__file__", None) or "")
    if os.path.realpath(source) in map(os.path.realpath, running):
        return
    with open_input(Path(source)) as file:
        code = file.read()
    module = types.ModuleType(f"{LOADED}{Path(source).stem}")
    module.__file__ = source
    sys.modules[module.__name__] = module  # where dataclasses look for it
    beside = str(Path(os.path.abspath(source)).parent)
    if beside not in sys.path:
        sys.path.append(beside)  # last, so that no file of the user's replaces a library
    sys.dont_write_bytecode = True
    seed_global_generators(np.random.SeedSequence(0))
    with naming_errors(source, source):
        exec(compile(code, source, "exec"), module.__dict__)


DISTRIBUTIONS, PATTERNS, TRANSFORMS = Catalogue("distribution"), Catalogue("pattern"), Catalogue("transform")
distribution, pattern, transform = DISTRIBUTIONS.register, PATTERNS.register, TRANSFORMS.register
