"""Finding input files, hashing them, and writing output files so that nobody ever sees half of one."""

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from unravel_lib.errors import InputError, OutputError

if sys.platform != "win32":  # there, leftovers of killed runs stay until removed by hand
    import fcntl

PART_SUFFIX = ".part"
PART_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # what `write_whole` makes; nothing else is swept away
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run a cell that begins with these
SHOWN_EXTENSIONS = 12  # so many are named where none was the right one
WRITTEN_KINDS = (".wav", ".npy", ".json", ".csv", ".png")  # what the scripts write; no name for a new folder
LOCK_NOTICE, LOCK_PATIENCE = 2.0, 10.0  # seconds until it is said what is waited for; until it goes on without

log = logging.getLogger("unravel_lib")

_living: set[Path] = set()  # part files that this process is writing
_made: list[Path] = []  # folders that this process has made, inner ones first
_locked_by_others: set[tuple[int, int]] = set()  # folders that are no longer waited for


@dataclass(frozen=True)
class Source:
    """An input file: where it lies, and its path below the `--input` that found it, with "/" ("a/b.wav").

    A file that `--input` names itself has its name as `relative`.
    """

    path: Path
    relative: str


class Report(Protocol):
    """Who is told what a search meets (see `unravel_lib.batch.Batch`)."""

    def failed(self, path: Path, reason: str) -> None:
        """A file or folder cannot be read."""

    def looked_at(self, path: Path) -> None:
        """A folder was read."""


def shown(path: str | os.PathLike[str]) -> str:
    """The path as one printable line: newlines, control characters and undecodable bytes become escapes."""
    text = os.fspath(path)
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def cell_text(text: str) -> str:
    """The text as a cell of a CSV file that no spreadsheet takes for a formula: those get an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


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
        raise InputError("--extensions names none: write them like wav or .wav")
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
        raise InputError(f"{shown(root)} does not exist: check the path given to --input")
    if not root.is_dir():
        if not root.is_file():
            raise InputError(f"{shown(root)} is neither a file nor a folder: give --input a file or a folder of files")
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
        raise InputError(f"{shown(root)} holds no {' '.join(extensions)} file: {_what_is_there(others)}")
    return [Source(path, path.relative_to(root).as_posix()) for path in sorted(found, key=os.fsencode)]


def _what_is_there(extensions: set[str]) -> str:
    if not extensions:
        return "it is empty (hidden files do not count)"
    some = sorted(extensions)[:SHOWN_EXTENSIONS]
    return shown(f"it holds {' '.join(some)}{' and others' if len(extensions) > len(some) else ''}")


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
        failures.append((Path(place), f"{shown(place)} cannot be read: {error.strerror}"))

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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; reads in blocks, so any size is fine."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from error


def refuse_endless(path: Path) -> None:
    """Raise InputError where the path leads to a pipe, a device or the like, which may give bytes for ever, or none."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{shown(path)} is a pipe or a device: give a file")


def make_output_folder(folder: Path) -> Path:
    """Create the output folder where it is missing, check that it can be written to, sweep away stale part files."""
    if folder.suffix.lower() in WRITTEN_KINDS and not os.path.lexists(folder):
        raise OutputError(
            f"{shown(folder)} looks like the name of a file: give --output a folder, in which results get names of "
            "their own"
        )
    try:
        make_folder(folder)
        trial = folder / f".write-test.{secrets.token_hex(4)}{PART_SUFFIX}"
        os.close(os.open(trial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o666))
        trial.unlink()
    except FileExistsError as error:
        raise OutputError(f"{shown(folder)} is a file: give --output a folder") from error
    except NotADirectoryError as error:
        raise OutputError(f"{shown(folder)} leads through a file: give --output a folder") from error
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be written to: {error.strerror}: choose another --output") from error
    _sweep(folder)
    return folder


def make_folder(folder: Path, exist_ok: bool = True) -> None:
    """Make a folder, and those above it where they are missing; `remove_unfinished` removes what stays empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    _made[:0] = missing
    folder.mkdir(parents=True, exist_ok=exist_ok)


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Raise OutputError if writing `output` would replace one of the inputs (also through links)."""
    if not output.exists():
        return
    for path in inputs:
        if path.exists() and os.path.samefile(output, path):
            raise OutputError(f"{shown(output)} is an input of this run: choose another --output")


@contextlib.contextmanager
def write_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it replaces the target, otherwise it is removed.

    A reader of `target` sees the old file or the new one, never a part. Errors of the file system become OutputError
    with the target's name and the reason.
    """
    name = cut(target.name, NAME_BYTES - len(PART_SUFFIX) - 10)  # which leaves room for two dots and eight digits
    part = target.with_name(f".{name}.{secrets.token_hex(4)}{PART_SUFFIX}")
    lock = None
    _living.add(part)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)  # another run may have removed it while it was empty
        lock = os.open(part, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o666)
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise OutputError(f"{shown(target)} cannot be written: {_reason(error)}") from error
    finally:
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        _living.discard(part)


def remove_unfinished() -> None:
    """Remove the part files that this process is writing, and the folders that it has made and not used."""
    for part in list(_living):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    for folder in _made:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()
    _made.clear()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs from exchanging files in this folder for a moment; does nothing where there are no locks.

    Runs hold the lock for milliseconds. Another program may hold it as long as it likes, as `flock FOLDER encoder.py`
    does: after some seconds this is said, then it goes on without, and does not wait for this folder again.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            _wait_for_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, folder: Path) -> None:
    status = os.fstat(descriptor)
    start, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - start
        if (status.st_dev, status.st_ino) in _locked_by_others:
            return
        if waited > LOCK_PATIENCE:
            log.warning("%s is still locked by another program: going on without the lock", shown(folder))
            _locked_by_others.add((status.st_dev, status.st_ino))
            return
        if waited > LOCK_NOTICE and not told:
            log.warning("waiting for %s, which another program has locked", shown(folder))
            told = True
        time.sleep(0.01)


def cut(name: str, n_bytes: int) -> str:
    """As many whole characters of a name as fit; the result can be written whatever the file system encoding is."""
    text = os.fsencode(name)[: max(n_bytes, 0)].decode("utf-8", "ignore")
    return os.fsdecode(text.encode())


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the device: free some or choose another --output"
    return error.strerror or str(error)


def _sweep(folder: Path) -> None:
    """Remove part files that a killed run left behind: old enough, and not locked by a living one."""
    if sys.platform == "win32":
        return
    for part in folder.glob(f".*{PART_SUFFIX}"):
        if not PART_NAME.fullmatch(part.name):
            continue
        with contextlib.suppress(OSError):
            if not part.is_file() or time.time() - part.stat().st_mtime < STALE_SECONDS:
                continue
            descriptor = os.open(part, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
            finally:
                os.close(descriptor)
