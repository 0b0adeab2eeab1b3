#!/usr/bin/env python3
"""Encode recordings to latents with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before all that takes time

# isort: split
import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.parser import (
    Parser,
    add_input,
    add_model,
    add_output,
    add_overwrite,
    add_sample_rate,
    add_seed,
    add_skip_existing,
)
from unravel_lib.cli.progress import Progress, watched
from unravel_lib.cli.run import RESUME, load_model, model_facts, run
from unravel_lib.errors import InputError
from unravel_lib.files.atomic import make_output_folder, refuse_overwriting, sha256_of
from unravel_lib.files.find import Source, find_files, normalised_extensions
from unravel_lib.files.naming import result_names
from unravel_lib.files.sidecar import Finished, refuse_replacing

if TYPE_CHECKING:
    from unravel_lib.models.model import Model

# What takes long to import is imported inside functions: by then `cli.run` answers Ctrl-C.


def build_parser() -> Parser:
    """The encoder's flags."""
    from unravel_lib.audio import read

    parser = Parser(
        "Encode recordings to latents: one .npy of shape (1, dims, frames) for each sound file.",
        "python encoder.py --input recordings/ --model voice.ts --output latents/",
    )
    sound = parser.add_argument_group("sound")
    add_input(sound, "sound files, or folders searched to their bottom", required=True)
    sound.add_argument(
        "--extensions", nargs="+", default=read.EXTENSIONS, metavar="EXT",
        help=f"which files to take from a folder (default {' '.join(read.EXTENSIONS)})",
    )  # fmt: skip
    model = parser.add_argument_group("model")
    add_model(model)
    add_sample_rate(model, "the model's rate, for models that do not say it")
    add_seed(model)
    result = parser.add_argument_group("result")
    add_output(result, "./_encoder-output")
    add_skip_existing(result)
    add_overwrite(result)
    return parser


def main(argv: list[str]) -> int:
    """Encode every sound file that `--input` names; returns the exit code."""
    args = build_parser().parse(argv)
    batch = Batch(args.output)
    extensions = normalised_extensions(args.extensions)
    sources = find_files(args.input, extensions, args.output, batch)
    names = result_names(sources, "encoded", ".npy")
    output = make_output_folder(args.output)
    finished = Finished(output, [source.relative for source in sources]) if args.skip_existing else None
    model = load_model(args)
    with Progress(sources, _seconds, "s of sound") as bar:
        for source in bar:
            with batch.attempt(source.path):
                target = output / names[source.path]
                if encode_file(model, source, target, args, finished, bar.update):
                    batch.wrote(target)
                else:
                    batch.skipped += 1
    return batch.finish()


def encode_file(
    model: "Model",
    source: Source,
    target: Path,
    args: argparse.Namespace,
    finished: Finished | None,
    watch: Any,
) -> bool:
    """Encode one file with its sidecar; False if it is among those that are `finished`."""
    import numpy as np

    from unravel_lib.audio.read import open_audio
    from unravel_lib.audio.resample import resampled, to_channels
    from unravel_lib.latents.npy import save_latents

    refuse_overwriting(target, [source.path])
    key = sha256_of(source.path)
    facts = model_facts(model, args, source.path, key)
    if finished is not None and finished.holds(target, source.relative, facts):
        return False
    if not args.overwrite:
        refuse_replacing(target, facts)
    with open_audio(source.path) as sound:
        blocks = to_channels(watched(sound.blocks(), sound.sample_rate, watch), model.in_channels)
        signal = resampled(blocks, sound.sample_rate, model.sample_rate)
        latents = np.concatenate(list(model.encode(signal, args.seed, key, args.compensate_delay)), axis=1)
    facts = replace(facts, dims=latents.shape[0], frames=latents.shape[1])
    save_latents(target, latents, facts, args.overwrite)
    return True


def _seconds(source: Source) -> float:
    from unravel_lib.audio import read

    try:
        with read.open_audio(source.path) as sound:
            return sound.seconds
    except InputError:  # told when its turn comes
        return 0.0


if __name__ == "__main__":
    run(main, remedy=RESUME)
