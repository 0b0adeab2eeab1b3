"""Finding input files, hashing them, and writing output files so that nobody ever sees half of one."""

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from unravel_lib.errors import InputError, OutputError
from unravel_lib.text import printable

if sys.platform != "win32":  # there, leftovers of killed runs stay until removed by hand
    import fcntl

PART_SUFFIX = ".part"
PART_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # what `write_whole` makes; nothing else is swept away
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
WRITTEN_KINDS = (".wav", ".npy", ".json", ".csv", ".png")  # what the scripts write; no name for a new folder
LOCK_NOTICE, LOCK_PATIENCE = 2.0, 10.0  # seconds until it is said what is waited for; until it goes on without

log = logging.getLogger("unravel_lib")

_living: set[Path] = set()  # part files that this process is writing
_made: list[Path] = []  # folders that this process has made, inner ones first
_locked_by_others: set[tuple[int, int]] = set()  # folders that are no longer waited for


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; reads in blocks, so any size is fine."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error


def make_output_folder(folder: Path) -> Path:
    """Create the output folder where it is missing, check that it can be written to, sweep away stale part files."""
    if folder.suffix.lower() in WRITTEN_KINDS and not os.path.lexists(folder):
        raise OutputError(
            f"{printable(folder)} looks like the name of a file: give `output` a folder, in which results get names of "
            "their own"
        )
    try:
        make_folder(folder)
        trial = folder / f".write-test.{secrets.token_hex(4)}{PART_SUFFIX}"
        os.close(os.open(trial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o666))
        trial.unlink()
    except FileExistsError as error:
        raise OutputError(f"{printable(folder)} is a file: give `output` a folder") from error
    except NotADirectoryError as error:
        raise OutputError(f"{printable(folder)} leads through a file: give `output` a folder") from error
    except OSError as error:
        raise OutputError(
            f"{printable(folder)} cannot be written to: {error.strerror}: choose another `output`"
        ) from error
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
            raise OutputError(f"{printable(output)} is an input of this run: choose another `output`")


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
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
        raise OutputError(f"{printable(target)} cannot be written: {_reason(error)}") from error
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
def folder_lock(folder: Path) -> Iterator[None]:
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
            log.warning("%s is still locked by another program: going on without the lock", printable(folder))
            _locked_by_others.add((status.st_dev, status.st_ino))
            return
        if waited > LOCK_NOTICE and not told:
            log.warning("waiting for %s, which another program has locked", printable(folder))
            told = True
        time.sleep(0.01)


def cut(name: str, n_bytes: int) -> str:
    """As many whole characters of a name as fit; the result can be written whatever the file system encoding is."""
    text = os.fsencode(name)[: max(n_bytes, 0)].decode("utf-8", "ignore")
    return os.fsdecode(text.encode())


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the device: free some or choose another `output`"
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
