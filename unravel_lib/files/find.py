"""files.find."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unravel_lib.errors import InputError
from unravel_lib.text import printable

SHOWN_EXTENSIONS = 12  # so many are named where none was the right one


@dataclass(frozen=True)
class Source:
    """An input file: where it lies, and its path below the `input` that found it, with "/" ("a/b.wav").

    A file that `input` names itself has its name as `relative`.
    """

    path: Path
    relative: str


class Report(Protocol):
    """Who is told what a search meets (see `unravel_lib.batch.Batch`)."""

    def failed(self, path: Path, reason: str) -> None:
        """A file or folder cannot be read."""

    def looked_at(self, path: Path) -> None:
        """A folder was read."""


def normalised_extensions(extensions: Iterable[str]) -> tuple[str, ...]:
    """Extensions as the user typed them -> lower case, with a dot, without repeats ("WAV,flac" -> ".wav", ".flac")."""
    typed = [extension for text in extensions for extension in text.split(",")]
    return tuple(dict.fromkeys("." + e.strip().lower().lstrip("*.") for e in typed if e.strip(" *.")))


def find_files(
    roots: Sequence[Path], extensions: Sequence[str], output: Path | None = None, report: Report | None = None
) -> list[Source]:
    """All files under each root with one of the extensions, sorted by path; a root that is a file is taken as it is.

    Folders are searched recursively and through symbolic links, each real folder once. Hidden files and folders
    are skipped, and so is everything in `output`: a folder of results inside the input is not an input. Links that
    lead nowhere are listed, so that the run can name them. A file that two roots lead to is listed once.

    Parameters
    ----------
    report : told of what cannot be read, and of the folders that were; without it the first of these is an error, as
        it is where the only root cannot be used at all

    Raises
    ------
    InputError
        A root does not exist, or a folder holds no matching file; the text tells which extensions it does hold.
    """
    if not extensions:
        raise InputError("`extensions` names none: write them like wav or .wav")
    found: dict[str, Source] = {}
    for root in roots:
        try:
            for source in _files_under(root, extensions, output, report):
                found.setdefault(os.path.abspath(source.path), source)
        except InputError as error:
            if report is None or len(roots) == 1:
                raise
            report.failed(root, str(error))
    return list(found.values())


def _files_under(root: Path, extensions: Sequence[str], output: Path | None, report: Report | None) -> list[Source]:
    if not os.path.lexists(root):
        raise InputError(f"{printable(root)} does not exist: check the path given to `input`")
    if not root.is_dir():
        if not root.is_file():
            raise InputError(
                f"{printable(root)} is neither a file nor a folder: give `input` a file or a folder of files"
            )
        return [Source(root, root.name)]
    failures: list[tuple[Path, str]] = []
    folders: list[Path] = []
    found: list[Path] = []
    others: set[str] = set()
    for path in _walk(root, output, extensions, failures, folders):
        if path.suffix.lower() in extensions:
            found.append(path)
        else:
            others.add(path.suffix.lower() or "files without extension")
    for place, reason in failures:
        if report is None or place == root:
            raise InputError(reason)
        report.failed(place, reason)
    if report is not None:
        for folder in folders:
            report.looked_at(folder)
    if not found and not failures:
        raise InputError(f"{printable(root)} holds no {' '.join(extensions)} file: {_what_is_there(others)}")
    return [Source(path, path.relative_to(root).as_posix()) for path in sorted(found, key=os.fsencode)]


def _what_is_there(extensions: set[str]) -> str:
    if not extensions:
        return "it is empty (hidden files do not count)"
    some = sorted(extensions)[:SHOWN_EXTENSIONS]
    return printable(f"it holds {' '.join(some)}{' and others' if len(extensions) > len(some) else ''}")


def _walk(
    root: Path,
    output: Path | None,
    extensions: Sequence[str],
    failures: list[tuple[Path, str]],
    folders: list[Path],
) -> Iterator[Path]:
    """The files under `root` that show; adds what cannot be looked at to `failures`, what was to `folders`."""
    seen: set[tuple[int, int]] = set()
    if output is not None and output.is_dir() and not output.samefile(root):
        seen.add(_identity(output))

    def failed(error: OSError, place: str | None = None) -> None:
        place = place or error.filename
        failures.append((Path(place), f"{printable(place)} cannot be read: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=failed):
        try:
            identity = _identity(os.path.join(folder, os.curdir))  # a folder may be listed, and yet give no file
        except OSError as error:
            failed(error, folder)
            subfolders.clear()
            continue
        if identity in seen:
            subfolders.clear()
            continue
        seen.add(identity)
        folders.append(Path(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except OSError as error:
                leads_nowhere = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
                if path.suffix.lower() in extensions or leads_nowhere:
                    if path.is_symlink():
                        yield path
                else:  # perhaps a link to a folder
                    failed(error, os.fspath(path))


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def refuse_endless(path: Path) -> None:
    """Raise InputError where the path leads to a pipe, a device or the like, which may give bytes for ever, or none."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{printable(path)} is a pipe or a device: give a file")
