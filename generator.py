"""Generate new latents from the statistics of encodings: draw loops, arrange them in a pattern, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.cli.generator_flags import NUM_LATENTS, build_parser
from unravel_lib.cli.run import run
from unravel_lib.errors import UsageError
from unravel_lib.files.folders import (
    check_run_folder,
    identities,
    make_output_folder,
    make_run_folder,
    refuse_overwriting,
)
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.music import tempo

if TYPE_CHECKING:
    from unravel_lib.cli.sources import Rates
    from unravel_lib.latents.formats import Format
    from unravel_lib.music.composition import Composition

# Slow imports are inside functions: by then `run` handles Ctrl-C.

log = logging.getLogger("unravel_lib")


def main(argv: list[str]) -> int:
    """Run the script with these arguments; returns its exit code."""
    args = build_parser().parse(argv)
    if args.embeddings and (args.hold or args.wav_subtype):
        raise UsageError("--embeddings writes .npy: leave out --hold and --wav_subtype, which shape latent audio")
    if args.input and args.statistics:
        raise UsageError("--input and --statistics exclude each other: give one of them")
    if args.fidelity and args.statistics:
        raise UsageError("--fidelity compares with encodings: give --input, not --statistics")
    if args.measure_only and args.statistics:
        raise UsageError("--measure_only measures encodings: give --input, not --statistics")
    if args.overwrite and args.run is None:
        raise UsageError("--overwrite is about the folder that --run names: give --run NAME")
    if args.list_distributions or args.list_patterns or args.tempo_table:
        show_lists(args)
        return DONE
    if not args.input and not args.statistics:
        raise UsageError("--input is missing: give a .npy of encoder.py, a folder of them, or --statistics FILE.csv")
    return measure_only(args) if args.measure_only else generate(args)


def show_lists(args: argparse.Namespace) -> None:
    """Print the lists that the flags ask for."""
    from unravel_lib.cli import lists, sources

    if args.list_distributions:
        lists.show_distributions(args.distribution)
    if args.list_patterns:
        lists.show_patterns(args.pattern)
    if args.tempo_table:
        paths = sources.find_sources(args.input, args.statistics, args.output)
        print(tempo.table(*sources.rates(sources.known_facts(paths, args.sample_rate, args.compression))))


def measure_only(args: argparse.Namespace) -> int:
    """Write the statistics of the encodings and nothing else; returns the exit code."""
    from unravel_lib.cli import results, sources
    from unravel_lib.statistics import measure, tables

    if args.run is not None:
        check_run_folder(args.output, args.run, args.overwrite)
    paths = sources.find_sources(args.input, None, args.output)
    facts = sources.known_facts(paths, args.sample_rate, args.compression)
    statistics = measure.measure(paths, args.iqr)
    log.info("%s", tables.report(statistics))
    make_output_folder(args.output)
    folder = make_run_folder(args.output, args.run, args.overwrite, "statistics")
    batch = Batch(folder)
    results.write_statistics(statistics, folder, replace(facts, source=sources.paths_text(args.input)), batch)
    return batch.finish()


def generate(args: argparse.Namespace) -> int:
    """Measure the sources, report what will be written, write it; returns the exit code."""
    from unravel_lib.cli import report, results, sources

    if args.run is not None:
        check_run_folder(args.output, args.run, args.overwrite)
    paths = sources.find_sources(args.input, args.statistics, args.output)
    facts = sources.known_facts(paths, args.sample_rate, args.compression)
    facts = replace(facts, source=sources.paths_text(args.input or [args.statistics]))
    composition, rates = compose(args, paths, facts)
    file_format = output_format(args, composition.statistics.dims, *rates)

    make_output_folder(args.output)
    free_bytes = shutil.disk_usage(args.output).free
    material, n_frames = results.prepare(composition, file_format, 0, free_bytes)
    report.log_plan(composition, file_format, n_frames, args.num_files, *rates, args.bpm)
    results.refuse_total_size(args.num_files, file_format.n_bytes(n_frames), free_bytes)
    names = [results.result_name(composition, file_format, index) for index in range(args.num_files)]
    if args.run is not None:
        for name in [*names, *results.TABLES]:
            refuse_overwriting(args.output / args.run / name, paths)

    folder = make_run_folder(args.output, args.run, args.overwrite, composition.label)
    before = identities(folder)
    batch = Batch(folder)
    statistics_csv = results.write_statistics(composition.statistics, folder, facts, batch)
    facts = replace(facts, **rates._asdict())
    for index, name in enumerate(names):
        sampler = None
        with batch.attempt(folder / name):
            if index > 0:  # the first is prepared already
                material, n_frames = results.prepare(composition, file_format, index, free_bytes)
            sidecar = results.describe(composition, file_format, index, n_frames, facts, statistics_csv)
            sampler = results.write_result(composition, file_format, material, n_frames, folder / name, sidecar, batch)
        if sampler is not None and not args.no_plots:
            results.draw_result(folder / name, sampler, batch)
    if not args.no_plots:
        results.draw_statistics(composition.statistics, folder, batch)
    if args.fidelity:
        report.log_fidelity([folder / name for name in names if (folder / name).exists()], paths)
    code = batch.finish()
    report.warn_of_older_files(folder, before)
    return code


def compose(args: argparse.Namespace, paths: list[Path], facts: Sidecar) -> tuple["Composition", "Rates"]:
    """Find pattern, distribution, loop length and statistics; also returns the rates."""
    from unravel_lib.cli import report, sources
    from unravel_lib.music.composition import Composition
    from unravel_lib.music.distributions import DISTRIBUTIONS
    from unravel_lib.music.patterns import PATTERNS
    from unravel_lib.statistics import measure, tables

    pattern = PATTERNS.find(args.pattern)
    pattern_options = pattern.read_options(args.pattern_args)
    distribution = DISTRIBUTIONS.find(args.distribution)
    distribution_options = distribution.read_options(args.distribution_args)
    rates = sources.rates(facts)
    num_latents = tempo.frames_for_bpm(args.bpm, *rates) if args.bpm else args.num_latents or NUM_LATENTS
    if num_latents > tempo.MAX_LATENTS:
        raise UsageError(
            f"--bpm {args.bpm:g} needs a loop of {num_latents:,} frames, at most {tempo.MAX_LATENTS:,}: take more BPM"
        )
    statistics = tables.read_csv(args.statistics, args.iqr) if args.statistics else measure.measure(paths, args.iqr)
    log.info("%s", tables.report(statistics))
    report.warn_of_frozen_dims(distribution, statistics)
    composition = Composition(
        statistics, distribution, distribution_options, pattern, pattern_options, num_latents, args.num_loops, args.seed
    )
    return composition, rates


def output_format(args: argparse.Namespace, dims: int, sample_rate: float, compression: int) -> "Format":
    """Choose what the results are written as."""
    from unravel_lib.latents.formats import HeldLatentAudio, LatentAudio, LatentsFile

    if args.embeddings:
        return LatentsFile(dims)
    kind = HeldLatentAudio if args.hold else LatentAudio
    return kind(dims, sample_rate, compression, args.wav_subtype or "DOUBLE")


if __name__ == "__main__":
    run(main)
