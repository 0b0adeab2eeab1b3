"""Another process that works for this one: it may crash, or be killed, without ending this one.

It ends with this one, however this one ends: it waits for the end of a pipe whose other side only this one holds.
"""

import contextlib
import copy
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from unravel_lib.errors import UnravelError
from unravel_lib.files.atomic import remove_unfinished

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
END_SECONDS = 5.0  # that it has to remove its unfinished files

log = logging.getLogger("unravel_lib")


class EndedError(Exception):
    """The other process has ended without a result; the text says how."""


class Process:
    """Runs functions in another process, one at a time. It starts when it is needed, and again after it has ended.

    Attributes
    ----------
    pipe : where `receive` reads, for `multiprocessing.connection.wait`
    """

    pipe: "Connection[Any, Any]"

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None

    def close(self) -> None:
        """End the process, also while it runs a function."""
        if self._process is not None:
            self._end(self._process)

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Return function(*args), or raise its error, or `EndedError`; what it logs is logged here."""
        self.ask(function, *args)
        while isinstance(found := self.receive(), logging.LogRecord):
            log.handle(found)
        if isinstance(found, Exception):
            raise found
        return found

    def ask(self, function: Callable[..., Any], *args: object) -> None:
        """Let it run function(*args), which must pickle; `receive` returns what comes of it."""
        if self._process is None:
            self._start()
        with contextlib.suppress(OSError):  # it has ended, which `receive` tells
            self.pipe.send((function, args))

    def receive(self) -> Any:
        """Return the next record that the function logs; behind the last one what it returns, or its error.

        Raises
        ------
        EndedError
            The process has ended.
        """
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            how = "" if self._process is None else self._end(self._process)
            raise EndedError(how) from None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, log.level), daemon=True)
        try:
            with ThreadPoolExecutor(1, initializer=_block_stops) as starting:
                starting.submit(process.start).result()
        finally:  # also where Ctrl-C interrupts the waiting
            self._process = process if process.pid else None
            theirs.close()

    def _end(self, process: SpawnProcess) -> str:
        """End the process; return how it ended."""
        self._process = None
        self.pipe.close()
        process.join(END_SECONDS)
        process.kill()
        process.join()
        code = process.exitcode or 0
        return (code < 0 and signal.strsignal(-code)) or f"exit code {code}"


def _block_stops() -> None:
    """In this thread, and so in the process that it starts: it ends with this one."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        resource_tracker.ensure_running()  # its start would unblock them
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


# ---------------------------------------------------------------- in the other process


class _Sender(logging.Handler):
    """Sends what is logged to the process that prints it."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        plain = copy.copy(record)
        plain.msg = record.msg if isinstance(record.msg, UnravelError) else record.getMessage()
        plain.args = plain.exc_info = None
        plain.exc_text = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        self._pipe.send(plain)


def _serve(pipe: "Connection[Any, Any]", level: int) -> None:
    """Run what the other process asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not blocked: on Windows
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, asked), daemon=True).start()
    warnings.showwarning = lambda message, *_, **__: log.debug("%s", message)
    log.handlers[:], log.propagate = [_Sender(pipe)], False
    log.setLevel(level)
    with contextlib.suppress(BrokenPipeError):  # the other process has ended
        while True:
            function, args = pickle.loads(asked.get())
            try:
                found = function(*args)
            except Exception as error:  # raised by the other process
                log.debug("traceback of the failure below", exc_info=True)
                known = isinstance(error, UnravelError) or type(error).__module__ == "builtins"  # others may not pickle
                found = error if known else RuntimeError(f"{type(error).__name__}: {error}")
            pipe.send(found)


def _read(pipe: "Connection[Any, Any]", asked: "queue.SimpleQueue[bytes]") -> None:
    """Take questions, also while a function runs: models let other threads run; end where there are no more."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked.put(pipe.recv_bytes())
    remove_unfinished()
    os._exit(1)
