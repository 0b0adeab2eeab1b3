#!/usr/bin/env python3
"""Encode recordings to latents with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
import logging
from pathlib import Path

from unravel_lib.audio import EXTENSIONS
from unravel_lib.cli import parser as flags
from unravel_lib.cli.batch import Batch, load_model, work_through
from unravel_lib.cli.run import RESUME, run
from unravel_lib.files.find import Source, find_files, normalised_extensions
from unravel_lib.files.output import make_output_folder
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.text import count_text, duration_text, frames_text

# Slow imports are inside functions: by then `run` handles Ctrl-C.

REMEDY = "take another folder, or say which endings are sound (--extensions)"

log = logging.getLogger("unravel_lib")


def build_parser() -> flags.Parser:
    """Return the encoder's flags."""
    parser = flags.Parser(
        "Encode recordings to latents: one .npy of shape (1, dims, frames) for each sound file.",
        "python encoder.py --input recordings/ --model voice.ts --output latents/",
        needs_input=True,
    )
    sound = parser.add_argument_group("sound")
    flags.add_input(sound, "sound files, or folders, searched recursively")
    text = f"which files of a folder are sound (default {' '.join(EXTENSIONS)})"
    sound.add_argument("--extensions", nargs="+", default=EXTENSIONS, metavar="EXT", help=text)
    flags.add_model(parser)
    result = parser.add_argument_group("result")
    flags.add_output(result, "./_encoder-output")
    flags.add_batch(result)
    return parser


def main(argv: list[str]) -> int:
    """Encode every sound file that `--input` names; returns the exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    batch = Batch(args.output, args.shard, args.input, args.skip_existing)
    targets = find_targets(args, batch)
    make_output_folder(args.output)
    from unravel_lib.cli.jobs import jobs

    with jobs(args, batch.wrote, len(targets), "encode_file") as submit:
        model = load_model(args)

        from unravel_lib.models.codec import encode_file

        options = parser.codec_options("encoder", args)
        latents = work_through(
            batch, targets, lambda source, *rest: encode_file(model, source.path, *rest), options, submit
        )
    if batch.done > batch.skipped:
        log_length([*latents.values()])
    return batch.finish()


def find_targets(args: argparse.Namespace, batch: Batch) -> dict[Source, Path]:
    """Return the latents file of each recording of this run's shard."""
    extensions = normalised_extensions(args.extensions)
    sources = find_files(args.input, extensions, args.output, batch.failed, args.base, REMEDY)
    return batch.targets(sources, args.output, ".npy")


def log_length(facts: list[Sidecar]) -> None:
    """Log how many files, frames and seconds of sound there are, also those that an earlier run finished."""
    frames = sum(one.frames or 0 for one in facts)
    seconds = sum(one.seconds for one in facts)
    log.info("%s: %s, %s of sound", count_text(len(facts), "file"), frames_text(frames), duration_text(seconds))


def start() -> None:
    """Run the script; `unravel-encoder` is this function."""
    run(main, remedy=RESUME)


if __name__ == "__main__":
    start()
