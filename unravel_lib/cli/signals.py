"""Ctrl-C, SIGTERM and a closed terminal: stop, remove unfinished files, show no traceback.

Python runs its signal handlers in the main thread between two steps of Python code, so never while that thread is in a
call of a model that does not return. A second thread reads the signals from a socket, to which Python's C code writes
their numbers: it ends the process at the second signal, or where the main thread has not ended it some seconds after
the first. Code in C++ that holds the interpreter's lock would stop this thread too; calls of TorchScript methods
release it.
"""

import contextlib
import functools
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from unravel_lib.files.atomic import remove_unfinished

TEXTS = {130: "interrupted", 143: "terminated", 129: "the terminal was closed"}
KEPT = "finished files are kept, no half file is left"

GRACE = 5.0  # seconds that the main thread has after the first signal


@dataclass
class _State:
    """What this run knows of signals."""

    remedy: str = ""  # of a stopped run
    received: int | None = None  # the first signal
    held_back: bool = False
    exiting: bool = False


_state = _State()


def install(remedy: str | None = None) -> None:
    """Let the stop signals raise KeyboardInterrupt; those that the parent process ignores stay ignored.

    `remedy` is added to the message of a stopped run.

    A shell starts background jobs with Ctrl-C ignored, since it is meant for the foreground job; `nohup` does the
    same with the closed terminal.
    """
    global _state
    _state = _State(f"; {remedy}" if remedy else "")
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _stop)
    sys.unraisablehook = _unraisable
    signal.set_wakeup_fd(_watched_socket().fileno(), warn_on_full_buffer=False)


def stop_text(code: int) -> str:
    """Return the last message of a run that a signal stopped."""
    return f"{TEXTS[code]}: {KEPT}{_state.remedy}"


def check() -> None:
    """Raise KeyboardInterrupt again if library code swallowed it."""
    if _state.received is not None:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block: C++ that starts within it, as PyTorch's, aborts at an exception.

    A second signal, or five seconds, end the process as everywhere.
    """
    _state.held_back = True
    try:
        yield
    finally:
        _state.held_back = False
    check()


def code() -> int | None:
    """Return the exit code of the received signal, None without one."""
    return None if _state.received is None else 128 + _state.received


def begin_exit() -> None:
    """Remove unfinished files; a signal from now on ends the process without a message."""
    _state.exiting = True
    remove_unfinished()


def _stop(signum: int, frame: object) -> None:
    if _state.received is None and not _state.exiting:
        _state.received = signum
        if not _state.held_back:
            raise KeyboardInterrupt


@functools.cache
def _watched_socket() -> socket.socket:
    """Start the thread that reads signals while the main thread cannot; returns what it reads from."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    return writing


def _watch(reading: socket.socket) -> None:
    """End the process at the second signal, after `GRACE` seconds, or at any signal while it exits.

    Without the interpreter's own clean-up, which could hang.
    """
    code = 0
    while code not in TEXTS:  # a library may handle other signals
        code = 128 + reading.recv(1)[0]
    if not _state.exiting:
        reading.settimeout(GRACE)
        with contextlib.suppress(TimeoutError):
            reading.recv(1)
    if not _state.exiting:
        with contextlib.suppress(OSError):  # stderr is closed
            line = "\n" if os.isatty(2) else ""  # below the progress bar and the terminal's ^C
            os.write(2, f"{line}error: {stop_text(code)}\n".encode())
    remove_unfinished()
    os._exit(code)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    """Ignore Ctrl-C in a destructor, which cannot raise it; `check` will."""
    if not isinstance(event.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(event)
