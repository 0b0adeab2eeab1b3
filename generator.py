#!/usr/bin/env python3
"""Generate new latents from the statistics of encodings: draw loops, arrange and transform them, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.cli.run import run
from unravel_lib.files.find import sha256_of
from unravel_lib.files.folders import (
    check_run_folder,
    identities,
    make_output_folder,
    make_run_folder,
    refuse_overwriting,
)
from unravel_lib.files.sidecar import GeneratedSidecar
from unravel_lib.generator.flags import GeneratorOptions, build_parser

if TYPE_CHECKING:
    from unravel_lib.music.patterns import Piece

# Slow imports are inside functions: by then `run` handles Ctrl-C.

log = logging.getLogger("unravel_lib")


def main(argv: list[str]) -> int:
    """Run the script with these arguments; returns its exit code."""
    parser = build_parser()
    values, made_before = vars(parser.parse(argv)), None
    options = GeneratorOptions.of(values)
    from unravel_lib.generator import again, report

    lists = [name for name in report.LISTS if values[name]]
    if lists:
        report.show_lists(lists, options)
        return DONE
    command = again.as_command(parser, options)
    if values["again"] is not None:
        options, command, made_before = again.recall(parser, argv, values["again"])
    options.refuse_conflicts()
    return measure_only(options) if options.measure_only else generate(options, command, made_before)


def measure_only(options: GeneratorOptions) -> int:
    """Write the statistics of the encodings and nothing else; returns the exit code."""
    from unravel_lib.generator import plan, results, sources

    if options.run is not None:
        check_run_folder(options.output, options.run, options.overwrite)
    found = sources.read_sources(options)
    statistics = plan.read_statistics(options, found)
    make_output_folder(options.output)
    folder = make_run_folder(options.output, options.run, options.overwrite, "statistics")
    batch = Batch(folder)
    results.write_statistics(statistics, folder, found.facts, batch)
    return batch.finish()


def generate(options: GeneratorOptions, command: list[str], made_before: GeneratedSidecar | None) -> int:
    """Plan, report what will be written, write it; returns the exit code.

    `command` are the flags that make it again; `made_before` is the sidecar of the piece that is made again.
    """
    from unravel_lib.generator import again, report, results
    from unravel_lib.generator.plan import make_plan
    from unravel_lib.statistics.tables import TABLES

    if options.run is not None:
        check_run_folder(options.output, options.run, options.overwrite)
    plan = make_plan(options)
    numbers = range(options.first, options.first + options.num_files)

    make_output_folder(options.output)
    free_bytes = shutil.disk_usage(options.output).free
    piece = results.make_piece(plan, options.first, free_bytes)
    report.log_plan(plan, len(piece.frames), options)
    file_bytes = plan.file_format.n_bytes(len(piece.frames))
    results.refuse_total_size(options.num_files, file_bytes, free_bytes, options.large)
    names = {number: results.result_name(plan, number) for number in numbers}
    if options.run is not None:
        for name in [*names.values(), *TABLES]:
            refuse_overwriting(options.output / options.run / name, plan.sources.paths)

    folder = make_run_folder(options.output, options.run, options.overwrite, plan.composition.label)
    before = identities(folder)
    batch = Batch(folder)
    statistics_csv = results.write_statistics(plan.composition.statistics, folder, plan.sources.facts, batch)
    statistics_sha256 = sha256_of(statistics_csv)
    place = ["--output", os.path.abspath(options.output), *([f"--run={options.run}"] if options.run else [])]
    drawn: dict[str, Piece] = {}
    written: list[Path] = []
    told: set[str] = set()
    for number, name in names.items():
        with batch.attempt(folder / name):
            if number > options.first:  # the first is made already
                piece = results.make_piece(plan, number, free_bytes)
            report.log_notes(piece, told)
            own_command = [*command, *(["--first", str(number)] if number else []), *place]
            sidecar = results.describe(plan, number, len(piece.frames), statistics_sha256, own_command)
            if made_before is not None and number == options.first:
                again.warn_of_changes(made_before, sidecar)
            plan.file_format.write(folder / name, piece.frames, sidecar)
            batch.wrote(folder / name)
            written.append(folder / name)
            if results.is_drawn(drawn):
                drawn[name] = piece
    if not options.no_plots:
        results.draw_pictures(plan, drawn, len(written), folder, batch)
    if options.fidelity and written:
        report.log_fidelity(written, plan.sources.encodings)
    if batch.done:
        report.log_player(plan.file_format)
    code = batch.finish()
    report.warn_of_older_files(folder, before)
    return code


def start() -> None:
    """Run the script; `unravel-generator` is this function."""
    run(main)


if __name__ == "__main__":
    start()
