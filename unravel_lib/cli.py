"""What the four scripts share on the command line: flags, errors, exit codes, progress. No sound, no models."""

import argparse
import contextlib
import difflib
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from unravel_lib import __version__, process, signals
from unravel_lib.batch import DONE as DONE
from unravel_lib.batch import FAILURES as FAILURES
from unravel_lib.batch import NOTHING_DONE as NOTHING_DONE
from unravel_lib.batch import SOME_FAILED as SOME_FAILED
from unravel_lib.batch import Batch as Batch
from unravel_lib.batch import reason, silence_stdout
from unravel_lib.files import shown
from unravel_lib.progress import Progress as Progress
from unravel_lib.progress import beside_bar
from unravel_lib.sidecar import Sidecar

INTERRUPTED, TERMINATED = 130, 143
MAX_SEED = 2**63 - 1
RESUME = "the same command with --skip_existing goes on"  # after a stop, where the script has that flag

log = logging.getLogger("unravel_lib")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and name the nearest thing that exists."""

    def __init__(self, description: str, example: str) -> None:
        super().__init__(
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.general = self.add_argument_group("general")
        self.general.add_argument("-h", "--help", action="help", help="show this text and leave")
        self.general.add_argument("--version", action="version", version=f"UnRAVEl {__version__}")
        self.general.add_argument("--debug", action="store_true", help="show a Python traceback when something fails")

    def format_help(self) -> str:
        """The help text, with what every script has at its end."""
        self._action_groups.sort(key=lambda group: group is self.general)
        return super().format_help()

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse or exit with one line; an unknown flag is answered with the nearest known one."""
        known, unknown = self.parse_known_args(argv)
        if unknown:
            flags = [s for action in self._actions for s in action.option_strings]
            self.error(f"unknown argument {shown(unknown[0])}{nearest(unknown[0].split('=')[0], flags)}")
        return known

    def error(self, message: str) -> NoReturn:
        choice = re.match(r"argument (\S+): invalid choice: ['\"](.*)['\"] \(choose from (.*)\)$", message, re.DOTALL)
        if choice:
            flag, given, names = choice.groups()
            known = [name.strip(" '") for name in names.split(",")]
            message = f"{flag} {shown(given)} is unknown: choose from {', '.join(known)}{nearest(given, known)}"
        elif message.endswith(("expected one argument", "expected at least one argument")):
            flag = message.split()[1].rstrip(":")
            message = f"{flag} needs a value (one that begins with a dash is written {flag}=-value)"
        message = re.sub(r"^argument (\S+): is ", r"\1 is ", message)
        message = shown(" ".join(message.split()))
        self.exit(NOTHING_DONE, f"{self.prog}: error: {message} (--help shows all flags)\n")


def nearest(given: str, known: Sequence[str]) -> str:
    """ "; did you mean X?" for the known name that is closest to what was given, or nothing."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def path(text: str) -> Path:
    """An argparse type: a path; "~" is the home folder, also in `--input=~/x`, where the shell leaves it as it is."""
    if not text:  # it would be the current folder
        raise argparse.ArgumentTypeError("is empty: is a variable of the shell unset?")
    return Path(os.path.expanduser(text))  # noqa: PTH111  which leaves ./~ and unknown users as they are


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: an integer from `low` to `high`, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text:.40} is out of range, expected {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """An argparse type: a finite number from `low` to `high`, both included."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text:.40} is not a number") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f"{text:.40} is out of range, expected {low:g} to {high:g}")
        return value

    return parse


def add_input(group: Any, text: str, required: bool = False) -> None:
    """`--input`, alike in every script: one or more paths, and the flag may be repeated."""
    group.add_argument("--input", type=path, nargs="+", action="extend", required=required, metavar="PATH", help=text)


def add_output(group: Any, default: str) -> None:
    """`--output`, alike in every script."""
    group.add_argument(
        "--output", type=path, default=Path(default), metavar="FOLDER", help=f"where results go (default {default})"
    )


def add_seed(group: Any, default: int = 42) -> None:
    """`--seed`, alike in every script."""
    group.add_argument(
        "--seed", type=whole_number(0, MAX_SEED), default=default, metavar="N",
        help=f"same seed, same bytes (default {default})",
    )  # fmt: skip


