"""The flags of generator.py, and what they say as options."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self

from unravel_lib.cli.parser import Parser, add_input, add_output, add_sample_rate, add_seed, number, path, whole_number
from unravel_lib.errors import UsageError
from unravel_lib.music import tempo

OUTPUT = "./_generator-output"
DISTRIBUTION = "normal"
LAST_FILE = 999_999


@dataclass(frozen=True)
class GeneratorOptions:
    """What the flags of these names say; `build_parser` explains them. Lengths are None where nothing is said."""

    input: list[Path] | None
    statistics: Path | None
    measure_only: bool
    iqr: bool
    sample_rate: float | None
    compression: int | None
    distribution: str
    distribution_args: list[str]
    pattern: str
    pattern_args: list[str]
    transform: list[str]
    input_loop: list[str]
    num_latents: int | None
    bpm: float | None
    seconds: float | None
    beats: int
    num_loops: int
    num_files: int
    first: int
    seed: int
    embeddings: bool
    wav_subtype: Literal["DOUBLE", "FLOAT"] | None
    hold: bool
    fidelity: bool
    quiet: bool
    no_plots: bool
    output: Path
    run: str | None
    large: bool
    overwrite: bool

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Take what was parsed."""
        return cls(**{one.name: getattr(args, one.name) for one in fields(cls)})

    def refuse_conflicts(self) -> None:
        """Raise UsageError where options exclude each other, or one that is needed is missing."""
        shapes_audio, has_length = self.hold or self.wav_subtype, self.num_latents or self.bpm or self.seconds
        these = "give these, not a table of statistics or a loop"
        _refuse(self.embeddings and shapes_audio, "embeddings", "writes .npy", "leave these out", "hold", "wav_subtype")
        _refuse(
            self.input and self.statistics,
            "input",
            "and a table of statistics exclude each other",
            "leave one out",
            "statistics",
        )
        _refuse(self.fidelity and self.statistics, "fidelity", "compares with encodings", these, "input")
        measures = self.measure_only and (self.statistics or self.input_loop)
        _refuse(measures, "measure_only", "measures encodings", these, "input")
        _refuse(self.overwrite and self.run is None, "overwrite", "is about the folder of a run", "name it", "run")
        lengths = ("num_latents", "bpm", "seconds")
        found, remedy = "has a length of its own", "give FILE:A:B, and leave these out"
        _refuse(self.input_loop and has_length, "input_loop", found, remedy, *lengths)
        found = f"gives the last file a number above {LAST_FILE:,}"
        _refuse(self.first + self.num_files - 1 > LAST_FILE, "first", found, "take a lower one")
        sources, remedy = ("statistics", "input_loop"), "give a .npy of encoder.py or a folder of them, or else"
        _refuse(not (self.input or self.statistics or self.input_loop), "input", "is missing", remedy, *sources)


def _refuse(is_so: object, option: str, found: str, remedy: str, *remedy_options: str) -> None:
    if is_so:
        raise UsageError(found, option=option, remedy=remedy, remedy_options=remedy_options)


def build_parser() -> Parser:
    """Make the parser with all flags, in the order of `--help`."""
    p = Parser(
        "Generate new latents from the statistics of encodings, arranged in a pattern, as latent audio for Pure Data "
        "or as .npy for decoder.py.\nEach run makes a folder of its own in --output: statistics, pictures, results, "
        "and a .json beside each result that records how it was made.\nstdout lists the files made, one per line.",
        "python generator.py --input ./_encoder-output --distribution walk --pattern swapper --bpm 120",
    )
    group = p.add_argument_group("input")
    add_input(group, "the .npy of encoder.py, or folders of them")
    group.add_argument(
        "--statistics", type=path, metavar="FILE.csv", help="statistics.csv of an earlier run, instead of --input"
    )
    group.add_argument(
        "--measure_only", action="store_true", help="write the statistics of --input and nothing else, for --statistics"
    )
    group.add_argument("--iqr", action="store_true", help="use quartiles and ranks, which are robust to outliers")
    add_sample_rate(group, "of the model (default: as in the sidecars of the encodings, else 44100)")
    group.add_argument(
        "--compression",
        type=whole_number(1, 1 << 20),
        metavar="N",
        help="audio samples per frame of the model (default: as in the sidecars, else 2048)",
    )
    _add_music(p)
    _add_results(p)
    return p


