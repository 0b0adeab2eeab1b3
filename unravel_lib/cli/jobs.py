"""Processes that share the inputs of a run: `--jobs`.

Each loads the model and runs it in one thread, so that any number of them makes the same bytes. The process that starts
them reads the folders, prints, and lists failures. They end with it, however it ends.
"""

import contextlib
import functools
import logging
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli.batch import Task
from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.process import EndedError, Process

if TYPE_CHECKING:
    from unravel_lib.cli.batch import Submit, Work

Outcome = tuple[Path, Sidecar, bool]

log = logging.getLogger("unravel_lib")


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
    shared = _Shared(method, model)
    try:
        with contextlib.ExitStack() as processes:
            for _ in range(count):
                shared.add(processes.enter_context(Process()))
            yield shared.submit
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError, OutputError):  # the reader may have been stopped too
            for outcome in shared.outcomes.values():
                if isinstance(outcome, tuple) and outcome[2]:
                    wrote(outcome[0])
        raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Shared:
    """Tasks, known by their targets, and the processes that share them.

    Attributes
    ----------
    outcomes : of tasks that are done, until they are asked for; at None what loading the model led to
    """

    def __init__(self, method: str, model: tuple[object, ...]) -> None:
        self.outcomes: dict[Path | None, Outcome | Exception] = {}
        self._how = method, model
        self._waiting: deque[Task] = deque()
        self._records: defaultdict[Path | None, list[logging.LogRecord]] = defaultdict(list)
        self._working: dict[Process, Task | None] = {}  # None while it loads the model
        self._idle: list[Process] = []

    def add(self, process: Process) -> None:
        """Let a process take part; it loads the model."""
        process.ask(_load, *self._how)
        self._working[process] = None

    def submit(self, task: Task) -> Callable[[object], Outcome]:
        """Put a task at the end; return a function that waits for its outcome, logs its messages, raises its error."""
        self._waiting.append(task)
        return lambda watch: self._outcome(task.target)

    def _outcome(self, target: Path) -> Outcome:
        while target not in self.outcomes:
            self._go_on()
        outcome = self.outcomes.pop(target)
        for record in self._records.pop(target, ()):
            log.handle(record)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _go_on(self) -> None:
        """Give tasks to idle processes; wait until one of the others sends something."""
        while self._idle and self._waiting:
            process, task = self._idle.pop(), self._waiting.popleft()
            process.ask(_do, task, *self._how)
            self._working[process] = task
        ready = wait([process.answers for process in self._working])
        for process in [process for process in self._working if process.answers in ready]:
            self._receive(process, self._working[process])

    def _receive(self, process: Process, task: Task | None) -> None:
        path, target = (task.source.path, task.target) if task else (None, None)
        try:
            found = process.receive()
        except EndedError:
            text, remedy = "was not finished: a process has ended, perhaps for lack of memory", "run fewer at once"
            found = InputError(text, path=path, remedy=remedy, remedy_options=("jobs",))
        if isinstance(found, logging.LogRecord):
            self._records[target].append(found)
        else:
            self.outcomes[target] = found
            del self._working[process]
            self._idle.append(process)


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


def _load(method: str, model: tuple[Any, ...]) -> None:
    _work(method, model)


def _do(task: Task, method: str, model: tuple[Any, ...]) -> Outcome:
    return task.do(_work(method, model))
