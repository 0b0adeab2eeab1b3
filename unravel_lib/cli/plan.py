"""What a run of generator.py will make: its flags and sources read as a composition, before anything is drawn."""

import argparse
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unravel_lib.cli import input_loops, report
from unravel_lib.cli.generator_flags import DISTRIBUTION
from unravel_lib.cli.sources import Rates, Sources, read_sources
from unravel_lib.errors import UsageError
from unravel_lib.latents.formats import Format, HeldLatentAudio, LatentAudio, LatentsFile
from unravel_lib.music import tempo
from unravel_lib.music.composition import Composition
from unravel_lib.music.distributions import DISTRIBUTIONS
from unravel_lib.music.patterns import PATTERNS
from unravel_lib.music.steps import parse_step
from unravel_lib.statistics import measure, tables

if TYPE_CHECKING:
    from unravel_lib.statistics.measure import Statistics

log = logging.getLogger("unravel_lib")


@dataclass(frozen=True)
class Plan:
    """What will be made.

    Attributes
    ----------
    composition : Composition
    file_format : Format
        What the results are written as.
    sources : Sources
        What it is made from.
    rates : Rates
        Of the model.
    beats : int
        Of a loop.
    loop_frames : int or None
        The length of every loop that is played; None where lengths differ.
    """

    composition: Composition
    file_format: Format
    sources: Sources
    rates: Rates
    beats: int
    loop_frames: int | None


def make_plan(args: argparse.Namespace) -> Plan:
    """Read the flags, measure the sources, try the steps; nothing is drawn or written.

    Raises
    ------
    UsageError
        A name or an argument is wrong, or flags do not fit each other.
    InputError
        A source cannot be read, or sources do not fit each other.
    """
    pattern = PATTERNS.find(args.pattern)
    pattern_options = pattern.read_options(args.pattern_args)
    distribution = DISTRIBUTIONS.find(args.distribution)
    distribution_options = distribution.read_options(args.distribution_args)
    steps = tuple(parse_step(text) for text in args.transform)
    sources = find_sources(args)
    loops = sources.loops
    if len(loops) > 1 and "loop_b" not in pattern.inputs:
        raise UsageError(f"pattern {pattern.name} has no loop B: give one `input_loop`")
    rates = sources.rates()
    num_latents = len(loops[0].frames) if loops else _loop_length(args, rates)
    statistics = read_statistics(args, sources)
    input_loops.refuse_other_dims(loops, statistics.dims)
    composition = Composition(
        statistics,
        distribution,
        distribution_options,
        pattern,
        pattern_options,
        num_latents,
        args.num_loops,
        args.seed,
        steps,
        tuple(loop.frames for loop in loops),
    )
    if composition.draws:
        report.warn_of_frozen_dims(distribution, statistics)
    elif args.distribution != DISTRIBUTION or args.distribution_args:
        raise UsageError("nothing is drawn, as `input_loop` gives every loop: leave out `distribution`")
    elif args.num_files > 1 and not composition.is_random:
        log.warning("nothing is drawn: the %d files will be equal", args.num_files)
    file_format = _file_format(args, statistics.dims, rates)
    return Plan(composition, file_format, sources, rates, args.beats, composition.loop_frames())


def find_sources(args: argparse.Namespace) -> Sources:
    """Read the files that the flags name."""
    return read_sources(args.input, args.statistics, args.output, args.input_loop, args.sample_rate, args.compression)


def _loop_length(args: argparse.Namespace, rates: Rates) -> int:
    if args.bpm:
        length, wanted = tempo.frames_for_bpm(args.bpm, *rates, args.beats), f"`bpm` {args.bpm:g}"
    elif args.seconds:
        length, wanted = tempo.frames_for_seconds(args.seconds, *rates), f"`seconds` {args.seconds:g}"
    else:
        return args.num_latents or tempo.default_frames(rates.compression)
    if length > tempo.MAX_LATENTS:
        raise UsageError(f"{wanted} needs a loop of {length:,} frames, at most {tempo.MAX_LATENTS:,}: make it shorter")
    return length


def read_statistics(args: argparse.Namespace, sources: Sources) -> "Statistics":
    """Read or measure the statistics, and log them as a table."""
    if sources.statistics is not None:
        statistics = tables.read_csv(sources.statistics, args.iqr)
    else:
        statistics = measure.measure_files(sources.encodings, args.iqr)
    if not args.quiet:
        log.info("%s", tables.report(statistics))
    return statistics


def _file_format(args: argparse.Namespace, dims: int, rates: Rates) -> Format:
    if args.embeddings:
        return LatentsFile(dims)
    if args.hold:  # for programs that may not read 64 bits
        return HeldLatentAudio(dims, *rates, args.wav_subtype or "FLOAT")
    return LatentAudio(dims, *rates, args.wav_subtype or "DOUBLE")
