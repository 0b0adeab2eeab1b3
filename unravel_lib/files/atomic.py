"""Files written atomically: a reader sees a complete file or none. Locks on folders, for files that belong together."""

import contextlib
import errno
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from unravel_lib.errors import OutputError
from unravel_lib.text import printable

if sys.platform != "win32":  # there, leftovers of killed runs stay until removed by hand
    import fcntl

PART_SUFFIX = ".part"
PART_NAMES = f".*.{8 * '[0-9a-f]'}{PART_SUFFIX}"  # that `atomic_write` gives; only these are removed
STALE_SECONDS = 60  # a part file younger than this may belong to a run that has not locked it yet
NAME_BYTES = 255  # longest file name on all common file systems
LOCK_PATIENCE = 5.0  # seconds of waiting until a run goes on without the lock of a folder

log = logging.getLogger("unravel_lib")

unfinished: list[Path] = []  # part files that this process is writing, and folders that it has made; the last first
_locked_by_others: set[Path] = set()  # folders that are no longer waited for


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
    unfinished.insert(0, part)
    try:
        if target.is_fifo() or target.is_char_device() or target.is_block_device():
            raise OutputError("is a device or a pipe, not a file", path=target)
        part.parent.mkdir(parents=True, exist_ok=True)  # another run may have removed it while it was empty
        with open(part, "xb") as file:
            _lock(file.fileno())
            yield part
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
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        with contextlib.suppress(ValueError):  # `remove_unfinished` was before
            unfinished.remove(part)


def _lock(descriptor: int) -> bool | None:
    """Lock a file or folder until it is closed; False: another process has locked it; None: there are no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


def remove_unfinished() -> None:
    """Remove the part files that this process is writing, and the folders that it has made and not used."""
    for path in list(unfinished):
        with contextlib.suppress(OSError):  # the folder holds something, or could not be made
            path.unlink() if path.suffix == PART_SUFFIX else path.rmdir()
    unfinished.clear()


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other runs from replacing files in this folder meanwhile; does nothing where there are no locks.

    Runs hold the lock for milliseconds. Another program may hold it for any time, as `flock FOLDER encoder.py` does:
    after `LOCK_PATIENCE` seconds the run says so, goes on without the lock, and waits for this folder no more.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + LOCK_PATIENCE
        while _lock(descriptor) is False and folder not in _locked_by_others:
            if time.monotonic() > end:
                log.warning("%s is locked by another program: going on without the lock", printable(folder))
                _locked_by_others.add(folder)
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def cut(name: str, n_bytes: int) -> str:
    """Cut a name to `n_bytes`, between characters; the result can be written under any file system encoding."""
    text = os.fsencode(name)[: max(n_bytes, 0)].decode("utf-8", "ignore")
    return os.fsdecode(text.encode())


def remove_stale_parts(folder: Path) -> None:
    """Remove part files of killed runs: those that are old enough and that no run has locked."""
    for part in folder.glob(PART_NAMES):
        with contextlib.suppress(OSError):
            if part.is_file() and time.time() - part.stat().st_mtime >= STALE_SECONDS:
                with open(part, "rb+") as file:
                    if _lock(file.fileno()):
                        part.unlink()
