"""Ctrl-C, SIGTERM and a closed terminal: stop, remove unfinished files, show no traceback.

Python runs its signal handlers in the main thread between two steps of Python code, so never while that thread is in a
call of a model that does not return. A second thread reads every signal from a pipe: it ends the process at the second
signal, or where the main thread has not reacted some seconds after the first. Code in C++ that holds the interpreter's
lock would stop this thread too; calls of TorchScript methods release it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from unravel_lib.files import output

TEXTS = {130: "interrupted", 143: "terminated", 129: "the terminal was closed"}
KEPT = "finished files are kept, no half file is left"

GRACE = 5.0  # seconds that the main thread has after the first signal

_received: int | None = None  # the first signal that the main thread handled
_exiting = False
_held_back = False
_remedy = ""
_wakeup: tuple[int, int] | None = None  # a pipe, to which Python's C code writes the number of each signal
_read_signums: list[int] = []  # the signals that the watching thread has read
_ending = threading.Lock()  # never released: the thread that acquires it ends the process


class Stopped(KeyboardInterrupt):
    """A stop signal arrived. A KeyboardInterrupt, so that libraries treat it as Ctrl-C.

    Attributes
    ----------
    code : exit code, 128 + number of the signal
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.code = 128 + signum


def install(remedy: str | None = None) -> None:
    """Let the stop signals raise `Stopped`; those that the parent process ignores stay ignored.

    `remedy` is added to the message of a stopped run.

    A shell starts background jobs with Ctrl-C ignored, since it is meant for the foreground job; `nohup` does the
    same with the closed terminal.
    """
    global _received, _exiting, _remedy
    _received, _exiting, _remedy = None, False, f"; {remedy}" if remedy else ""
    _read_signums.clear()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _stop)
    sys.unraisablehook = _unraisable
    with contextlib.suppress(RuntimeError):  # no thread can be started
        _start_watching()


def stop_text(code: int) -> str:
    """Return the last message of a run that a signal stopped."""
    return f"{TEXTS[code]}: {KEPT}{_remedy}"


def check() -> None:
    """Raise `Stopped` again if library code swallowed it."""
    if _received is not None:
        raise Stopped(_received)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Raise `Stopped` at the end of the block: C++ that starts within it, as PyTorch's, aborts at an exception.

    A second signal, or five seconds, end the process as everywhere.
    """
    global _held_back
    _held_back = True
    try:
        yield
    finally:
        _held_back = False
    check()


def code() -> int | None:
    """Return the exit code of the received signal, None without one."""
    return None if _received is None else 128 + _received


def begin_exit() -> None:
    """Remove unfinished files; a signal from now on ends the process without a message."""
    global _exiting
    _exiting = True
    output.remove_unfinished()


def _start_watching() -> None:
    """Start the thread that reads signals while the main thread cannot."""
    global _wakeup
    if _wakeup is None:
        reading, writing = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(writing, False)
        threading.Thread(target=_read_pipe, args=(reading,), daemon=True).start()
        _wakeup = reading, writing
    signal.set_wakeup_fd(_wakeup[1], warn_on_full_buffer=False)


def _read_pipe(reading: int) -> None:
    while True:
        for signum in os.read(reading, 64):
            if 128 + signum not in TEXTS:
                continue
            _read_signums.append(signum)
            if len(_read_signums) == 1:
                timer = threading.Timer(GRACE, _end_process, [128 + signum])
                timer.daemon = True
                timer.start()
            else:
                _end_process(128 + _read_signums[0])


def _stop(signum: int, frame: object) -> None:
    global _received
    if _received is None and not _exiting:
        _received = signum
        if _held_back:
            return
        raise Stopped(signum)
    _end_process(128 + (_received or signum))


def _end_process(code: int) -> None:
    """End the process without the interpreter's own clean-up, which could hang."""
    if not _ending.acquire(blocking=False):
        return
    if not _exiting:
        with contextlib.suppress(OSError):  # stderr is closed
            line = "\n" if os.isatty(2) else ""  # below the progress bar and the terminal's ^C
            os.write(2, f"{line}error: {stop_text(code)}\n".encode())
    output.remove_unfinished()
    os._exit(code)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    """Ignore Ctrl-C in a destructor, which cannot raise it; `check` will."""
    if not isinstance(event.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(event)
