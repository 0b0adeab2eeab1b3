#!/usr/bin/env python3
"""Decode latents to sound with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli import parser as flags
from unravel_lib.cli.batch import Batch, load_model
from unravel_lib.cli.run import RESUME, run
from unravel_lib.errors import UsageError
from unravel_lib.files.find import Source
from unravel_lib.files.output import make_output_folder

if TYPE_CHECKING:
    from unravel_lib.latents.files import Inputs

# Slow imports are inside functions: by then `run` handles Ctrl-C.


build_parser = flags.decoder_parser


def main(argv: list[str]) -> int:
    """Decode every latents file that `--input` names; returns the exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.loop and args.fade:
        raise UsageError(
            "would fade the ends of the loop", option="fade", remedy="leave it out", remedy_options=("loop",)
        )
    batch = Batch(args.output, args.shard, args.input, args.skip_existing)
    from unravel_lib.cli import sounds
    from unravel_lib.latents.files import Inputs

    inputs = Inputs()
    targets = find_targets(args, batch, inputs)
    make_output_folder(args.output)
    from unravel_lib.cli.jobs import jobs

    with jobs(args, batch.wrote, len(targets), "decode_file") as submit:
        model = load_model(args)
        sounds.decode(batch, targets, inputs, model, parser.codec_options("decoder", args), submit)
    if args.page:
        sounds.make_page(args.output, batch, args.overwrite)
    return batch.finish()


def find_targets(args: argparse.Namespace, batch: Batch, inputs: "Inputs | None" = None) -> dict[Source, Path]:
    """Return the sound of each latents file of this run's shard; `inputs` keeps what is read."""
    from unravel_lib.cli import sounds

    return sounds.find_targets(args.input, args.output, batch, inputs, args.base)


def start() -> None:
    """Run the script; `unravel-decoder` is this function."""
    run(main, remedy=RESUME)


if __name__ == "__main__":
    start()
