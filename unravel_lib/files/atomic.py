"""Files written atomically: a reader sees a complete file or none. Locks on folders, for files that belong together."""

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from unravel_lib.errors import OutputError
from unravel_lib.text import printable

if sys.platform != "win32":  # there, leftovers of killed runs stay until removed by hand
    import fcntl

PART_SUFFIX = ".part"
PART_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)  # names that `atomic_write` gives; only these are removed
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
LOCK_NOTICE, LOCK_PATIENCE = 2.0, 10.0  # seconds of waiting until a message, and until going on without the lock

log = logging.getLogger("unravel_lib")

_open_parts: set[Path] = set()  # part files that this process is writing
_locked_by_others: set[tuple[int, int]] = set()  # folders that are no longer waited for


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
    if _is_special(target):
        raise OutputError("is a device or a pipe, not a file", path=target)
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
        full = error.errno == errno.ENOSPC
        raise OutputError(
            f"cannot be written: {'no space left on the device' if full else error.strerror or error}",
            path=target,
            remedy="free some or choose another folder" if full else "",
            remedy_options=("output",) if full else (),
        ) from error
    finally:
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        _open_parts.discard(part)


def _is_special(path: Path) -> bool:
    """Return whether there is a device, a pipe or a socket."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode  # once: another run may replace the file meanwhile
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def remove_open_parts() -> None:
    """Remove the part files that this process is writing."""
    for part in list(_open_parts):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


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


def remove_stale_parts(folder: Path) -> None:
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
