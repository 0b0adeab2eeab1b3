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
from unravel_lib.files.output import check_run_folder, make_output_folder, make_run_folder, refuse_overwriting
from unravel_lib.files.sidecar import GeneratedSidecar
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
    values, made_before, decoder = vars(parser.parse(argv)), None, list[str]()
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
    recorded = options
    if values["again"] is not None:
        from unravel_lib.generator import again

        options, recorded, made_before, decoder = again.recall(parser, argv, values["again"])
    options.refuse_conflicts()
    if options.run is not None:
        check_run_folder(options.output, options.run, options.overwrite)
    if options.measure_only:
        return measure_only(options)
    return generate(parser, options, recorded, made_before, decoder)


def show_tempi(options: GeneratorOptions) -> None:
    """Print the tempi that loops can have."""
    from unravel_lib.generator.sources import read_sources
    from unravel_lib.music import tempo

    print(tempo.table(*read_sources(replace(options, input_loop=[])).rates(), options.beats))
    print("rounded to two decimals (a table that cuts them off says up to 0.01 less); --bpm finds lengths in between")


def measure_only(options: GeneratorOptions) -> int:
    """Write the statistics of the encodings and nothing else; returns the exit code."""
    from unravel_lib.generator import plan, results, sources

    found = sources.read_sources(options)
    statistics = plan.read_statistics(options, found)
    make_output_folder(options.output)
    folder = make_run_folder(options.output, options.run, options.overwrite, "statistics")
    table = results.write_statistics(statistics, folder, found.facts)
    results.log_statistics(statistics, table, options)
    return DONE


def generate(
    parser: "Parser",
    options: GeneratorOptions,
    recorded: GeneratorOptions,
    made_before: GeneratedSidecar | None,
    decoder: Sequence[str],
) -> int:
    """Plan, report what will be written, write it; returns the exit code.

    `recorded` are the options that make it again; `made_before` is the sidecar of the piece that is made again,
    `decoder` the flags of decoder.py that made its sound.
    """
    from unravel_lib.generator import again, results
    from unravel_lib.generator.plan import make_plans
    from unravel_lib.statistics.tables import TABLES

    plans = make_plans(options)
    statistics, sources = plans[0].composition.statistics, plans[0].sources
    how = results.decoder_flags(options, decoder if options.decode else ())
    model = results.load_decoder(how, statistics.dims, sources.facts.model) if options.decode else None
    make_output_folder(options.output)
    first = [plan.composition.piece(options.first) for plan in plans]
    results.log_plans(plans, first, shutil.disk_usage(options.output).free)
    names = [name for plan in plans for name in plan.names]
    if options.run is not None:
        for name in [*names, *TABLES]:
            refuse_overwriting(options.output / options.run / name, sources.paths)

    folder = make_run_folder(options.output, options.run, options.overwrite, results.run_label(plans))
    if model is not None:
        make_output_folder(folder / results.SOUND)
    batch = Batch(folder)
    table = results.write_statistics(statistics, folder, sources.facts)
    results.log_statistics(statistics, table, options)
    commands = [again.as_command(parser, one) for one in recorded.combinations()]
    pieces = write_pieces(plans, commands, first, made_before, table, batch)
    written = [folder / name for name in pieces]
    if not options.no_plots:
        drawn = {name: piece for name, piece in pieces.items() if piece is not None}
        results.draw_pictures(plans, drawn, len(written), folder, batch)
    if options.fidelity and written:
        results.log_fidelity(written, sources.encodings)
    if model is not None and written:
        results.decode(written, model, how, batch, options.page)
    elif batch.done:
        results.log_player(plans[0].file_format)
    code = batch.finish()
    results.warn_of_older_files(folder, names)
    return code


def write_pieces(
    plans: "Sequence[Plan]",
    commands: Sequence[list[str]],
    first: "Sequence[Piece]",
    made_before: GeneratedSidecar | None,
    table: Path,
    batch: Batch,
) -> "dict[str, Piece | None]":
    """Make and write the files of all plans beside the `table` of statistics; the `first` of each is made already.

    Returns the pieces that were written, by name; None for those that will not be drawn.
    """
    from unravel_lib.generator import again, results

    folder, statistics_sha256 = table.parent, sha256_of(table)
    told: set[str] = set()
    written: dict[str, Piece | None] = {}
    for plan, command, made in zip(plans, commands, first, strict=True):
        for number, name in enumerate(plan.names, plan.options.first):
            with batch.attempt(folder / name):
                begins = number == plan.options.first
                piece = made if begins else plan.composition.piece(number)
                if number == plan.options.first + 1:
                    results.warn_of_equal(plan, piece, made)
                results.log_notes(piece, told)
                sidecar = results.describe(plan, number, piece, statistics_sha256, command)
                if made_before is not None and begins:
                    again.warn_of_changes(made_before, sidecar)
                plan.file_format.write(folder / name, piece.frames, sidecar)
                batch.wrote(folder / name)
                written[name] = piece if results.is_drawn(written) else None
    return written


def start() -> None:
    """Run the script; `unravel-generator` is this function."""
    run(main, remedy=REMEDY)


if __name__ == "__main__":
    start()
