"""The argument parser of the four scripts, and the flags that several of them share."""

import argparse
import contextlib
import os
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from unravel_lib import __version__
from unravel_lib.audio import LOWEST_TARGET, SAMPLE_BYTES
from unravel_lib.cli.batch import NOTHING_DONE
from unravel_lib.files.find import WHOLE, Shard
from unravel_lib.files.sidecar import (
    DEFAULT_FADE_MS,
    DEFAULT_MAX_GAIN,
    DEFAULT_PRECISION,
    DEFAULT_SEED,
    DEFAULT_SUBTYPE,
)
from unravel_lib.history import SHAPING, option, script
from unravel_lib.text import did_you_mean, printable

if TYPE_CHECKING:
    from unravel_lib.models.codec import CodecOptions

MAX_SEED = 2**63 - 1
MAX_SHARDS = 100_000
MAX_JOBS = 1024

N = TypeVar("N", int, float)


class _Help(argparse.HelpFormatter):
    """Help within the width of the terminal: paragraphs are wrapped, lines that begin with a blank stay."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if line.startswith(" ") else fill(line, width, indent) for line in text.splitlines())

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return f"{action.metavar} ..." if action.nargs == "+" else super()._format_args(action, default_metavar)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and suggest the closest known name."""

    def __init__(self, description: str, example: str, needs_input: bool = False) -> None:
        super().__init__(
            usage="%(prog)s [flags]",
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=_Help,
            allow_abbrev=False,
            add_help=False,
        )
        self.needs_input = needs_input  # not argparse's `required`: the flag may be there, but misspelt
        self.general = self.add_argument_group("general")
        self.general.add_argument("-h", "--help", action="help", help="show this text and exit")
        self.general.add_argument("--version", action="version", version=f"UnRAVEl {__version__}")
        self.general.add_argument("--debug", action="store_true", help="show a Python traceback when something fails")

    def format_help(self) -> str:
        """Return the help text, with the general flags at its end."""
        self._action_groups.sort(key=lambda group: group is self.general)
        return super().format_help()

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse, or exit with one line; for an unknown flag it suggests the closest known one."""
        if any(word == "#" or word.startswith(" #") for word in argv):
            self.error("a comment is among the flags: leave it out, and let nothing follow a \\ in its line")
        args, unknown = self.parse_known_args(argv)
        if unknown:
            self._refuse(unknown[0], argv)
        if self.needs_input and args.input is None:
            self.error(f"--input is missing: {self._option_string_actions['--input'].help}")
        return args

    def _refuse(self, word: str, argv: Sequence[str]) -> NoReturn:
        """Exit with what is wrong with an unknown flag, or a word that belongs to no flag."""
        name = word.partition("=")[0].lstrip("-")
        known = self._option_string_actions
        if not word.startswith("-") or not name:
            before = [flag for flag in argv[: argv.index(word)] if flag in known]
            remedy = "write --input in front of inputs"
            if before:
                takes = "no value" if known[before[-1]].nargs == 0 else "one value"
                remedy = f"{before[-1]} takes {takes} (quotes go around blanks, commas between names)"
            self.error(f"{printable(word)} belongs to no flag: {remedy}")
        begins = [flag for flag in known if flag.startswith(f"--{name}")]
        close = did_you_mean(name, [flag.removeprefix("--") for flag in known]).replace("mean ", "mean --")
        hint = f"; did you mean {begins[0]}?" if begins else close
        owners = [f"{script}.py" for script, shaping in SHAPING.items() if name in shaping and f"--{name}" not in known]
        hint = f"; it is a flag of {' and '.join(owners)}" if owners else hint
        self.error(f"unknown argument {printable(word)}{hint}")

    def command(self, args: object, names: Container[str]) -> list[str]:
        """Return the options of these names, where they are not the default, as flags for a shell in any folder."""
        words: list[str] = []
        for action in self._actions:
            value = getattr(args, action.dest, None)
            if action.dest not in names or (value == action.default and action.dest != "output"):
                continue
            flag, values = action.option_strings[0], value if isinstance(value, list) else [value]
            texts = [] if value is True else list(map(_word, values))
            if any(option(text) is not None for text in texts):  # a value that looks like a flag
                words += [f"{flag}={text}" for text in texts]
            else:
                words += [flag, *texts]
        return words

    def codec_options(self, name: str, args: argparse.Namespace) -> "CodecOptions":
        """Return what the flags of encoder.py or decoder.py say about all results.

        Their command has the flags that shape results, and where these are; not which input.
        """
        from unravel_lib.models.codec import CodecOptions

        values = vars(args)
        command = self.command(args, {*SHAPING[name], "output"} - {"input", "jobs"})
        command += ["--jobs", "1"] if args.jobs is not None else []  # any number of such processes makes the same
        return CodecOptions(
            **{one.name: values[one.name] for one in fields(CodecOptions) if one.name in values},
            fade_ms=values.get("fade"),
            conditions=dict(values.get("condition", ())),
            script=script(name),
            command=tuple(command),
        )

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return the values of the flags that stand in `argv`, without defaults."""
        empty = argparse.Namespace(**{action.dest: None for action in self._actions})
        return {name: value for name, value in vars(self.parse_args(argv, empty)).items() if value is not None}

    def error(self, message: str) -> NoReturn:
        """Exit with the message as one line."""
        if message.startswith("argument "):  # one of argparse
            flag, _, message = message.removeprefix("argument ").partition(": ")
            if message in ("expected one argument", "expected at least one argument"):
                message = f"needs a value (one that begins with a dash is written {flag}=-value)"
            message = f"{flag} {message}"
        message = printable(" ".join(message.split()))
        self.exit(NOTHING_DONE, f"{self.prog}: error: {message} (--help shows all flags)\n")


