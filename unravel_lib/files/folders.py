"""Output folders: made and checked, and the folder of one run inside them; no output replaces an input.

The folder of a run is named by the user or by date and time. No two runs share one.
"""

import contextlib
import datetime
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.atomic import NAME_BYTES, PART_SUFFIX, remove_open_parts, remove_stale_parts

FILE_SUFFIXES = (".wav", ".npy", ".json", ".csv", ".png")  # of the results; no new output folder gets such a name

ANOTHER: Any = {"remedy": "choose another folder", "remedy_options": ("output",)}  # fields of errors

_made_folders: list[Path] = []  # folders that this process has made, inner ones first


def make_output_folder(folder: Path) -> Path:
    """Make the output folder if it is missing, check that it can be written to, remove part files of killed runs.

    Raises
    ------
    OutputError
        The path is a file or looks like one, or the folder cannot be made or written to.
    """
    if folder.suffix.lower() in FILE_SUFFIXES and not os.path.lexists(folder):
        raise OutputError(
            "looks like the name of a file",
            path=folder,
            remedy="give a folder, in which results get names of their own",
            remedy_options=("output",),
        )
    try:
        make_folder(folder)
        trial = folder / f".write-test.{secrets.token_hex(4)}{PART_SUFFIX}"
        os.close(os.open(trial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o666))
        trial.unlink()
    except FileExistsError as error:
        raise OutputError("is a file", path=folder, remedy="give a folder", remedy_options=("output",)) from error
    except NotADirectoryError as error:
        raise OutputError(
            "leads through a file", path=folder, remedy="give a folder", remedy_options=("output",)
        ) from error
    except OSError as error:
        raise OutputError(f"cannot be written to: {error.strerror}", path=folder, **ANOTHER) from error
    remove_stale_parts(folder)
    return folder


def make_folder(folder: Path, exist_ok: bool = True) -> None:
    """Make a folder and missing ones above it; `remove_unfinished` removes those that are still empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    _made_folders[:0] = missing
    folder.mkdir(parents=True, exist_ok=exist_ok)


def remove_unfinished() -> None:
    """Remove the part files that this process is writing, and the folders that it has made and not used."""
    remove_open_parts()
    for folder in _made_folders:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()
    _made_folders.clear()


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
        remedy = "slashes belong to the folder that holds it"
        raise UsageError(
            "is no plain folder name", option="run", value=name or "(empty)", remedy=remedy, remedy_options=("output",)
        )
    folder = output / name
    if os.path.lexists(folder) and not (overwrite and folder.is_dir()):
        remedies = ("run", "overwrite") if folder.is_dir() else ("run",)
        remedy = "choose another name, or replace it" if folder.is_dir() else "choose another name"
        raise OutputError("exists already", path=folder, remedy=remedy, remedy_options=remedies)
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
    try:
        if name is not None:
            folder = check_run_folder(output, name, overwrite)
            make_folder(folder, exist_ok=overwrite)
            return folder
        stem = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_{label}"
        for attempt in range(1, 10_000):
            folder = output / (stem if attempt == 1 else f"{stem}_{attempt}")
            with contextlib.suppress(FileExistsError):
                make_folder(folder, exist_ok=False)
                return folder
        raise OutputError("is full of runs of this second", path=output, remedy="name the run", remedy_options=("run",))
    except FileExistsError as error:  # made by another run since it was checked
        raise OutputError(
            "exists already", path=folder, remedy="choose another name", remedy_options=("run",)
        ) from error
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", path=folder, **ANOTHER) from error
