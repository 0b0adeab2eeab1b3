"""generator.py --again: the flags that made a piece, from its sidecar, with further flags in place of some."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from unravel_lib.cli.parser import Parser
from unravel_lib.errors import InputError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, read_sidecar, sidecar_path
from unravel_lib.statistics.tables import STATISTICS_CSV
from unravel_lib.text import printable

LENGTHS = ("num_latents", "bpm", "seconds", "input_loop")
FORGOTTEN = {  # a flag that is given: those of the piece that it takes the place of
    **dict.fromkeys(LENGTHS, LENGTHS),
    "input": ("statistics",),
    "statistics": ("input",),
    "pattern": ("pattern_args",),
    "distribution": ("distribution_args",),
    "embeddings": ("hold", "wav_subtype"),
    "hold": ("embeddings",),
    "wav_subtype": ("embeddings",),
}
CONTENT = {  # hash in a sidecar: the option that must be the same for it to be so too
    "statistics_sha256": None,
    "pattern_sha256": "pattern",
    "distribution_sha256": "distribution",
    "transform_sha256": "transform",
}
CONTENT_TEXT = {
    "statistics_sha256": "the statistics are other ones than the piece was made from",
    "pattern_sha256": "the code of the pattern has changed since the piece was made",
    "distribution_sha256": "the code of the distribution has changed since the piece was made",
    "transform_sha256": "the code of a transform has changed since the piece was made",
}
NOT_KEPT = (
    "again",
    "output",
    "run",
    "overwrite",
    "large",
    "debug",
    "no_plots",
    "quiet",
    "measure_only",
    "fidelity",
    "num_files",
    "first",
)

log = logging.getLogger("unravel_lib")


def as_command(parser: Parser, args: argparse.Namespace) -> list[str]:
    """Return the flags that shape the content: ["--seed", "7"]; neither which of many files nor where they go."""
    command: list[str] = []
    for action in parser.flags():
        value = getattr(args, action.dest)
        if value == action.default or action.dest in NOT_KEPT:
            continue
        values = value if isinstance(value, list) else [] if value is True else [value]
        command += [action.option_strings[0], *map(_word, values)]
    return command


def _word(value: object) -> str:
    """Return a value as a word of the shell that no script takes for a flag."""
    text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return f"./{text}" if text.startswith("-") and not isinstance(value, float) else text


def recall(parser: Parser, argv: Sequence[str], piece: Path) -> tuple[argparse.Namespace, list[str], GeneratedSidecar]:
    """Return the flags that made a piece, with those of `argv` in place of some; the same as a command; its sidecar.

    The statistics beside the piece take the place of encodings that are not needed; the command keeps the encodings.

    Parameters
    ----------
    parser : Parser
        Of generator.py.
    argv : sequence of str
        The flags that are given now.
    piece : Path
        A result of generator.py, or its sidecar.

    Raises
    ------
    InputError
        There is no sidecar, or it does not say how the piece was made; or a file that it was made from has changed.
    """
    if not piece.is_file():
        found = "is a folder" if piece.is_dir() else "does not exist"
        raise InputError(f"{printable(piece)} {found}: give `again` the .json of a result of generator.py")
    facts = read_sidecar(piece)
    where = printable(sidecar_path(piece))
    if not isinstance(facts, GeneratedSidecar):
        raise InputError(f"{where} is no sidecar of a result of generator.py: give `again` such a .json")
    if not facts.command:
        raise InputError(f"{where} does not say with which flags it was made: give the flags yourself")
    args = parser.parse(facts.command)
    given = parser.given(argv)
    for flag in given:
        for name in FORGOTTEN.get(flag, ()):
            if name != flag and getattr(args, name) != parser.get_default(name):
                log.info("`%s` takes the place of the `%s` of the piece", flag, name)
            setattr(args, name, parser.get_default(name))
    for name, value in given.items():
        setattr(args, name, value)
    if "distribution" not in given and not _draws(args):
        args.distribution, args.distribution_args = (
            parser.get_default(n) for n in ("distribution", "distribution_args")
        )
    again = as_command(parser, args)
    if not given.keys() & {"input", "statistics"}:
        _find_statistics(args, piece, facts)
    if "input_loop" not in given:
        _check_loops(args, facts)
    return args, again, facts


def _draws(args: argparse.Namespace) -> bool:
    """Whether a loop is drawn, as not all that the pattern takes are given."""
    from unravel_lib.music.patterns import PATTERNS

    return len(args.input_loop) < 1 + ("loop_b" in PATTERNS.find(args.pattern).inputs)


def _find_statistics(args: argparse.Namespace, piece: Path, facts: GeneratedSidecar) -> None:
    """Take the statistics.csv beside the piece where it is that of the piece and no encodings are needed."""
    from unravel_lib.music.distributions import DISTRIBUTIONS

    if DISTRIBUTIONS.find(args.distribution).needs_frames:
        missing = [path for path in args.input or [] if not path.exists()]
        if missing:
            raise InputError(
                f"`distribution` {args.distribution} takes frames of the encodings, and {printable(missing[0])} is not "
                "there: give `input`"
            )
        return
    needs_encodings = args.fidelity or (args.iqr and not facts.iqr)
    if needs_encodings and args.input and all(path.exists() for path in args.input):
        return
    beside = piece.with_name(STATISTICS_CSV)
    if beside.exists() and sha256_of(beside) == facts.statistics_sha256:
        args.input, args.statistics = None, beside
    elif not all(path.exists() for path in args.input or [args.statistics or beside]):
        raise InputError(
            f"{printable(beside)} is not the statistics that {printable(piece)} was made from: give `statistics`, or "
            "`input` the encodings"
        )


def _check_loops(args: argparse.Namespace, facts: GeneratedSidecar) -> None:
    from unravel_lib.cli.input_loops import read_input_loops

    loops = read_input_loops(args.input_loop, {}, args.sample_rate, args.compression)
    for loop, before in zip(loops, facts.input_loop, strict=False):
        if loop.facts.sha256 != before.sha256:
            raise InputError(
                "is not the file that the loop was taken from", path=loop.file.path, remedy_options=("input_loop",)
            )


def warn_of_changes(before: GeneratedSidecar, now: GeneratedSidecar) -> None:
    """Warn where the piece will be another one without being asked for: other statistics, other code of the user's."""
    for name, chosen in CONTENT.items():
        was, is_now = getattr(before, name), getattr(now, name)
        same_choice = chosen is None or getattr(before, chosen) == getattr(now, chosen)
        if same_choice and was != is_now:
            log.warning("%s: the new one may be another", CONTENT_TEXT[name])
