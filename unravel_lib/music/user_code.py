"""Functions in a user's own Python file: the file is run, and what fails in it is named by file and line."""

import os
import random
import sys
import types
from pathlib import Path

import numpy as np

from unravel_lib.errors import InputError, UnravelError, UsageError
from unravel_lib.files.find import open_input
from unravel_lib.text import printable


def load(source: str, kind: str) -> None:
    """Run a user's file, so that it registers its functions; nothing is written beside it.

    It may import modules of its own folder, unless a library has the same name.

    Parameters
    ----------
    source : str
        Path of the file.
    kind : str
        For errors: the option that named it, "pattern" or "distribution".

    Raises
    ------
    UsageError
        The file cannot be read, or its code fails.
    """
    try:
        with open_input(Path(source)) as file:
            code = file.read()
    except InputError as error:
        raise UsageError(error.found, path=source, remedy=error.remedy or "check the path") from error
    module = types.ModuleType(f"user_code_{Path(source).stem}")
    module.__file__ = source
    sys.modules[module.__name__] = module  # where dataclasses look for it
    beside = str(Path(os.path.abspath(source)).parent)
    if beside not in sys.path:
        sys.path.append(beside)  # last, so that no file of the user's replaces a library
    sys.dont_write_bytecode = True
    seed_global_generators(np.random.SeedSequence(0))
    try:
        exec(compile(code, source, "exec"), module.__dict__)
    except UnravelError:
        raise
    except (Exception, SystemExit) as error:
        where = f"{printable(source)}, line {failed_line(error, source) or 1}"
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise UsageError(f"{where}: {type(error).__name__}: {text}".rstrip(": ")) from error


def seed_global_generators(seed: np.random.bit_generator.ISeedSequence) -> None:
    """Seed the generators of `random` and `np.random`, which only a user's code may use."""
    number = int(seed.generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)


def failed_line(error: BaseException, source: str) -> int | None:
    """Find the line of a user's file at which an error arose; None where none of its lines was running."""
    if isinstance(error, SyntaxError) and error.filename == source:
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == source:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
