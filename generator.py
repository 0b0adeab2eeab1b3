#!/usr/bin/env python3
"""Generate new latents from the statistics of encodings: draw loops, arrange and transform them, write latent audio."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
from dataclasses import replace
from typing import TYPE_CHECKING

from unravel_lib.cli.batch import DONE, Batch
from unravel_lib.cli.run import run
from unravel_lib.files.output import check_run_folder, make_output_folder, refuse_overwriting
from unravel_lib.generator.flags import GeneratorOptions, build_parser, show_lists

if TYPE_CHECKING:
    from unravel_lib.cli.parser import Parser

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
        from unravel_lib.generator.results import write_live_file

        return write_live_file(options, parser.given(argv))
    if values["again"] is not None:
        from unravel_lib.generator.again import recall

        options = recall(parser, argv, values["again"])
    options.refuse_conflicts()
    if options.run is not None:
        check_run_folder(options.output, options.run, options.overwrite)
    return generate(parser, options)


def show_tempi(options: GeneratorOptions) -> None:
    """Print the tempi that loops can have."""
    from unravel_lib import tempo
    from unravel_lib.generator.plan import Sources

    sources = Sources(replace(options, input_loop=[]))
    sources.log_defaults()
    print(tempo.table(*sources.rates, options.beats))
    print("rounded to two decimals (a table that cuts them off says up to 0.01 less); --bpm finds lengths in between")


def generate(parser: "Parser", options: GeneratorOptions) -> int:
    """Plan, report what will be written, write it; returns the exit code."""
    from unravel_lib.generator import results
    from unravel_lib.generator.plan import make_plans
    from unravel_lib.statistics.tables import TABLES

    plans = make_plans(options)
    sources = plans[0].sources
    decoder = results.load_decoder(sources) if options.decode else None
    make_output_folder(options.output)
    if options.measure_only:
        results.write_statistics(sources, "statistics")
        return DONE
    results.log_plans(plans)
    names = [name for plan in plans for name in plan.names]
    if options.run is not None:
        for name in [*names, *TABLES]:
            refuse_overwriting(options.output / options.run / name, sources.paths)

    table = results.write_statistics(sources, results.run_label(plans))
    folder = table.parent
    if decoder is not None:
        make_output_folder(folder / results.SOUND)
    batch = Batch(folder, inputs=[folder])
    written, drawn = results.write_pieces(parser, plans, table, batch)
    if not options.no_plots:
        results.draw_pictures(plans, drawn, folder, batch)
    if options.fidelity and written:
        results.log_fidelity(written, sources.encodings)
    if decoder is not None and written:
        results.decode(written, *decoder, batch, options.page)
    elif written:
        results.log_player(plans[0].file_format)
    code = batch.finish()
    results.warn_of_older_files(folder, names)
    return code


def start() -> None:
    """Run the script; `unravel-generator` is this function."""
    run(main, remedy=REMEDY)


if __name__ == "__main__":
    start()
