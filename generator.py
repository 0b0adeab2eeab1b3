#!/usr/bin/env python3
"""Generate new latents from the statistics of encodings: draw loops, arrange and transform them, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.cli.run import run
from unravel_lib.files.find import sha256_of
from unravel_lib.files.output import check_run_folder, make_output_folder, refuse_overwriting
from unravel_lib.generator.flags import GeneratorOptions, build_parser, show_lists

if TYPE_CHECKING:
    from unravel_lib.cli.parser import Parser
    from unravel_lib.generator.plan import Plan
    from unravel_lib.music.patterns import Piece

# Slow imports are inside functions: by then `run` handles Ctrl-C.

REMEDY = "the same command begins again, in a folder of its own; with --run it needs --overwrite, or another name"


def main(argv: list[str]) -> int:
    """Run the script with these arguments; returns its exit code."""
    parser = build_parser()
    values = vars(parser.parse(argv))
    options = GeneratorOptions.of(values)
    lists = [name for name in ("list_distributions", "list_patterns", "list_transforms") if values[name]]
    show_lists(lists, options)
    if values["tempo_table"]:
        show_tempi(options)
    if lists or values["tempo_table"]:
        return DONE
    if options.live is not None:
        from unravel_lib.generator.live_file import write_live_file

        return write_live_file(options, parser.given(argv))
    if values["again"] is not None:
        from unravel_lib.generator.again import recall

        options = recall(parser, argv, values["again"])
    options.refuse_conflicts()
    if options.run is not None:
        check_run_folder(options.output, options.run, options.overwrite)
    return measure_only(options) if options.measure_only else generate(parser, options)


def show_tempi(options: GeneratorOptions) -> None:
    """Print the tempi that loops can have."""
    from unravel_lib.generator.sources import read_sources
    from unravel_lib.music import tempo

    sources = read_sources(replace(options, input_loop=[]))
    sources.log_defaults()
    print(tempo.table(*sources.rates, options.beats))
    print("rounded to two decimals (a table that cuts them off says up to 0.01 less); --bpm finds lengths in between")


def measure_only(options: GeneratorOptions) -> int:
    """Write the statistics of the encodings and nothing else; returns the exit code."""
    from unravel_lib.generator import plan, results, sources

    found = sources.read_sources(options)
    statistics = plan.read_statistics(options, found)
    make_output_folder(options.output)
    results.write_statistics(statistics, found.facts, options, "statistics")
    return DONE


def generate(parser: "Parser", options: GeneratorOptions) -> int:
    """Plan, report what will be written, write it; returns the exit code."""
    from unravel_lib.generator import results
    from unravel_lib.generator.plan import make_plans
    from unravel_lib.statistics.tables import TABLES

    plans = make_plans(options)
    statistics, sources = plans[0].composition.statistics, plans[0].sources
    decoder = results.load_decoder(options, statistics.dims, sources.facts.model) if options.decode else None
    make_output_folder(options.output)
    results.log_plans(plans, shutil.disk_usage(options.output).free)
    names = [name for plan in plans for name in plan.names]
    if options.run is not None:
        for name in [*names, *TABLES]:
            refuse_overwriting(options.output / options.run / name, sources.paths)

    table = results.write_statistics(statistics, sources.facts, options, results.run_label(plans))
    if decoder is not None:
        make_output_folder(table.with_name(results.SOUND))
    batch = Batch(table.parent, inputs=[table.parent])
    written, drawn = write_pieces(parser, plans, table, batch)
    if not options.no_plots:
        results.draw_pictures(plans, drawn, table.parent, batch)
    if options.fidelity and written:
        results.log_fidelity(written, sources.encodings)
    if decoder is not None and written:
        results.decode(written, *decoder, batch, options.page)
    elif written:
        results.log_player(plans[0].file_format)
    code = batch.finish()
    results.warn_of_older_files(table.parent, names)
    return code


def write_pieces(
    parser: "Parser", plans: "Sequence[Plan]", table: Path, batch: Batch
) -> "tuple[list[Path], dict[str, Piece]]":
    """Make and write the files of all plans beside the `table` of statistics; return their paths, and what is drawn."""
    from unravel_lib.generator import again, results

    statistics_sha256 = sha256_of(table)
    told: set[str] = set()
    written: list[Path] = []
    drawn: dict[str, Piece] = {}
    for plan in plans:
        command, former = again.as_command(parser, plan.options), plan.options.former
        for name, number in plan.names.items():
            path = table.with_name(name)
            with batch.attempt(path):
                piece = plan.piece(number)
                results.log_piece(plan, number, piece, told)
                sidecar = results.describe(plan, number, piece, statistics_sha256, command)
                if number == plan.options.first and former is not None:
                    again.warn_of_changes(former.facts, sidecar)
                plan.file_format.write(path, piece.frames, sidecar)
                batch.wrote(path)
                written.append(path)
                if results.is_drawn(drawn):
                    drawn[name] = piece
    return written, drawn


def start() -> None:
    """Run the script; `unravel-generator` is this function."""
    run(main, remedy=REMEDY)


if __name__ == "__main__":
    start()