def add_model(group: Any) -> None:
    """`--model --device --trust_model --compensate_delay`, alike in encoder and decoder."""
    group.add_argument(
        "--model", type=path, metavar="MODEL.ts",
        help="a RAVE export (TorchScript); left out: the bundled pocket model",
    )  # fmt: skip
    group.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto",
        help="where the model runs; auto takes CUDA, then MPS, then the CPU (default auto)",
    )  # fmt: skip
    group.add_argument(
        "--trust_model", action="store_true", help="run a model although its code could touch files on this machine"
    )
    group.add_argument(
        "--compensate_delay", action="store_true", help="remove the delay with which a streaming export answers"
    )


def load_model(args: argparse.Namespace) -> Any:
    """The `unravel_lib.model.Model` that `add_model`'s flags name; says so where it is the bundled one."""
    from unravel_lib import model

    loaded = model.load(args.model, args.device, args.trust_model, args.sample_rate)
    if args.model is None:
        log.info("no --model given: using the bundled pocket model (%d dims)", loaded.dims)
    return loaded


def model_facts(model: Any, args: argparse.Namespace, source: Path, key: str, **options: Any) -> Sidecar:
    """The sidecar of what a model makes of `source`, whose content key is `key`; dims and frames are left open."""
    return Sidecar(
        sample_rate=model.sample_rate,
        compression=model.compression,
        model=model.name,
        model_sha256=model.sha256,
        weights_sha256=model.weights_sha256,
        source=os.path.abspath(source),
        source_sha256=key,
        seed=args.seed,
        options={"compensate_delay": args.compensate_delay, "device": model.device.type, **options},
    )


def add_skip_existing(group: Any) -> None:
    """`--skip_existing`, alike in encoder and decoder."""
    group.add_argument(
        "--skip_existing", action="store_true",
        help="leave files alone that an earlier run finished with the same model, seed and flags",
    )  # fmt: skip


def add_overwrite(group: Any) -> None:
    """`--overwrite`, alike in encoder and decoder."""
    group.add_argument("--overwrite", action="store_true", help="replace results of another model or another input too")


def add_sample_rate(group: Any, text: str) -> None:
    """`--sample_rate` in Hz, alike in every script."""
    group.add_argument("--sample_rate", type=number(100, 1e6), metavar="HZ", help=text)


def watched(blocks: Iterable[Any], sample_rate: float, watch: Callable[[float], Any]) -> Iterator[Any]:
    """Pass blocks [channels, n] on and tell `watch` the seconds that each of them lasts."""
    for block in blocks:
        yield block
        watch(block.shape[1] / sample_rate)


class _Lines(logging.Handler):
    """The library's messages as plain lines on stderr, without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno != logging.INFO:
            text = f"{record.levelname.lower()}: {shown(text.replace(chr(10), ' '))}"
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        with beside_bar(sys.stderr):
            print(text, file=sys.stderr)


def run(main: Callable[[list[str]], int], argv: list[str] | None = None, remedy: str | None = None) -> NoReturn:
    """Run a script's `main(argv) -> exit code`; print what fails as one line and exit as documented.

    0 all done; 1 some inputs failed, the rest is written; 2 nothing could be done; 130 after Ctrl-C; 143 after SIGTERM,
    129 after the terminal was closed. A traceback is shown with `--debug` only. `remedy` is what a stopped run tells
    about going on.
    """
    ours = argv is None  # the whole process
    argv = sys.argv[1:] if argv is None else argv
    debug = "--debug" in argv
    _mend_streams()
    log.handlers[:] = [_Lines()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where its cache cannot be written
    with contextlib.suppress(ValueError):  # not in the main thread
        signals.answer(remedy)
    process.tune()
    try:
        code = main(argv)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        code = stop.code if isinstance(stop, signals.Stopped) else INTERRUPTED
        log.error("%s", signals.told(code))
    except BrokenPipeError:  # whoever read our stdout has gone: nothing to tell
        silence_stdout()
        code = SOME_FAILED
    except Exception as error:  # noqa: BLE001  nobody else would print it as one line
        if debug:
            traceback.print_exc()
        stopped = signals.code()  # a library may have made something else of it
        log.error("%s", reason(error) if stopped is None else signals.told(stopped))
        code = NOTHING_DONE if stopped is None else stopped
    signals.leave()
    if ours:
        process.leave(code)
    sys.exit(code)


def _mend_streams() -> None:
    """No name is too odd to print, and a closed stdout or stderr is no reason to fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  for as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
