"""Many inputs, one by one; those that fail are reported and listed in failures.csv."""

import argparse
import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unravel_lib.cli import failures, signals
from unravel_lib.cli.terminal import Progress, beside_bar, error_line, silence_stdout
from unravel_lib.errors import InputError, OutputError, UnravelError, UsageError
from unravel_lib.files.find import WHOLE, Shard, Source
from unravel_lib.files.output import result_names
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.text import count_text

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
RESULTS = (".npy", ".wav")  # endings of what scripts make

if TYPE_CHECKING:
    from unravel_lib.models.codec import CodecOptions, Outcome, Watch
    from unravel_lib.models.model import Model

    Work = Callable[..., Outcome]  # of the fields of a task, and of a Watch
    Submit = Callable[["Task"], Callable[[Watch], Outcome]]

log = logging.getLogger("unravel_lib")


class Batch:
    """Work through many inputs: one that fails is reported and skipped, the summary at the end lists all failures."""

    def __init__(
        self, output: Path | None, shard: Shard = WHOLE, inputs: Sequence[Path] = (), skip_existing: bool = False
    ) -> None:
        self.output = output  # None: a run that writes no files, so no failures.csv either
        self.shard = shard
        self.inputs = inputs  # what the run was given: `failures.csv` forgets their earlier failures
        self.skip_existing = skip_existing  # keep results that an earlier run finished, under any name
        self.done = 0
        self.skipped = 0  # of those done: results of an earlier run, kept by `--skip_existing`
        self.failures: list[tuple[Path, str]] = []
        self._alike: dict[tuple[object, ...], list[str]] = {}  # texts of failures by what they have in common
        self.lost: list[str] = []  # what could not be made beside the results: pictures, the page

    def targets(self, sources: Sequence[Source], output: Path, suffix: str) -> dict[Source, Path]:
        """Return the result of each input of this run's shard; logs how many they are."""
        names = result_names(sources, suffix)  # of all, so that shards agree
        part = self.shard.of(sources)
        if self.shard.count > 1:
            log.info("shard %s: %d of %s", self.shard, len(part), count_text(len(sources), "file"))
        return {source: output / names[source.path] for source in part}

    def wrote(self, path: Path) -> None:
        """Print the path of a finished file to stdout, one line, nothing else.

        Raises
        ------
        OutputError
            stdout cannot be written to, for example on a full disk; raised once.
        BrokenPipeError
            The reader of stdout has closed it.
        """
        try:
            with beside_bar(sys.stdout):
                sys.stdout.flush()
                sys.stdout.buffer.write(os.fsencode(path) + b"\n")
                sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            silence_stdout()
            found = f"is written, but its name cannot be printed to stdout: {error.strerror}"
            raise OutputError(found, path=path) from error

    def failed(self, path: Path, error: Exception) -> None:
        """Report an input that cannot be used, or whose result cannot be made; remember it for the summary."""
        text = error_line(error, path)
        log.error("%s", text)
        self.failures.append((path, text))
        reason = error.reason if isinstance(error, UnravelError) else (type(error), str(error))
        self._alike.setdefault(reason, []).append(text)

    @contextlib.contextmanager
    def check(self, path: Path, beside: str = "") -> Iterator[None]:
        """Check one input; an exception is recorded as its failure and does not leave the block.

        `beside` is what is made beside the results, as a "picture" of them: they count as complete without it.
        """
        signals.check()
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:  # also bugs: the other files are still processed
            signals.check()  # a library may have replaced Ctrl-C by another exception
            log.debug("traceback of the failure below", exc_info=True)
            if beside:
                log.error("%s", error_line(error, path))
                self.lost.append(beside)
            else:
                self.failed(path, error)
        signals.check()

    @contextlib.contextmanager
    def attempt(self, path: Path) -> Iterator[None]:
        """Run the work on one input; like `check`, but success counts as done."""
        with self.check(path):
            yield
            self.done += 1

    def finish(self) -> int:
        """Print the summary, bring `failures.csv` up to date, return the exit code."""
        if self.output is not None:
            try:
                failures.update(self.output, self.failures, self.inputs, self.shard)
            except (OutputError, OSError) as error:
                log.error("the list of failures is not up to date: %s", error_line(error))
        count = self.done + len(self.failures)
        if self.skipped:
            log.info("%d of %s finished before: left alone", self.skipped, count_text(count, "file"))
        for noun in dict.fromkeys(self.lost):
            log.error("%s could not be made; the results are complete", count_text(self.lost.count(noun), noun))
        if self.failures and count > 1:
            log.error("%d of %d inputs failed:", len(self.failures), count)
            for text, *others in self._alike.values():
                log.error("  %s%s", text, f" (and {len(others)} more for the same reason)" if others else "")
        if self.failures and not self.done and self.shard.count == 1:  # the other shards do the rest
            return NOTHING_DONE
        return SOME_FAILED if self.failures or self.lost else DONE


