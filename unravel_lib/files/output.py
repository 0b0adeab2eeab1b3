"""Where results go: output folders, the folder of one run inside them, and the names of results.

No output replaces an input. The folder of a run is named by the user or by date and time; no two runs share one. Names
depend only on an input's path below `input`, so every machine gives the same ones; the ending says what a result is.
"""

import datetime
import hashlib
import itertools
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from unravel_lib.errors import InputError, OutputError, UsageError
from unravel_lib.files.atomic import NAME_BYTES, PART_SUFFIX, cut, remove_stale_parts, unfinished
from unravel_lib.files.find import Source, composed
from unravel_lib.text import printable

FILE_SUFFIXES = (".wav", ".npy", ".json", ".csv", ".png")  # of the results; no new output folder gets such a name

ANOTHER: Any = {"remedy": "choose another folder", "remedy_options": ("output",)}  # fields of errors
ANOTHER_NAME: Any = {"remedy": "choose another name, or replace it", "remedy_options": ("run", "overwrite")}

EMBEDDINGS = "_embeddings"  # ends the names of latents files that generator.py makes; other results leave it out
DIGITS = 8  # of the hash in a name
MOST_DIGITS = 64  # all of SHA-256


def make_output_folder(folder: Path) -> Path:
    """Make the output folder if it is missing, check that it can be written to, remove part files of killed runs.

    Raises
    ------
    OutputError
        The path is a file or looks like one, or the folder cannot be made or written to.
    """
    if folder.suffix.lower() in FILE_SUFFIXES and not os.path.lexists(folder):
        remedy = "give a folder, in which results get names of their own"
        raise OutputError("looks like the name of a file", path=folder, remedy=remedy, remedy_options=("output",))
    try:
        make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except (FileExistsError, NotADirectoryError) as error:
        found = "is a file" if isinstance(error, FileExistsError) else "leads through a file"
        raise OutputError(found, path=folder, remedy="give a folder", remedy_options=("output",)) from error
    except OSError as error:
        raise OutputError(f"cannot be written to: {error.strerror}", path=folder, **ANOTHER) from error
    remove_stale_parts(folder)
    return folder


def make_folder(folder: Path, exist_ok: bool = True) -> None:
    """Make a folder and missing ones above it; `remove_unfinished` removes those that are still empty."""
    unfinished[:0] = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Raise OutputError if writing `output` would replace one of the inputs, also through links."""
    if not output.exists():
        return
    for path in inputs:
        if path.exists() and os.path.samefile(output, path):
            raise OutputError("is an input of this run", path=output, **ANOTHER)


def check_run_folder(output: Path, name: str, overwrite: bool) -> Path:
    """Return the folder that a run's name means, and make nothing; raises as `make_run_folder` does."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or len(os.fsencode(name)) > NAME_BYTES:
        found, remedy = "is no plain folder name", "slashes belong to the folder that holds it"
        fields: Any = {"value": name or "(empty)", "remedy": remedy, "remedy_options": ("output",)}
        raise UsageError(found, option="run", **fields)
    folder = output / name
    if os.path.lexists(folder) and not (overwrite and folder.is_dir()):
        raise OutputError("exists already", path=folder, **ANOTHER_NAME)
    return folder


def make_run_folder(output: Path, name: str | None, overwrite: bool, label: str) -> Path:
    """Make the folder of this run inside `output`, by name, or by date, time and label.

    Of two runs that choose the same name at the same moment, one makes it; the other makes the next (`..._2`), or is
    refused if the name was given.

    Raises
    ------
    UsageError
        The name is no plain folder name.
    OutputError
        It exists already and `overwrite` is not given, or it cannot be made.
    """
    label = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_{label}"
    folder = output / label if name is None else check_run_folder(output, name, overwrite)
    numbers = itertools.count(2)
    while True:
        try:
            make_folder(folder, exist_ok=overwrite and name is not None)
            return folder
        except FileExistsError as error:
            if name is not None:  # made by another run since it was checked
                raise OutputError("exists already", path=folder, **ANOTHER_NAME) from error
            folder = output / f"{label}_{next(numbers)}"
        except OSError as error:
            raise OutputError(f"cannot be made: {error.strerror}", path=folder, **ANOTHER) from error


def output_name(stem: str, key: str, suffix: str, digits: int = DIGITS) -> str:
    """Return `<stem>--<first hex digits of the SHA-256 of the key><suffix>`.

    The stem is cut so that the name fits; what does not print, hides a file or looks like a flag becomes "_" in it.
    Stem and key are composed.
    """
    stem, key = composed(stem), composed(key)
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()[:digits]
    free = NAME_BYTES - len(f"--{digest}{suffix}.") - len(PART_SUFFIX) - 10  # what the part file adds
    text = os.fsencode(cut(stem, free)).decode()
    text = "".join(c if c.isprintable() else "_" for c in re.sub(r"^[.-]", "_", text))
    return f"{os.fsdecode(text.encode())}--{digest}{suffix}"


def result_name(source: Source, suffix: str, digits: int | None = None) -> str:
    """Return the name of the result for one input: `<run>--<stem>--<hash><suffix>`.

    The run is the folder of what generator.py made; other inputs have none. The stem is that of the input, without the
    hash that it ends with where it is a result itself. The hash is of the path below `input`.
    """
    stem = PurePosixPath(source.relative).stem
    stem = re.sub(f"(?<=.)({EMBEDDINGS}|--[0-9a-f]{{{DIGITS},{MOST_DIGITS}}})$", "", stem)
    return output_name(f"{source.run}--{stem}" if source.run else stem, source.relative, suffix, digits or DIGITS)


def result_names(sources: Sequence[Source], suffix: str) -> dict[Path, str]:
    """Return the name of the result for the path of each input.

    All names differ, also where upper and lower case do not count. Inputs with equal stems whose hashes begin alike all
    get the whole hash, so a name depends on the list of all inputs, not on which of them are processed.

    Raises
    ------
    InputError
        Two inputs have the same path below their `input`.
    """
    names = {source.path: result_name(source, suffix) for source in sources}
    counts = Counter(map(str.casefold, names.values()))
    for source in sources:
        if counts[names[source.path].casefold()] > 1:
            names[source.path] = result_name(source, suffix, MOST_DIGITS)
    owners: dict[str, Path] = {}
    for path, name in names.items():
        other = owners.setdefault(name.casefold(), path)
        if other != path:
            found = f"the results of {printable(other)} and {printable(path)} would have the same name"
            remedy = "give the folder that holds both, or use a folder of results for each"
            raise InputError(found, remedy=remedy, remedy_options=("input", "output"))
    return names
