"""Finding input files, hashing them, and writing output files so that nobody ever sees half of one."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from unravel_lib.errors import InputError, OutputError

if sys.platform != "win32":  # there, leftovers of killed runs stay until removed by hand
    import fcntl

PART_SUFFIX = ".part"
PART_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # what `write_whole` makes; nothing else is swept away
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
FORMULA_STARTS = ("=", "+", "-", "@")  # a spreadsheet would run a cell that begins with these
SHOWN_EXTENSIONS = 12  # so many are named where none was the right one

_living: set[Path] = set()  # part files that this process is writing
_made: list[Path] = []  # folders that this process has made, inner ones first


def shown(path: str | os.PathLike[str]) -> str:
    """The path as one printable line: newlines, control characters and undecodable bytes become escapes."""
    text = os.fspath(path)
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in safe)


def cell_text(text: str) -> str:
    """The text as a cell of a CSV file that no spreadsheet takes for a formula: those get an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def normalised_extensions(extensions: Iterable[str]) -> tuple[str, ...]:
    """Extensions as the user typed them -> lower case, with a dot, without repeats ("WAV" -> ".wav")."""
    return tuple(dict.fromkeys("." + e.strip().lower().lstrip("*.") for e in extensions if e.strip(" *.")))


def find_files(
    root: Path,
    extensions: Sequence[str],
    output: Path | None = None,
    unreadable: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """All files under `root` with one of the extensions, sorted by path; a file given by name is taken as it is.

    Folders are searched recursively and through symbolic links, each real folder once. Hidden files and folders
    are skipped, and so is everything in `output`: a folder of results inside the input is not an input. Links that
    lead nowhere are listed, so that the run can name them.

    Parameters
    ----------
    unreadable : called with a folder inside `root` that cannot be read, and why; without it that is an error

    Raises
    ------
    InputError
        `root` does not exist, or a folder holds no matching file; the text tells which extensions it does hold.
    """
    if not extensions:
        raise InputError("--extensions names none: write them like wav or .wav")
    if not os.path.lexists(root):
        raise InputError(f"{shown(root)} does not exist: check the path given to --input")
    if not root.is_dir():
        if not root.is_file():
            raise InputError(f"{shown(root)} is neither a file nor a folder: give --input a file or a folder of files")
        return [root]
    failures: list[tuple[Path, str]] = []
    found: list[Path] = []
    others: set[str] = set()
    for path in _walk(root, output, failures):
        if path.suffix.lower() in extensions:
            found.append(path)
        else:
            others.add(path.suffix.lower() or "files without extension")
    for folder, reason in failures:
        if unreadable is None or folder == root:
            raise InputError(reason)
        unreadable(folder, reason)
    if not found and not failures:
        raise InputError(f"{shown(root)} holds no {' '.join(extensions)} file: {_what_is_there(others)}")
    return sorted(found, key=os.fsencode)


def _what_is_there(extensions: set[str]) -> str:
    if not extensions:
        return "it is empty (hidden files do not count)"
    some = sorted(extensions)[:SHOWN_EXTENSIONS]
    return shown(f"it holds {' '.join(some)}{' and others' if len(extensions) > len(some) else ''}")


def _walk(root: Path, output: Path | None, failures: list[tuple[Path, str]]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    if output is not None and output.is_dir() and not output.samefile(root):
        seen.add(_identity(output))

    def failed(error: OSError) -> None:
        failures.append((Path(error.filename), f"{shown(error.filename)} cannot be read: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=failed):
        if _identity(folder) in seen:
            subfolders.clear()
            continue
        seen.add(_identity(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and (path.is_file() or (path.is_symlink() and not path.exists())):
                yield path


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


def output_name(prefix: str, source: Path, suffix: str) -> str:
    """`prefix--<stem>--<8 hex of the absolute source path><suffix>`, cut to fit a file name.

    The same source always gets the same name; equal names in different folders get different ones.
    """
    digest = hashlib.sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:8]
    room = NAME_BYTES - len(f"{prefix}----{digest}{suffix}.") - len(PART_SUFFIX) - 10  # what the part file adds
    stem = os.fsencode(source.stem)[: max(room, 0)].decode("utf-8", "ignore")
    stem = "".join(c if c.isprintable() else "_" for c in stem)
    return f"{prefix}--{stem}--{digest}{suffix}"


def make_output_folder(folder: Path) -> Path:
    """Create the output folder where it is missing, check that it can be written to, sweep away stale part files."""
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
    part = target.with_name(f".{_cut(target.name)}.{secrets.token_hex(4)}{PART_SUFFIX}")
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
    """Keep other runs from exchanging files in this folder for a moment; does nothing where there are no locks."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cut(name: str) -> str:
    room = NAME_BYTES - len(PART_SUFFIX) - 10  # the two dots and eight hex digits around the name
    return os.fsencode(name)[:room].decode("utf-8", "ignore")


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