def _word(value: object) -> str:
    """Return a value as a word of a command."""
    if isinstance(value, Path):
        return os.path.abspath(value)
    if isinstance(value, tuple):  # of `named_number`
        return f"{value[0]}={_word(value[1])}"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def path(text: str) -> Path:
    """Read a path (an argparse type); "~" is the home folder, also in `--input=~/x`, which shells do not expand."""
    if not text:  # it would be the current folder
        raise argparse.ArgumentTypeError("is empty: is a variable of the shell unset?")
    return Path(os.path.expanduser(text))  # noqa: PTH111  which leaves ./~ and unknown users as they are


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Make an argparse type: an integer from `low` to `high`, both included."""
    return _in_range(int, low, high, f"a whole number from {low} to {high}")


def number(low: float, high: float) -> Callable[[str], float]:
    """Make an argparse type: a finite number from `low` to `high`, both included."""
    return _in_range(float, low, high, f"a number from {low:g} to {high:g}")


def _in_range(read: Callable[[str], N], low: N, high: N, expected: str) -> Callable[[str], N]:
    def parse(text: str) -> N:
        with contextlib.suppress(ValueError):
            value = read(text)
            if low <= value <= high:  # so it is not NaN
                return value
        raise argparse.ArgumentTypeError(f"{text:.40} is not {expected}")

    return parse


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Make an argparse type: one of these names."""

    def parse(text: str) -> str:
        if text not in names:
            hint = did_you_mean(text, names)
            raise argparse.ArgumentTypeError(f"{text} is unknown: choose from {', '.join(names)}{hint}")
        return text

    return parse


def named_number(text: str) -> tuple[str, float]:
    """Read `name=value` with a finite number (an argparse type)."""
    name, _, given = text.rpartition("=")
    if not name.strip():
        raise argparse.ArgumentTypeError(f"{text:.40} is not of the form name=value")
    return name.strip(), number(-1e9, 1e9)(given)


