"""Ctrl-C, SIGTERM and a closed terminal: stop where we are, leave nothing half done, show no traceback."""

import contextlib
import os
import signal
import sys
from typing import NoReturn

from unravel_lib import files

TEXTS = {130: "interrupted", 143: "terminated", 129: "the terminal was closed"}
KEPT = "finished files are kept, no half file is left"

_received: int | None = None
_leaving = False


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop. What treats Ctrl-C with care treats this alike.

    Attributes
    ----------
    code : exit code, 128 + number of the signal
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def answer() -> None:
    """From now on the stop signals raise `Stopped`; those that our parent ignores stay ignored.

    A shell starts background jobs with Ctrl-C ignored, since it is meant for what runs in front; `nohup` does the
    same with the closed terminal.
    """
    global _received, _leaving
    _received, _leaving = None, False
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _stop)
    sys.unraisablehook = _unraisable


def check() -> None:
    """Raise `Stopped` again if library code swallowed it."""
    if _received is not None:
        raise Stopped(_received)


def code() -> int | None:
    """The exit code that a received signal asks for, None without one."""
    return None if _received is None else 128 + _received


def leave() -> None:
    """The exit code is settled: remove what is unfinished; a signal from now on just ends the process."""
    global _leaving
    _leaving = True
    files.remove_parts()


def _stop(signum: int, frame: object) -> None:
    global _received
    if _received is None and not _leaving:
        _received = signum
        raise Stopped(signum)
    _leave_at_once(128 + (_received or signum))


def _leave_at_once(code: int) -> NoReturn:
    """The second Ctrl-C: whatever still holds us up, go; without the interpreter's farewell, which could hang too."""
    if not _leaving:
        with contextlib.suppress(OSError):  # stderr is closed
            os.write(2, f"error: {TEXTS[code]}: {KEPT}\n".encode())
    files.remove_parts()
    os._exit(code)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    """Python cannot raise out of a destructor; `check` will."""
    if not isinstance(event.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(event)