def _add_music(p: Parser) -> None:
    group = p.add_argument_group("composition")
    _add_choice(p, group, "distribution", DISTRIBUTION, "how frames are drawn")
    _add_choice(p, group, "pattern", "loop", "how loops are arranged")
    _add_steps(p, group)
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--num_latents",
        type=whole_number(1, tempo.MAX_LATENTS),
        metavar="K",
        help=f"frames in a loop (default {tempo.DEFAULT_LATENTS}; more where the compression is below "
        f"{tempo.DEFAULT_COMPRESSION}: about half a second)",
    )
    length.add_argument(
        "--bpm", type=number(0.1, 1e6), metavar="BPM", help="instead: the length whose tempo is nearest"
    )
    length.add_argument(
        "--seconds", type=number(0.001, 1e6), metavar="S", help="instead: the length that is nearest to so many seconds"
    )
    group.add_argument(
        "--beats", type=whole_number(1, 1024), default=1, metavar="B", help="beats in a loop, for its tempo (default 1)"
    )
    group.add_argument(
        "--num_loops",
        type=whole_number(1, 1_000_000),
        default=4,
        metavar="R",
        help="how often the pattern repeats things (default 4)",
    )
    group.add_argument(
        "--num_files", type=whole_number(1, 10_000), default=1, metavar="N", help="how many files (default 1)"
    )
    group.add_argument(
        "--first",
        type=whole_number(0, LAST_FILE),
        default=0,
        metavar="N",
        help="number of the first file (default 0): --first 13 makes number 13 of any run again",
    )
    add_seed(group)
    group.add_argument(
        "--again",
        type=path,
        metavar="PIECE.json",
        help="make a piece again, from the .json beside it; further flags replace those that it was made with",
    )
    group.add_argument(
        "--trust_code",
        action="store_true",
        help="with --again: run the Python code that the .json names, once you saw it",
    )
    p.general.add_argument("--tempo_table", action="store_true", help="show the tempi that loops can have and exit")


def _add_choice(p: Parser, group: argparse._ArgumentGroup, kind: str, default: str, what: str) -> None:
    """Add the flags of something that is chosen by name: --pattern, --pattern_args, --list_patterns."""
    group.add_argument(
        f"--{kind}",
        default=default,
        metavar="NAME",
        help=f"{what} (default {default}; --list_{kind}s shows all), or FILE.py:name: a {kind} of your own, whose code "
        "is run",
    )
    group.add_argument(
        f"--{kind}_args",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help=f"options of the {kind}, which --list_{kind}s shows",
    )
    p.general.add_argument(
        f"--list_{kind}s",
        action="store_true",
        help=f"show all {kind}s with options, with --{kind} FILE.py those of that file too, and exit",
    )


def _add_steps(p: Parser, group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--transform",
        nargs="+",
        action="extend",
        default=[],
        metavar="STEP",
        help='what changes each loop as it passes, such as "every 4 rev" "degrade 0.1", in this order '
        "(--list_transforms shows all)",
    )
    p.general.add_argument(
        "--list_transforms",
        action="store_true",
        help="show all transforms, with --transform FILE.py:name those of that file too, and exit",
    )
    group.add_argument(
        "--input_loop",
        nargs="+",
        default=[],
        metavar="FILE[:A:B]",
        help="frames A to B - 1 of latents, or seconds such as 1.5s:2s, as loop A, not drawn; a second one as B",
    )


def _add_results(p: Parser) -> None:
    group = p.add_argument_group("results")
    group.add_argument(
        "--embeddings", action="store_true", help="write .npy for decoder.py instead of latent audio (.wav)"
    )
    group.add_argument(
        "--wav_subtype",
        choices=("DOUBLE", "FLOAT"),
        metavar="DOUBLE|FLOAT",
        help="latent audio in 64 or 32 bits (default DOUBLE; FLOAT with --hold); Pure Data before 0.55 needs FLOAT",
    )
    group.add_argument(
        "--hold",
        action="store_true",
        help="latent audio at the model's sample rate, each frame held for --compression samples",
    )
    group.add_argument(
        "--fidelity", action="store_true", help="say how true the results are to the encodings, which takes seconds"
    )
    group.add_argument("--quiet", action="store_true", help="leave out the table of statistics")
    group.add_argument("--no_plots", action="store_true", help="draw no pictures, which saves a second")
    add_output(group, OUTPUT)
    group.add_argument("--run", metavar="NAME", help="name of the run's folder in --output (default: date and time)")
    group.add_argument("--large", action="store_true", help="write results of more than 1 GiB together")
    group.add_argument("--overwrite", action="store_true", help="let --run write into a folder that exists")
