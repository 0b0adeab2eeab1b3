"""Processes that share the inputs of a run: `--jobs`.

Each loads the model and runs it in one thread, so that any number of them makes the same bytes. The process that starts
them reads the folders, prints, and lists failures. They end with it, however it ends: each waits for the end of a pipe
whose other side only that process holds.
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli.batch import Task
from unravel_lib.errors import InputError
from unravel_lib.files import output
from unravel_lib.files.sidecar import Sidecar

if TYPE_CHECKING:
    from unravel_lib.cli.batch import Submit, Work

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

Outcome = tuple[Path, Sidecar, bool]

log = logging.getLogger("unravel_lib")
_records: list[logging.LogRecord] = []  # in such a process: what was logged for the current input


@contextlib.contextmanager
def jobs(count: int | None, n_inputs: int, method: str, *model: object) -> "Iterator[Submit | None]":
    """Start processes that encode or decode.

    Parameters
    ----------
    count : how many; 0: one for each core; None: none
    n_inputs : more processes are not started
    method : encode_file or decode_file
    model : what `unravel_lib.models.model.load` takes

    Yields
    ------
    a function that takes a task, and returns one that waits for its outcome; None where one process is enough
    """
    count = min(_cores() if count == 0 else count or 1, n_inputs)
    if count < 2:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, context, _begin, (theirs,))
    try:
        with _signals_blocked():  # in the new processes for good: they end with this one
            for _ in range(count):
                pool.submit(_work, method, model)
        yield lambda task: functools.partial(_outcome, task, pool.submit(_do, task, method, model))
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outcome(task: Task, future: "Future[tuple[Any, list[logging.LogRecord]]]", _: object) -> Outcome:
    """Wait for an outcome; log what was logged for it, raise what failed."""
    try:
        outcome, records = future.result()
    except BrokenProcessPool:
        found, remedy = "was not finished: a process has ended, perhaps for lack of memory", "run fewer at once"
        raise InputError(found, path=task.source.path, remedy=remedy, remedy_options=("jobs",)) from None
    for record in records:
        log.handle(record)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome  # type: ignore[no-any-return]


# ---------------------------------------------------------------- in these processes


class _Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _records.append(record)


def _begin(pipe: Connection) -> None:
    from unravel_lib.cli.run import tune

    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    tune()
    log.handlers[:], log.propagate = [_Keep()], False
    log.setLevel(logging.INFO)


def _end_with_parent(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv_bytes()
    output.remove_unfinished()
    os._exit(1)


@functools.cache
def _work(method: str, model: tuple[Any, ...]) -> "Work":
    """Load the model; once."""
    import torch

    from unravel_lib.models import codec
    from unravel_lib.models.model import load

    torch.set_num_threads(1)
    loaded, work = load(*model), getattr(codec, method)
    return lambda source, *rest: work(loaded, source.path, *rest)


def _do(task: Task, method: str, model: tuple[Any, ...]) -> tuple[Outcome | Exception, list[logging.LogRecord]]:
    outcome: Outcome | Exception
    try:
        work = _work(method, model)
        _records.clear()  # the first process has logged what is said of the model
        outcome = task.do(work)
    except Exception as error:  # noqa: BLE001  raised in the first process
        error.add_note("".join(traceback.format_exception(error)))
        outcome = error
    return outcome, list(_records)
