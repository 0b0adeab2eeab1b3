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
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli.batch import Task
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files import output
from unravel_lib.files.sidecar import Sidecar

if TYPE_CHECKING:
    from unravel_lib.cli.batch import Submit, Work

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

Outcome = tuple[Path, Sidecar, bool]
Answer = tuple[Outcome | Exception, list[logging.LogRecord]]  # of another process

log = logging.getLogger("unravel_lib")
_records: list[logging.LogRecord] = []  # in such a process: what was logged for the current input


@contextlib.contextmanager
def jobs(
    wrote: Callable[[Path], None], count: int | None, n_inputs: int, method: str, *model: object
) -> "Iterator[Submit | None]":
    """Start processes that encode or decode.

    Where one is killed, its input has failed, and another takes its place.

    Parameters
    ----------
    wrote : when the run is stopped, called with each path that is written, but waits for others before it
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
    new = functools.partial(ProcessPoolExecutor, 1, context, _begin, (theirs,))  # starts its process at the first call
    idle: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
    waiting: dict[Future[Answer], None] = {}
    threads = ThreadPoolExecutor(count, initializer=_block_signals)

    def work(task: Task) -> Answer:
        process = idle.get()
        try:
            return process.submit(_do, task, method, model).result()
        except BrokenProcessPool:
            process = new()
            found, remedy = "was not finished: a process has ended, perhaps for lack of memory", "run fewer at once"
            raise InputError(found, path=task.source.path, remedy=remedy, remedy_options=("jobs",)) from None
        finally:
            idle.put(process)

    def submit(task: Task) -> Callable[[object], Outcome]:
        future = threads.submit(work, task)
        waiting[future] = None
        return functools.partial(_outcome, future, waiting)

    try:
        try:
            for _ in range(count):
                process = new()
                idle.put(process)
                threads.submit(process.submit, _work, method, model)
            yield submit
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            ours.close()
            threads.shutdown()
            while not idle.empty():
                idle.get().shutdown()
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError, OutputError):  # the reader may have been stopped too
            for path in _made(waiting):
                wrote(path)
        raise


def _made(waiting: "Iterable[Future[Answer]]") -> Iterator[Path]:
    for future in waiting:
        outcome = None if future.cancelled() or future.exception() else future.result()[0]
        if isinstance(outcome, tuple) and outcome[2]:
            yield outcome[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _block_signals() -> None:
    """In a thread, and so in the processes that it starts: they end with this one."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _outcome(future: "Future[Answer]", waiting: "dict[Future[Answer], None]", _: object) -> Outcome:
    """Wait for an outcome; log what was logged for it, raise what failed."""
    wait([future])
    del waiting[future]
    outcome, records = future.result()
    for record in records:
        log.handle(record)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


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


def _do(task: Task, method: str, model: tuple[Any, ...]) -> Answer:
    outcome: Outcome | Exception
    try:
        work = _work(method, model)
        _records.clear()  # the first process has logged what is said of the model
        outcome = task.do(work)
    except Exception as error:  # noqa: BLE001  raised in the first process
        error.add_note("".join(traceback.format_exception(error)))
        outcome = error
    return outcome, list(_records)
