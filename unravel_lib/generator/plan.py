"""What a run of generator.py will make: its flags and sources read as a composition, before anything is drawn."""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unravel_lib.errors import InputError, UsageError
from unravel_lib.generator import report
from unravel_lib.generator.flags import DISTRIBUTION, GeneratorOptions
from unravel_lib.generator.sources import InputLoop, Rates, Sources, read_ranks, read_sources, weights
from unravel_lib.latents.latent_audio import LatentAudio, Subtype
from unravel_lib.latents.npy import Npy
from unravel_lib.music import tempo
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition
from unravel_lib.music.steering import read_wishes
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
    file_format : Npy or LatentAudio
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
    file_format: Npy | LatentAudio
    sources: Sources
    rates: Rates
    beats: int
    loop_frames: int | None


def make_plan(options: GeneratorOptions) -> Plan:
    """Read the flags, measure the sources, try the steps; nothing is drawn or written.

    Raises
    ------
    UsageError
        A name or an argument is wrong, or flags do not fit each other.
    InputError
        A source cannot be read, or sources do not fit each other.
    """
    pattern = PATTERNS.find(options.pattern)
    pattern_options = pattern.read_options(options.pattern_args)
    distribution = DISTRIBUTIONS.find(options.distribution)
    distribution_options = distribution.read_options(options.distribution_args)
    steps = tuple(parse_step(text) for text in options.transform)
    wishes = read_wishes(options.steer, read_ranks)
    sources = read_sources(options)
    loops = sources.loops
    taken = pattern.loops_taken(pattern_options)
    if len(loops) > taken:
        found = f"names {len(loops)} loops, pattern {pattern.name} takes {taken}"
        raise UsageError(found, option="input_loop", remedy="give fewer")
    rates = sources.rates()
    num_latents = len(loops[0].frames) if loops else _loop_length(options, rates, sources.target)
    statistics = read_statistics(options, sources)
    _refuse_other_dims(sources, statistics.dims)
    composition = Composition(
        statistics,
        distribution,
        distribution_options,
        pattern,
        pattern_options,
        num_latents,
        options.num_loops,
        options.seed,
        steps,
        tuple(loop.frames for loop in loops),
        in_time=bool(options.bpm or options.seconds or options.beats > 1),
        wishes=wishes,
        target=None if sources.target is None else sources.target.frames,
    )
    if composition.draws:
        report.warn_of_frozen_dims(distribution, statistics)
    elif options.distribution != DISTRIBUTION or options.distribution_args:
        found, chosen = "gives every loop, so that nothing is drawn", ("distribution", "distribution_args")
        raise UsageError(found, option="input_loop", remedy="leave these out", remedy_options=chosen)
    elif options.num_files > 1 and not composition.is_random:
        log.warning("nothing is drawn: the %d files will be equal", options.num_files)
    file_format = _file_format(options, statistics.dims, rates)
    return Plan(composition, file_format, sources, rates, options.beats, composition.loop_frames())


def _refuse_other_dims(sources: Sources, dims: int) -> None:
    """Raise InputError where loops have other dims than the statistics."""
    for loop in [*sources.loops, *([sources.target] if sources.target else [])]:
        if loop.frames.shape[1] != dims:
            found, value = f"has {loop.frames.shape[1]} dims, the encodings have {dims}", loop.file.path
            raise InputError(found, option="input_loop", value=value, remedy="take latents of the same model")


def _loop_length(options: GeneratorOptions, rates: Rates, target: InputLoop | None) -> int:
    if options.bpm:
        length, name = tempo.frames_for_bpm(options.bpm, *rates, options.beats), "bpm"
    elif options.seconds:
        length, name = tempo.frames_for_seconds(options.seconds, *rates), "seconds"
    else:
        usual = tempo.default_frames(rates.compression) if target is None else len(target.frames)
        return options.num_latents or usual
    if length > tempo.MAX_LATENTS:
        found = f"needs a loop of {length:,} frames, at most {tempo.MAX_LATENTS:,}"
        raise UsageError(found, option=name, value=f"{getattr(options, name):g}", remedy="make it shorter")
    return length


def read_statistics(options: GeneratorOptions, sources: Sources) -> "Statistics":
    """Read or measure the statistics, and log them as a table."""
    if sources.statistics is not None:
        statistics = tables.read_csv(sources.statistics, options.iqr)
    else:
        statistics = measure.measure_files(sources.encodings, options.iqr)
        if options.weight:
            counts = weights([one.name for one in statistics.encodings], options.weight)
            weighted = (replace(one, weight=n) for one, n in zip(statistics.encodings, counts, strict=True))
            statistics = replace(statistics, encodings=tuple(weighted))
    if not options.quiet:
        log.info("%s", tables.report(statistics))
    return statistics


def _file_format(options: GeneratorOptions, dims: int, rates: Rates) -> Npy | LatentAudio:
    if options.embeddings:
        return Npy(dims)
    usual: Subtype = "FLOAT" if options.hold else "DOUBLE"  # for programs that may not read 64 bits
    return LatentAudio(dims, *rates, options.wav_subtype or usual, options.hold)
