"""Ctrl-C, SIGTERM and a closed terminal: stop where we are, leave nothing half done, show no traceback.

Python runs its signal handlers in the main thread between two steps of Python code, so never while that thread is in a
call of a model that does not return. A thread of ours sees every signal nevertheless: it ends the process at the second
one, or where the main thread has not come back some seconds after the first. Code in C++ that holds the interpreter's
lock would stop this thread too; calls of TorchScript methods release it.
"""

import contextlib
import os
import signal
import sys
import threading

from unravel_lib.files import atomic

TEXTS = {130: "interrupted", 143: "terminated", 129: "the terminal was closed"}
KEPT = "finished files are kept, no half file is left"

GRACE = 5.0  # seconds that the main thread has after the first signal

_received: int | None = None  # as the main thread knows it
_leaving = False
_remedy = ""
_wakeup: tuple[int, int] | None = None  # a pipe: each signal's number arrives here, from C
_seen: list[int] = []  # as the watching thread knows them
_ending = threading.Lock()  # never released: who gets it ends the process


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop. What treats Ctrl-C with care treats this alike.

    Attributes
    ----------
    code : exit code, 128 + number of the signal
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def install(remedy: str | None = None) -> None:
    """From now on the stop signals raise `Stopped`; those that our parent ignores stay ignored.

    `remedy` is what a stopped run tells about going on.

    A shell starts background jobs with Ctrl-C ignored, since it is meant for what runs in front; `nohup` does the
    same with the closed terminal.
    """
    global _received, _leaving, _remedy
    _received, _leaving, _remedy = None, False, f"; {remedy}" if remedy else ""
    _seen.clear()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _stop)
    sys.unraisablehook = _unraisable
    with contextlib.suppress(RuntimeError):  # no room for a thread
        _watch()


def told(code: int) -> str:
    """What a run that a signal stopped says at its end."""
    return f"{TEXTS[code]}: {KEPT}{_remedy}"


def check() -> None:
    """Raise `Stopped` again if library code swallowed it."""
    if _received is not None:
        raise Stopped(_received)


def code() -> int | None:
    """The exit code that a received signal asks for, None without one."""
    return None if _received is None else 128 + _received


def begin_exit() -> None:
    """The exit code is settled: remove what is unfinished; a signal from now on just ends the process."""
    global _leaving
    _leaving = True
    atomic.remove_unfinished()


def _watch() -> None:
    """Start the thread that sees signals while the main thread cannot."""
    global _wakeup
    if _wakeup is None:
        reading, writing = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(writing, False)
        threading.Thread(target=_see, args=(reading,), daemon=True).start()
        _wakeup = reading, writing
    signal.set_wakeup_fd(_wakeup[1], warn_on_full_buffer=False)


def _see(reading: int) -> None:
    while True:
        for signum in os.read(reading, 64):
            if 128 + signum not in TEXTS:
                continue
            _seen.append(signum)
            if len(_seen) == 1:
                timer = threading.Timer(GRACE, _leave_at_once, [128 + signum])
                timer.daemon = True
                timer.start()
            else:
                _leave_at_once(128 + _seen[0])


def _stop(signum: int, frame: object) -> None:
    global _received
    if _received is None and not _leaving:
        _received = signum
        raise Stopped(signum)
    _leave_at_once(128 + (_received or signum))


def _leave_at_once(code: int) -> None:
    """Whatever still holds us up, go; without the interpreter's farewell, which could hang too."""
    if not _ending.acquire(blocking=False):
        return
    if not _leaving:
        with contextlib.suppress(OSError):  # stderr is closed
            line = "\n" if os.isatty(2) else ""  # below the progress bar and the terminal's ^C
            os.write(2, f"{line}error: {told(code)}\n".encode())
    atomic.remove_unfinished()
    os._exit(code)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    """Python cannot raise out of a destructor; `check` will."""
    if not isinstance(event.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(event)
