"""Processes that share the inputs of a run: `--jobs`.

Each loads the model and runs it in one thread, so that any number of them makes the same bytes. The process that starts
them reads the folders, prints, and lists failures. They end with it, however it ends.
"""

import argparse
import contextlib
import functools
import logging
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unravel_lib.cli.batch import Task, model_flags
from unravel_lib.errors import InputError, OutputError
from unravel_lib.process import EndedError, Process

if TYPE_CHECKING:
    from unravel_lib.cli.batch import Submit, Work
    from unravel_lib.models.codec import Outcome

log = logging.getLogger("unravel_lib")


@contextlib.contextmanager
def jobs(
    args: argparse.Namespace, wrote: Callable[[Path], None], n_inputs: int, method: str
) -> "Iterator[Submit | None]":
    """Start processes that encode or decode.

    Where one is killed, its input has failed, and another takes its place.

    Parameters
    ----------
    args : flags; `--jobs` says how many, 0: one for each core, None: none
    wrote : when the run is stopped, called with each path that is written, but waits for others before it
    n_inputs : more processes are not started
    method : encode_file or decode_file

    Yields
    ------
    a function that takes a task, and returns one that waits for its outcome; None where one process is enough
    """
    count = min(_cores() if args.jobs == 0 else args.jobs or 1, n_inputs)
    if count < 2:
        yield None
        return
    with contextlib.ExitStack() as closing:
        processes = [Process() for _ in range(count)]
        for process in processes:
            closing.callback(process.close)
        shared = _Shared(processes, method, model_flags(args))
        try:
            yield shared.submit
        except KeyboardInterrupt:
            closing.close()
            with contextlib.suppress(BrokenPipeError, OutputError):  # the reader may have been stopped too
                for path in shared.made():
                    wrote(path)
            raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Shared:
    """Tasks, known by their targets, that processes share; at first each of them loads the model, without a task."""

    def __init__(self, processes: Sequence[Process], *how: object) -> None:
        self._how = how  # the arguments of `_do` behind the task
        self._idle, self._working = list(processes), dict[Process, Task | None]()
        self._tasks: deque[Task | None] = deque([None] * len(processes))  # that are not begun
        self._received: defaultdict[Path | None, list[Any]] = defaultdict(list)  # log records, then the outcome
        self._begin()

    def submit(self, task: Task) -> "Callable[[object], Outcome]":
        """Put a task at the end; return a function that waits for its outcome, logs its messages, raises its error."""
        self._tasks.append(task)
        self._begin()
        return lambda watch: self._outcome(task.target)

    def made(self) -> Iterator[Path]:
        """Yield what is written, but not asked for yet."""
        for received in self._received.values():
            match received:
                case [*_, (Path() as path, _, True)]:
                    yield path

    def _outcome(self, target: Path) -> "Outcome":
        received = self._received[target]
        while not received or isinstance(received[-1], logging.LogRecord):
            ready = wait([process.pipe for process in self._working])
            for process in [process for process in self._working if process.pipe in ready]:
                self._receive(process, self._working[process])
        *records, outcome = self._received.pop(target)
        for record in records:
            log.handle(record)
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Outcome", outcome)

    def _begin(self) -> None:
        while self._idle and self._tasks:
            process = self._idle.pop()
            task = self._working[process] = self._tasks.popleft()
            process.ask(_do, task, *self._how)

    def _receive(self, process: Process, task: Task | None) -> None:
        path, target = (task.source.path, task.target) if task else (None, None)
        try:
            found = process.receive()
        except EndedError:
            text, remedy = "was not finished: a process has ended, perhaps for lack of memory", "run fewer at once"
            found = InputError(text, path=path, remedy=remedy, remedy_options=("jobs",))
        self._received[target].append(found)
        if not isinstance(found, logging.LogRecord):
            del self._working[process]
            self._idle.append(process)
            self._begin()


# ---------------------------------------------------------------- in these processes


@functools.cache
def _work(method: str, model: tuple[Any, ...]) -> "Work":
    """Load the model; once."""
    from unravel_lib.cli.run import tune

    tune()
    import torch

    from unravel_lib.models import codec
    from unravel_lib.models.model import load

    torch.set_num_threads(1)
    loaded, work = load(*model), getattr(codec, method)
    return lambda source, *rest: work(loaded, source.path, *rest)


def _do(task: Task | None, method: str, model: tuple[Any, ...]) -> "Outcome | None":
    work = _work(method, model)
    return work(*task) if task else None