def shard(text: str) -> Shard:
    """Read I/N (an argparse type), such as 1/8: part 1 of 8."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count <= MAX_SHARDS:
        raise argparse.ArgumentTypeError(
            f"{text:.40} is not of the form I/N with I from 1 to N and N up to {MAX_SHARDS}, such as 1/8"
        )
    return Shard(index, count)


def add_switch(group: argparse._ActionsContainer, flag: str, text: str) -> None:
    """Add a flag without a value."""
    group.add_argument(flag, action="store_true", help=text)


def add_value(
    to: argparse._ActionsContainer, flag: str, read: Callable[[str], Any], metavar: str, text: str, default: Any = None
) -> None:
    """Add a flag with one value, which `read` converts."""
    to.add_argument(flag, type=read, default=default, metavar=metavar, help=text)


def add_choice(to: argparse._ActionsContainer, flag: str, names: Sequence[str], text: str, default: str | None) -> None:
    """Add a flag with one of these names."""
    add_value(to, flag, one_of(names), f"{{{','.join(names)}}}", text, default)


def add_values(
    group: argparse._ActionsContainer, flag: str, metavar: str, text: str, read: Callable[[str], Any] = str
) -> None:
    """Add a flag with one or more values, which `read` converts; it may be repeated."""
    group.add_argument(flag, type=read, nargs="+", action="extend", default=[], metavar=metavar, help=text)


def add_input(group: argparse._ArgumentGroup, text: str) -> None:
    """Add `--input`, the same in every script: one or more paths, and the flag may be repeated."""
    group.add_argument("--input", type=path, nargs="+", action="extend", metavar="PATH", help=text)


def add_output(group: argparse._ArgumentGroup, default: str) -> None:
    """Add `--output`, the same in every script; without a value it means the default."""
    text, folder = f"where results go (default {default})", Path(default)
    group.add_argument("--output", type=path, nargs="?", const=folder, default=folder, metavar="FOLDER", help=text)


def add_seed(group: argparse._ArgumentGroup) -> None:
    """Add `--seed`, the same in every script."""
    text = f"same seed, same bytes (default {DEFAULT_SEED})"
    add_value(group, "--seed", whole_number(0, MAX_SEED), "N", text, DEFAULT_SEED)


def add_model(parser: Parser) -> argparse._ArgumentGroup:
    """Add and return the group of the model, the same in encoder and decoder: which, where and how it runs."""
    group = parser.add_argument_group("model")
    add_value(group, "--model", path, "MODEL.ts", "a RAVE export (TorchScript); left out: the bundled pocket model")
    text = "where the model runs; auto takes CUDA, then MPS, then the CPU (default auto)"
    add_choice(group, "--device", ("auto", "cpu", "cuda", "mps"), text, "auto")
    text = "bf16: faster where the hardware has it, rounds results, and changes codes of discrete models (default fp32)"
    add_choice(group, "--precision", ("fp32", "bf16"), text, DEFAULT_PRECISION)
    add_switch(group, "--trust_model", "run a model although its code could touch files on this machine")
    add_switch(group, "--compensate_delay", "remove the delay of a streaming export that states it")
    add_sample_rate(group, "the model's rate, for models that do not state it")
    add_seed(group)
    return group


def add_batch(group: argparse._ArgumentGroup) -> None:
    """Add `--base --skip_existing --shard --jobs --overwrite`, the same in encoder and decoder."""
    text = "name results by the paths of inputs below this folder (default: below --input)"
    add_value(group, "--base", path, "FOLDER", text)
    text = "skip files that an earlier run finished with the same model, seed and flags"
    add_switch(group, "--skip_existing", text)
    text = "take only part I of N of the inputs, for N runs on any machines (default 1/1)"
    add_value(group, "--shard", shard, "I/N", text, WHOLE)
    text = "use N processes of one thread each, which makes the same bytes for any N; 0: one for each core"
    add_value(group, "--jobs", whole_number(0, MAX_JOBS), "N", text)
    add_switch(group, "--overwrite", "replace results of another model, precision or input too")


def add_sample_rate(group: argparse._ArgumentGroup, text: str) -> None:
    """Add `--sample_rate` in Hz, the same in every script."""
    add_value(group, "--sample_rate", number(100, 1e6), "HZ", text)


def decoder_parser() -> Parser:
    """Make the parser of decoder.py, whose flags generator.py takes from the command of a sound."""
    parser = Parser(
        "Decode latents to sound: one .wav for each .npy or latent audio file.",
        "python decoder.py --input latents/ --model voice.ts --output sound/",
        needs_input=True,
    )
    source = parser.add_argument_group("latents")
    add_input(source, "latents: .npy, latent audio .wav, or folders of them, searched recursively")
    model = add_model(parser)
    text = "values of what a conditioned model decodes beside latents, such as pitch=3; 0 for the others"
    add_values(model, "--condition", "NAME=VALUE", text, named_number)
    result = parser.add_argument_group("result")
    add_output(result, "./_decoder-output")
    text = f"how samples are stored; FLOAT keeps peaks beyond full scale (default {DEFAULT_SUBTYPE})"
    add_choice(result, "--subtype", tuple(SAMPLE_BYTES), text, DEFAULT_SUBTYPE)
    text = "bring every sound to this loudness, such as -16; quieter where it would clip"
    add_value(result, "--normalize", number(LOWEST_TARGET, 0), "LUFS", text)
    text = f"--normalize raises no sound by more (default {DEFAULT_MAX_GAIN:g} dB)"
    add_value(result, "--max_gain", number(0, 120), "DB", text, DEFAULT_MAX_GAIN)
    text = "decode loops that can be repeated without a hole or a click: the end leads into the start, no fades"
    add_switch(result, "--loop", text)
    text = f"fade in and out, in milliseconds (default: {DEFAULT_FADE_MS:g} for what generator.py made, else 0)"
    add_value(result, "--fade", number(0, 10_000), "MS", text)
    add_switch(result, "--page", "write index.html beside the sounds: to listen, compare and choose")
    add_batch(result)
    return parser
