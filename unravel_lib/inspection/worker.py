"""Model files opened in a process of their own: one that crashes PyTorch ends that process, not the run."""

import copy
import logging
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from unravel_lib.errors import ModelError, UnravelError
from unravel_lib.files.find import sha256_of
from unravel_lib.inspection.facts import Facts

log = logging.getLogger("unravel_lib")


class Opener:
    """Opens model files and answers questions about the last one, in this process."""

    def __enter__(self) -> "Opener":
        return self

    def __exit__(self, *error: object) -> None:
        """End what was started."""

    def open(self, path: Path, trust: bool, measure: bool) -> tuple[Facts, UnravelError | None]:
        """Return the facts about a model file, and why it could not be opened, if so; see `inspect.inspect`."""
        from unravel_lib.inspection.inspect import inspect

        self._found = inspect(path, trust, measure)
        return self._found.facts, self._found.failure

    def answer(self, question: str, *args: object) -> Any:
        """Return what a function of `answers` says about the file."""
        from unravel_lib.inspection import answers

        return getattr(answers, question)(self._found, *args)


class Worker(Opener):
    """Does the same in another process, which starts when it is needed, and again after a crash."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: Connection[Any, Any]
        self._last: tuple[Path, bool, bool]  # how the last file is opened again

    def __exit__(self, *error: object) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def open(self, path: Path, trust: bool, measure: bool) -> tuple[Facts, UnravelError | None]:
        """Return the facts about a model file; of one that crashes PyTorch, those that follow from its bytes."""
        self._last = path, trust, False
        try:
            found: tuple[Facts, UnravelError | None] = self._call("open", path, trust, measure)
            return found
        except ModelError as error:
            if self._process is not None:  # it did not crash
                raise
            facts = Facts(path.name, str(path), path.stat().st_size, sha256_of(path), warnings=[error.found])
            return facts, error

    def answer(self, question: str, *args: object) -> Any:
        """Return what a function of `answers` says about the file."""
        if self._process is None:
            self._call("open", *self._last)
        return self._call("answer", question, *args)

    def _call(self, method: str, *args: object) -> Any:
        if self._process is None:
            self._start()
        try:
            self._pipe.send((method, args))
            while isinstance(found := self._pipe.recv(), logging.LogRecord):
                logging.getLogger(found.name).handle(found)
        except (EOFError, OSError):
            found = f"ended the process that read it ({self._end()})"
            remedy = "is it damaged, or is the memory too small?"
            raise ModelError(found, path=self._last[0], remedy=remedy) from None
        if isinstance(found, Exception):
            raise found
        return found

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, log.level), daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> str:
        """Leave a process that has ended; return how."""
        code = None
        if self._process is not None:
            self._process.join(5)
            code, self._process = self._process.exitcode, None
        return (code is not None and code < 0 and signal.strsignal(-code)) or f"exit code {code}"


class _Sender(logging.Handler):
    """Sends messages to the process that prints them."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        plain = copy.copy(record)
        plain.msg = record.msg if isinstance(record.msg, UnravelError) else record.getMessage()
        plain.args = plain.exc_info = None
        plain.exc_text = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
        self._pipe.send(plain)


def _serve(pipe: "Connection[Any, Any]", level: int) -> None:
    """Do what the other process asks for until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process, which ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.showwarning = lambda message, *_, **__: log.debug("%s", message)
    log.handlers[:], log.propagate = [_Sender(pipe)], False
    log.setLevel(level)
    opener = Opener()
    while True:
        method, args = pipe.recv()
        try:
            found = getattr(opener, method)(*args)
        except Exception as error:  # raised again by the other process
            log.debug("traceback of the failure below", exc_info=True)
            known = isinstance(error, (UnravelError, MemoryError))  # others may not be picklable
            found = error if known else RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send(found)


def _end_with_parent() -> None:
    """End this process with the other one, also while a model runs: its calls let other threads run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
