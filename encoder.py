#!/usr/bin/env python3
"""Encode recordings to latents with a RAVE model."""

import unravel_lib.startup  # noqa: F401  before all that takes time

# isort: split
import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib import cli, files
from unravel_lib.errors import InputError
from unravel_lib.naming import result_names
from unravel_lib.sidecar import Finished, refuse_replacing

if TYPE_CHECKING:
    from unravel_lib.model import Model

# What takes long to import is imported inside functions: by then `cli.run` answers Ctrl-C.


def build_parser() -> cli.Parser:
    """The encoder's flags."""
    from unravel_lib import audio

    parser = cli.Parser(
        "Encode recordings to latents: one .npy of shape (1, dims, frames) for each sound file.",
        "python encoder.py --input recordings/ --model voice.ts --output latents/",
    )
    sound = parser.add_argument_group("sound")
    cli.add_input(sound, "sound files, or folders searched to their bottom", required=True)
    sound.add_argument(
        "--extensions", nargs="+", default=audio.EXTENSIONS, metavar="EXT",
        help=f"which files to take from a folder (default {' '.join(audio.EXTENSIONS)})",
    )  # fmt: skip
    model = parser.add_argument_group("model")
    cli.add_model(model)
    cli.add_sample_rate(model, "the model's rate, for models that do not say it")
    cli.add_seed(model)
    result = parser.add_argument_group("result")
    cli.add_output(result, "./_encoder-output")
    cli.add_skip_existing(result)
    cli.add_overwrite(result)
    return parser


def main(argv: list[str]) -> int:
    """Encode every sound file that `--input` names; returns the exit code."""
    args = build_parser().parse(argv)
    batch = cli.Batch(args.output)
    extensions = files.normalised_extensions(args.extensions)
    sources = files.find_files(args.input, extensions, args.output, batch)
    names = result_names(sources, "encoded", ".npy")
    output = files.make_output_folder(args.output)
    finished = Finished(output, [source.relative for source in sources]) if args.skip_existing else None
    model = cli.load_model(args)
    with cli.Progress(sources, _seconds, "s of sound") as bar:
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
    source: files.Source,
    target: Path,
    args: argparse.Namespace,
    finished: Finished | None,
    watch: Any,
) -> bool:
    """Encode one file with its sidecar; False if it is among those that are `finished`."""
    import numpy as np

    from unravel_lib import audio
    from unravel_lib.latents import save_latents

    files.refuse_overwriting(target, [source.path])
    key = files.sha256_of(source.path)
    facts = cli.model_facts(model, args, source.path, key)
    if finished is not None and finished.holds(target, source.relative, facts):
        return False
    if not args.overwrite:
        refuse_replacing(target, facts)
    with audio.open_audio(source.path) as sound:
        blocks = audio.to_channels(cli.watched(sound.blocks(), sound.sample_rate, watch), model.in_channels)
        signal = audio.resampled(blocks, sound.sample_rate, model.sample_rate)
        latents = np.concatenate(list(model.encode(signal, args.seed, key, args.compensate_delay)), axis=1)
    facts = replace(facts, dims=latents.shape[0], frames=latents.shape[1])
    save_latents(target, latents, facts, args.overwrite)
    return True


def _seconds(source: files.Source) -> float:
    from unravel_lib import audio

    try:
        with audio.open_audio(source.path) as sound:
            return sound.seconds
    except InputError:  # told when its turn comes
        return 0.0


if __name__ == "__main__":
    cli.run(main, remedy=cli.RESUME)