class Task(NamedTuple):
    """One result to make: what `work` is given.

    Attributes
    ----------
    source, target : the input, and the file to write
    options : what shapes the result
    earlier : files that may hold it already
    """

    source: Source
    target: Path
    options: "CodecOptions"
    earlier: Sequence[Path] = ()


def work_through(
    batch: Batch, targets: Mapping[Source, Path], work: "Work", options: "CodecOptions", submit: "Submit | None" = None
) -> dict[Path, Sidecar]:
    """Make all targets, with progress.

    Parameters
    ----------
    targets : the result of each input of this shard
    work : makes one target, as `unravel_lib.models.codec.encode_file` does
    options : what shapes all results; the command that each records gets the place of its name too
    submit : lets other processes work, see `unravel_lib.cli.jobs`

    Returns
    -------
    what the sidecars say of the targets that are finished, by this run or an earlier one
    """
    done: dict[Path, Sidecar] = {}
    earlier = _results_by_source(batch.output, targets) if batch.skip_existing else {}
    tasks = []
    for source, target in targets.items():
        based = ("--base", str(source.base)) if "/" in source.relative else ()
        recorded = replace(options, command=(*options.command, *based))
        known = [target, *earlier.get(os.path.abspath(source.path), ())] if batch.skip_existing else []
        tasks.append(Task(source, target, recorded, known))
    outcomes = [submit(task) if submit else functools.partial(work, *task) for task in tasks]
    with Progress(outcomes, "files") as bar:
        for source, outcome in zip(targets, bar, strict=True):
            with batch.attempt(source.path):
                path, facts, is_new = outcome(bar.update)
                done[path] = facts
                if is_new:
                    batch.wrote(path)
                else:
                    batch.skipped += 1
    return done


def _results_by_source(folder: Path | None, targets: Mapping[Source, Path]) -> dict[str, list[Path]]:
    """Return what a folder holds beside the targets, by what its sidecars say it was made from."""
    found: dict[str, list[Path]] = {}
    named = {target.with_suffix(".json") for target in targets.values()}
    for path in sorted(set(folder.glob("[!.]*.json")) - named) if folder else ():
        with contextlib.suppress(InputError):  # of another version, or damaged
            facts = read_sidecar(path)
            if facts is not None and facts.source is not None:
                found.setdefault(facts.source, []).extend(path.with_suffix(end) for end in RESULTS)
    return found


def model_flags(args: argparse.Namespace) -> tuple[Any, ...]:
    """Return what the flags say about the model, as `unravel_lib.models.model.load` takes it."""
    return args.model, args.device, args.trust_model, args.sample_rate, args.precision


def load_model(args: argparse.Namespace) -> "Model":
    """Load the model that the flags name, to run in one thread or in many; logs it where that is the bundled one.

    Raises
    ------
    ModelError
        It cannot be used, or its delay cannot be removed.
    UsageError
        It runs on a GPU, where threads are of no use.
    """
    with signals.held_back():
        import torch

        from unravel_lib.models import model

    if args.jobs is not None:
        torch.set_num_threads(1)
    loaded = model.load(*model_flags(args))
    if args.jobs is not None and loaded.device.type != "cpu":
        remedy = "leave it out, or use cpu"
        raise UsageError("is for processors", option="jobs", remedy=remedy, remedy_options=("device",))
    if args.compensate_delay:
        loaded.known_delay()
    if args.model is None:
        log.info("no --model given: using the bundled pocket model (%d dims)", loaded.dims)
    return loaded
