#!/usr/bin/env python3
"""Generate new latents from the statistics of encodings: draw loops, arrange and transform them, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.cli.generator_flags import build_parser, refuse_conflicts
from unravel_lib.cli.run import run
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.folders import (
    check_run_folder,
    identities,
    make_output_folder,
    make_run_folder,
    refuse_overwriting,
)
from unravel_lib.files.sidecar import GeneratedSidecar

if TYPE_CHECKING:
    from unravel_lib.latents.overview import Overview

# Slow imports are inside functions: by then `run` handles Ctrl-C.

log = logging.getLogger("unravel_lib")


def main(argv: list[str]) -> int:
    """Run the script with these arguments; returns its exit code."""
    parser = build_parser()
    args, made_before = parser.parse(argv), None
    if args.list_distributions or args.list_patterns or args.list_transforms or args.tempo_table:
        show_lists(args)
        return DONE
    from unravel_lib.cli import again

    command = again.as_command(parser, args)
    if args.again is not None:
        args, command, made_before = again.recall(parser, argv, args.again)
    refuse_conflicts(args)
    return measure_only(args) if args.measure_only else generate(args, command, made_before)


def show_lists(args: argparse.Namespace) -> None:
    """Print the lists that the flags ask for."""
    from unravel_lib.cli import lists, sources
    from unravel_lib.music import tempo

    if args.list_distributions:
        lists.show_distributions(args.distribution)
    if args.list_patterns:
        lists.show_patterns(args.pattern)
    if args.list_transforms:
        lists.show_transforms(args.transform)
    if args.tempo_table:
        found = sources.read_sources(args.input, args.statistics, args.output, [], args.sample_rate, args.compression)
        print(tempo.table(*found.rates(), args.beats))


def measure_only(args: argparse.Namespace) -> int:
    """Write the statistics of the encodings and nothing else; returns the exit code."""
    from unravel_lib.cli import plan, results

    if args.run is not None:
        check_run_folder(args.output, args.run, args.overwrite)
    sources = plan.find_sources(args)
    statistics = plan.read_statistics(args, sources)
    make_output_folder(args.output)
    folder = make_run_folder(args.output, args.run, args.overwrite, "statistics")
    batch = Batch(folder)
    results.write_statistics(statistics, folder, sources.facts, batch)
    return batch.finish()


def generate(args: argparse.Namespace, command: list[str], made_before: GeneratedSidecar | None) -> int:
    """Plan, report what will be written, write it; returns the exit code.

    `command` are the flags that make it again; `made_before` is the sidecar of the piece that is made again.
    """
    from unravel_lib.cli import again, report, results
    from unravel_lib.cli.plan import make_plan
    from unravel_lib.statistics.tables import TABLES

    if args.run is not None:
        check_run_folder(args.output, args.run, args.overwrite)
    plan = make_plan(args)
    composition, file_format = plan.composition, plan.file_format
    numbers = range(args.first, args.first + args.num_files)

    make_output_folder(args.output)
    free_bytes = shutil.disk_usage(args.output).free
    piece = results.prepare(composition, file_format, args.first, free_bytes)
    n_frames = len(piece.frames)
    wanted = f"{args.bpm:g} BPM" if args.bpm else f"{args.seconds:g} s" if args.seconds else ""
    report.log_plan(plan, n_frames, args.num_files, wanted)
    results.refuse_total_size(args.num_files, file_format.n_bytes(n_frames), free_bytes, args.large)
    names = {number: results.result_name(composition, file_format, number) for number in numbers}
    if args.run is not None:
        for name in [*names.values(), *TABLES]:
            refuse_overwriting(args.output / args.run / name, plan.sources.paths)

    folder = make_run_folder(args.output, args.run, args.overwrite, composition.label)
    before = identities(folder)
    batch = Batch(folder)
    statistics_csv = results.write_statistics(composition.statistics, folder, plan.sources.facts, batch)
    statistics_sha256 = sha256_of(statistics_csv)
    place = ["--output", os.path.abspath(args.output), *([f"--run={args.run}"] if args.run else [])]
    overviews: dict[str, Overview] = {}  # for the pictures
    written: list[Path] = []
    for number, name in names.items():
        with batch.attempt(folder / name):
            if number > args.first:  # the first is prepared already
                piece = results.prepare(composition, file_format, number, free_bytes)
            own_command = [*command, *(["--first", str(number)] if number else []), *place]
            sidecar = results.describe(plan, number, len(piece.frames), statistics_sha256, own_command)
            if made_before is not None and number == args.first:
                again.warn_of_changes(made_before, sidecar)
            overview = results.write_result(file_format, piece, folder / name, sidecar, batch)
            written.append(folder / name)
            if len(overviews) < results.MAX_DRAWN:
                overviews[name] = overview
    if not args.no_plots:
        results.draw_pictures(plan, overviews, folder, batch)
    if args.fidelity and written:
        report.log_fidelity(written, plan.sources.encodings)
    if batch.done:
        report.log_player(file_format)
    code = batch.finish()
    report.warn_of_older_files(folder, before)
    return code


def start() -> None:
    """Run the script; `unravel-generator` is this function."""
    run(main)


if __name__ == "__main__":
    start()
