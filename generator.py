"""Generate new latents from the statistics of encodings: draw loops, arrange them in a pattern, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before all that takes time

# isort: split
import argparse

from unravel_lib.cli.batch import DONE
from unravel_lib.cli.messages import with_flags
from unravel_lib.cli.parser import Parser, add_input, add_output, add_sample_rate, add_seed, number, path, whole_number
from unravel_lib.cli.run import run
from unravel_lib.errors import UsageError
from unravel_lib.music import tempo

OUTPUT = "./_generator-output"
NUM_LATENTS = 10


def build_parser() -> Parser:
    """All flags, in the order in which a musician meets them."""
    p = Parser(
        "Generate new latents from the statistics of encodings, arranged in a pattern, as latent audio for Pure Data "
        "or as .npy for decoder.py.\nEach run makes a folder of its own in --output: statistics, pictures, results, "
        "and a .json beside each result that tells how it came to be.\nstdout lists the files made, one per line.",
        "python generator.py --input ./_encoder-output --distribution walk --pattern swapper --bpm 120",
    )
    group = p.add_argument_group("what to learn from")
    add_input(group, "the .npy of encoder.py, or folders of them")
    group.add_argument(
        "--statistics", type=path, metavar="FILE.csv", help="statistics.csv of an earlier run, instead of --input"
    )
    group.add_argument("--iqr", action="store_true", help="trust quartiles and ranks, which outliers do not move")
    add_sample_rate(group, "of the model (default: what the encodings' sidecars say, else 44100)")
    group.add_argument(
        "--compression", type=whole_number(1, 1 << 20), metavar="N",
        help="audio samples per frame of the model (default: what the sidecars say, else 2048)",
    )  # fmt: skip
    _add_music(p)
    _add_results(p)
    return p


def _add_music(p: Parser) -> None:
    group = p.add_argument_group("what to make")
    group.add_argument(
        "--distribution", default="normal", metavar="NAME",
        help="how frames are drawn (default normal; --list_distributions shows all)",
    )  # fmt: skip
    group.add_argument(
        "--pattern", default="loop", metavar="NAME",
        help="how loops are arranged (default loop; --list_patterns shows all), or FILE.py:name: a pattern of your "
        "own, whose code is run",
    )  # fmt: skip
    group.add_argument(
        "--pattern_args", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="options of the pattern, such as levels=3",
    )  # fmt: skip
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--num_latents", type=whole_number(1, tempo.MAX_LATENTS), metavar="K",
        help=f"frames in a loop (default {NUM_LATENTS})",
    )  # fmt: skip
    length.add_argument(
        "--bpm", type=number(0.1, 1e6), metavar="BPM", help="instead: the length whose tempo comes nearest"
    )
    group.add_argument(
        "--num_loops", type=whole_number(1, 1_000_000), default=4, metavar="R",
        help="how often the pattern repeats things (default 4)",
    )  # fmt: skip
    group.add_argument(
        "--num_files", type=whole_number(1, 10_000), default=1, metavar="N", help="how many files (default 1)"
    )
    add_seed(group)
    p.general.add_argument("--list_distributions", action="store_true", help="show all distributions and leave")
    p.general.add_argument(
        "--list_patterns", action="store_true",
        help="show all patterns with options, with --pattern FILE.py those in there too, and leave",
    )  # fmt: skip
    p.general.add_argument("--tempo_table", action="store_true", help="show the tempi that loops can have and leave")


def _add_results(p: Parser) -> None:
    group = p.add_argument_group("results")
    group.add_argument(
        "--embeddings", action="store_true", help="write .npy for decoder.py instead of latent audio (.wav)"
    )
    group.add_argument(
        "--wav_subtype", choices=("DOUBLE", "FLOAT"), metavar="DOUBLE|FLOAT",
        help="latent audio in 64 or 32 bits (default DOUBLE; Pure Data before 0.55 reads FLOAT only)",
    )  # fmt: skip
    group.add_argument(
        "--hold", action="store_true",
        help="latent audio at the model's sample rate, each frame held for --compression samples",
    )  # fmt: skip
    group.add_argument("--no_plots", action="store_true", help="draw no pictures, which saves a second")
    add_output(group, OUTPUT)
    group.add_argument("--run", metavar="NAME", help="name of the run's folder in --output (default: date and time)")
    group.add_argument("--overwrite", action="store_true", help="let --run write into a folder that exists")


def main(argv: list[str]) -> int:
    """Run the script with these arguments; returns its exit code."""
    args = build_parser().parse(argv)
    if args.embeddings and (args.hold or args.wav_subtype):
        raise UsageError("--embeddings writes .npy: leave out --hold and --wav_subtype, which shape latent audio")
    if args.input and args.statistics:
        raise UsageError("--input and --statistics exclude each other: give one of them")
    if args.overwrite and args.run is None:
        raise UsageError("--overwrite is about the folder that --run names: give --run NAME")
    if args.list_distributions or args.list_patterns or args.tempo_table:
        _show_lists(args)
        return DONE
    if not args.input and not args.statistics:
        raise UsageError("--input is missing: give a .npy of encoder.py, a folder of them, or --statistics FILE.csv")
    from unravel_lib.cli import generate

    args.num_latents = args.num_latents or NUM_LATENTS
    return generate.generate(args)


def _show_lists(args: argparse.Namespace) -> None:
    if args.list_distributions:
        from unravel_lib.music import distributions

        _show("distributions", distributions.listing())
    if args.list_patterns:
        from unravel_lib.music import patterns

        _show("patterns", patterns.listing(args.pattern))
    if args.tempo_table:
        from unravel_lib.cli import generate

        print(tempo.table(*generate.rates_of(args)))


def _show(title: str, entries: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in entries)
    print(f"{title}:", *(f"  {name:<{width}}  {with_flags(text)}" for name, text in entries), sep="\n")


if __name__ == "__main__":
    run(main)
