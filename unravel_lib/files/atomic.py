"""Output files and folders: written so that a reader sees a complete file or none, and never in place of an input."""

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
PART_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # names that `atomic_write` gives; only these are removed
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
WRITTEN_KINDS = (".wav", ".npy", ".json", ".csv", ".png")  # what the scripts write; a new folder is not named so
LOCK_NOTICE, LOCK_PATIENCE = 2.0, 10.0  # seconds of waiting until a message, and until going on without the lock

log = logging.getLogger("unravel_lib")

_open_parts: set[Path] = set()  # part files that this process is writing
_made_folders: list[Path] = []  # folders that this process has made, inner ones first
_locked_by_others: set[tuple[int, int]] = set()  # folders that are no longer waited for


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; reads in blocks, so the file may have any size.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be read: {error.strerror}") from error


def make_output_folder(folder: Path) -> Path:
    """Make the output folder if it is missing, check that it can be written to, remove part files of killed runs.

    Raises
    ------
    OutputError
        The path is a file or looks like one, or the folder cannot be made or written to.
    """
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
    _remove_stale_parts(folder)
    return folder


def make_folder(folder: Path, exist_ok: bool = True) -> None:
    """Make a folder and missing ones above it; `remove_unfinished` removes those that are still empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    _made_folders[:0] = missing
    folder.mkdir(parents=True, exist_ok=exist_ok)


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Raise OutputError if writing `output` would replace one of the inputs, also through links."""
    if not output.exists():
        return
    for path in inputs:
        if path.exists() and os.path.samefile(output, path):
            raise OutputError(f"{printable(output)} is an input of this run: choose another `output`")


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it replaces the target, otherwise it is removed.

    A reader of `target` sees the old file or the new one, never a part.

    Raises
    ------
    OutputError
        The file cannot be written; OSErrors inside the `with` block become this too.
    """
    name = cut(target.name, NAME_BYTES - len(PART_SUFFIX) - 10)  # minus two dots and eight digits
    part = target.with_name(f".{name}.{secrets.token_hex(4)}{PART_SUFFIX}")
    lock = None
    _open_parts.add(part)
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
        _open_parts.discard(part)


def remove_unfinished() -> None:
    """Remove the part files that this process is writing, and the folders that it has made and not used."""
    for part in list(_open_parts):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    for folder in _made_folders:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()
    _made_folders.clear()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other runs from replacing files in this folder meanwhile; does nothing where there are no locks.

    Runs hold the lock for milliseconds. Another program may hold it for any time, as `flock FOLDER encoder.py` does:
    after `LOCK_NOTICE` seconds a warning says so, after `LOCK_PATIENCE` seconds the run goes on without the lock, and
    it does not wait for this folder again.
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
    start, warned = time.monotonic(), False
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
        if waited > LOCK_NOTICE and not warned:
            log.warning("waiting for %s, which another program has locked", printable(folder))
            warned = True
        time.sleep(0.01)


def cut(name: str, n_bytes: int) -> str:
    """Cut a name to `n_bytes`, between characters; the result can be written under any file system encoding."""
    text = os.fsencode(name)[: max(n_bytes, 0)].decode("utf-8", "ignore")
    return os.fsdecode(text.encode())


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the device: free some or choose another `output`"
    return error.strerror or str(error)


def _remove_stale_parts(folder: Path) -> None:
    """Remove part files of killed runs: those that are old enough and that no run has locked."""
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
