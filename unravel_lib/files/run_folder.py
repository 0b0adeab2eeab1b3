"""The folder of one run inside an output folder: named or dated, never shared by two runs, refused where it exists."""

import contextlib
import datetime
import os
from pathlib import Path

from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.atomic import NAME_BYTES, make_folder
from unravel_lib.text import printable

Identities = dict[str, tuple[int, int]]  # inode and time of change by file name: a file that was replaced has others


def check_run_folder(output: Path, name: str, overwrite: bool) -> Path:
    """Return the folder that a run's name means, and make nothing; raises as `make_run_folder` does."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or len(os.fsencode(name)) > NAME_BYTES:
        raise UsageError(f"`run` {printable(name)} is no plain folder name: slashes belong to `output`")
    folder = output / name
    if os.path.lexists(folder) and not (overwrite and folder.is_dir()):
        remedy = ", or add `overwrite`" if folder.is_dir() else ""
        raise OutputError(f"{printable(folder)} exists already: choose another `run`{remedy}")
    return folder


def make_run_folder(output: Path, name: str | None, overwrite: bool, label: str) -> Path:
    """Make the folder of this run inside `output`, by name, or by date, time and label.

    Of two runs that want the same name at the same moment, one makes it, and the other makes the next (`..._2`), or
    is refused where the name was given.

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
        raise OutputError(f"{printable(output)} is full of runs of this second: take `run` NAME")
    except FileExistsError as error:  # made by another run since it was checked
        raise OutputError(f"{printable(folder)} exists already: choose another `run`") from error
    except OSError as error:
        raise OutputError(f"{printable(folder)} cannot be made: {error.strerror}: choose another `output`") from error


def identities(folder: Path) -> Identities:
    """Identify all files in a folder but the hidden ones, to tell later which were replaced."""
    found = {}
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):  # another run may be at work here
            status = path.lstat()
            found[path.name] = status.st_ino, status.st_mtime_ns
    return found


def untouched(folder: Path, before: Identities) -> list[str]:
    """List the names of files that are still what they were when `before` was taken, sorted."""
    now = identities(folder)
    return sorted(name for name, identity in before.items() if now.get(name) == identity)
