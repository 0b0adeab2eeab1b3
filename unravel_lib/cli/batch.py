"""Working through many inputs: what can be done is done, what cannot is named. No sound, no models."""

import contextlib
import csv
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli import signals
from unravel_lib.cli.flag_names import with_flags
from unravel_lib.cli.progress import Progress, beside_bar
from unravel_lib.errors import OutputError, UnravelError
from unravel_lib.files.atomic import atomic_write, folder_lock, refuse_overwriting
from unravel_lib.files.find import Source
from unravel_lib.files.sidecar import Finished, Sidecar
from unravel_lib.text import cell_text, count_text, printable, unexpected_error

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
FAILURES = "failures.csv"
FAILURES_HEADER = ["input", "reason"]
NO_ROOM_FOR_A_LIBRARY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")  # glibc's words

if TYPE_CHECKING:
    from unravel_lib.models.model import Model

IsDone = Callable[[Sidecar], bool]

log = logging.getLogger("unravel_lib")


class Batch:
    """Work through many inputs: a bad one is reported and skipped, the rest is done, the end tells which failed."""

    def __init__(self, output: Path | None) -> None:
        self.output = output  # None: a run that writes no files, so no failures.csv either
        self.done = 0
        self.skipped = 0  # of those done: what `--skip_existing` left alone
        self.failures: list[tuple[Path, str]] = []
        self.lost_pictures = 0
        self._seen: set[str] = set()
        self._stdout_fails = False

    def wrote(self, path: Path) -> None:
        """Tell stdout about a finished file: its path, one line, nothing else.

        Raises
        ------
        OutputError
            stdout leads to a full disk or the like; said once.
        BrokenPipeError
            Whoever read it has gone.
        """
        if self._stdout_fails:
            return
        try:
            with beside_bar(sys.stdout):
                sys.stdout.flush()
                sys.stdout.buffer.write(os.fsencode(path) + b"\n")
                sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._stdout_fails = True
            silence_stdout()
            raise OutputError(
                f"{printable(path)} is written, but its name cannot be printed to stdout: {error.strerror}"
            ) from error

    def failed(self, path: Path, text: str) -> None:
        """Report an input that cannot be used, and remember it for the summary."""
        text = with_flags(text)
        log.error("%s", text)
        self._seen.add(_key(path))
        self.failures.append((path, text))

    def looked_at(self, path: Path) -> None:
        """Remember a place that was looked at: an earlier failure on it is mended, unless it fails again."""
        self._seen.add(_key(path))

    @contextlib.contextmanager
    def check(self, path: Path) -> Iterator[None]:
        """Look at one input; what goes wrong is recorded against it and does not leave the block."""
        signals.check()
        self._seen.add(_key(path))
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:  # also bugs, which are no reason to leave a thousand other files undone
            signals.check()  # a library may have made something else of Ctrl-C
            log.debug("traceback of the failure below", exc_info=True)
            self.failed(path, _why(path, error))
        signals.check()

    @contextlib.contextmanager
    def attempt(self, path: Path) -> Iterator[None]:
        """Run the work on one input; like `check`, but success counts as done."""
        before = len(self.failures)
        with self.check(path):
            yield
        self.done += len(self.failures) == before

    @contextlib.contextmanager
    def picture(self, path: Path) -> Iterator[None]:
        """Draw a picture of a result: if that fails, the results are complete all the same, and no input failed."""
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:  # whatever it is, it costs the picture only
            signals.check()
            log.debug("traceback of the failure below", exc_info=True)
            log.error("%s", _why(path, error))
            self.lost_pictures += 1
        signals.check()

    def finish(self) -> int:
        """Print the summary, bring `failures.csv` up to date, return the exit code."""
        if self.output is not None:
            try:
                self._update(self.output / FAILURES)
            except (OutputError, OSError) as error:
                log.error("%s cannot be brought up to date: %s", FAILURES, error)
        count = self.done + len(self.failures)
        if self.skipped:
            files = f"{count_text(count, 'file')} {'was' if count == 1 else 'were'} finished before: nothing to do"
            if self.skipped < count:
                files = f"{self.skipped} of {count} files were finished before: left alone"
            log.info("%s", files)
        if self.lost_pictures:
            log.error("%s could not be drawn; the results are complete", count_text(self.lost_pictures, "picture"))
        if self.failures and count > 1:
            log.error("%d of %d inputs failed:", len(self.failures), count)
            for _, text in self.failures:
                log.error("  %s", text)
        if self.failures and not self.done:
            return NOTHING_DONE
        return SOME_FAILED if self.failures or self.lost_pictures else DONE

    def _update(self, target: Path) -> None:
        """Failures of this run in, inputs that are mended or gone out; failures of runs on other inputs stay."""
        assert self.output is not None
        if not self.failures and not target.exists():
            return
        with folder_lock(self.output):
            before = _read(target)
            if before is None:
                log.error(
                    "%s is not a list of failures: it stays as it is, the failures are told here only",
                    printable(target),
                )
                return
            kept = [row for row in before if not self._settled(row[0])]
            rows = kept + [[_key(path), cell_text(text)] for path, text in self.failures]
            if not rows:
                target.unlink(missing_ok=True)
            elif rows != before:
                with atomic_write(target) as part, open(part, "w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerows([FAILURES_HEADER, *rows])

    def _settled(self, key: str) -> bool:
        """True for what this run looked at, and for what is gone from a folder that it looked at."""
        if key in self._seen:
            return True
        printable = "\\" not in key  # with escapes it is not the name
        return printable and str(Path(key).parent) in self._seen and not os.path.lexists(key)


def work_through(
    batch: Batch,
    targets: Mapping[Source, Path],
    seconds: Callable[[Source], float],
    work: Callable[[Path, Path, IsDone | None, Callable[[float], None]], bool],
    skip_existing: bool,
) -> None:
    """Make every target of its source, with progress; results that an earlier run finished are left alone if wanted.

    Parameters
    ----------
    seconds : the length of a source in seconds of sound
    work : function of source, target, `is_done` and `watch`, as `unravel_lib.models.codec.encode_file`
    """
    folders = {target.parent for target in targets.values()}
    names = [source.relative for source in targets]
    finished = {folder: Finished(folder, names) for folder in folders} if skip_existing else {}
    with Progress(list(targets), seconds, "s of sound") as bar:
        for source in bar:
            target = targets[source]
            with batch.attempt(source.path):
                refuse_overwriting(target, [source.path])
                is_done = partial(finished[target.parent].holds, target, source.relative) if skip_existing else None
                if work(source.path, target, is_done, bar.update):
                    batch.wrote(target)
                else:
                    batch.skipped += 1


def load_model(path: Path | None, device: str, trust: bool, sample_rate: float | None) -> "Model":
    """The model that the flags name; says so where it is the bundled one."""
    from unravel_lib.models import model

    loaded = model.load(path, device, trust, sample_rate)
    if path is None:
        log.info("no `model` given: using the bundled pocket model (%d dims)", loaded.dims)
    return loaded


def reason(error: Exception) -> str:
    """Why a run ended, as one line."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, UnravelError):
        name = f"{printable(error.filename)}: " if isinstance(error.filename, str) else ""
        return f"{name}{error.strerror}"
    return _known(error) or f"this should not happen: {unexpected_error(error)}"


def _why(path: Path, error: Exception) -> str:
    """Why one of many inputs failed, as one line."""
    if isinstance(error, MemoryError):
        return f"{printable(path)} needs more memory than there is: {str(error) or 'close other programs'}"
    return _known(error) or f"{printable(path)} failed unexpectedly: {unexpected_error(error)}"


def _known(error: Exception) -> str | None:
    """What can be said of an error that is not a bug of ours."""
    if isinstance(error, UnravelError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {str(error) or 'close other programs or take fewer files'}"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("unravel_lib"):
        return (
            f"{printable(error.name)} is not installed in this Python ({printable(sys.executable)}): activate the "
            "environment with `. .venv/bin/activate`, or install it with `pip install -r requirements.txt`"
        )
    if isinstance(error, ImportError) and any(sign in str(error) for sign in NO_ROOM_FOR_A_LIBRARY):
        return f"out of memory: {printable(str(error))}: close other programs, or raise the limit (ulimit -v)"
    return None


def silence_stdout() -> None:
    """Send what is still to be printed nowhere, so that Python's farewell does not fail on it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _key(path: Path) -> str:
    return cell_text(printable(os.path.abspath(path)))


def _read(target: Path) -> list[list[str]] | None:
    """The rows of an earlier `failures.csv`, none where there is no file, None where it is a file of someone else."""
    try:
        with open(target, newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return []
    except (OSError, csv.Error):
        return None
    ours = rows[:1] == [FAILURES_HEADER] and all(len(row) == 2 for row in rows)
    return rows[1:] if ours else None
