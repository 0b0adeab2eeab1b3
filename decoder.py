#!/usr/bin/env python3
"""Decode latents to sound with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli import parser as flags
from unravel_lib.cli.batch import Batch, load_model, work_through
from unravel_lib.cli.run import RESUME, run
from unravel_lib.errors import InputError
from unravel_lib.files.find import Source, find_files
from unravel_lib.files.folders import make_output_folder
from unravel_lib.files.naming import result_names
from unravel_lib.files.sidecar import DEFAULT_FADE_MS, DEFAULT_MAX_GAIN, DEFAULT_SUBTYPE
from unravel_lib.history import commands

if TYPE_CHECKING:
    from unravel_lib.latents.files import Inputs

# Slow imports are inside functions: by then `run` handles Ctrl-C.


def build_parser() -> flags.Parser:
    """Return the decoder's flags."""
    from unravel_lib.audio.write import SUBTYPES
    from unravel_lib.cli.sounds import LOWEST_TARGET

    parser = flags.Parser(
        "Decode latents to sound: one .wav for each .npy or latent audio file.",
        "python decoder.py --input latents/ --model voice.ts --output sound/",
    )
    source = parser.add_argument_group("latents")
    flags.add_input(source, "latents: .npy, latent audio .wav, or folders of them, searched recursively", required=True)
    model = parser.add_argument_group("model")
    flags.add_model(model)
    flags.add_sample_rate(model, "the model's rate, for models that do not state it")
    flags.add_seed(model)
    model.add_argument(
        "--condition",
        type=flags.named_number,
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        help="values of what a conditioned model decodes beside latents, such as pitch=3; 0 for the others",
    )
    result = parser.add_argument_group("result")
    flags.add_output(result, "./_decoder-output")
    text = f"how samples are stored; FLOAT keeps peaks beyond full scale (default {DEFAULT_SUBTYPE})"
    result.add_argument("--subtype", choices=SUBTYPES, default=DEFAULT_SUBTYPE, help=text)
    text = "bring every sound to this loudness, such as -16; quieter where it would clip"
    flags.add_value(result, "--normalize", flags.number(LOWEST_TARGET, 0), "LUFS", text)
    text = f"--normalize raises no sound by more (default {DEFAULT_MAX_GAIN:g} dB)"
    flags.add_value(result, "--max_gain", flags.number(0, 120), "DB", text, DEFAULT_MAX_GAIN)
    text = "decode loops that can be repeated without a hole or a click: the end leads into the start, no fades"
    flags.add_switch(result, "--loop", text)
    text = f"fade in and out, in milliseconds (default: {DEFAULT_FADE_MS:g} for what generator.py made, else 0)"
    flags.add_value(result, "--fade", flags.number(0, 10_000), "MS", text)
    flags.add_switch(result, "--page", "write index.html beside the sounds: to listen, compare and choose")
    flags.add_batch(result)
    return parser


def main(argv: list[str]) -> int:
    """Decode every latents file that `--input` names; returns the exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    batch = Batch(args.output, args.shard)
    from unravel_lib.latents.files import Inputs

    inputs = Inputs()
    targets = find_targets(args, batch, inputs)
    make_output_folder(args.output)
    model = load_model(args.model, args.device, args.trust_model, args.sample_rate, args.compensate_delay)

    from unravel_lib.cli.sounds import log_levels
    from unravel_lib.models.codec import CodecOptions, check_fit, decode_file

    seconds: dict[Source, float] = {}
    for source in targets:  # all are checked before the model runs on anything
        with batch.check(source.path):
            file = inputs.read(source.path, model.compression, keep=True)
            check_fit(model, file)
            seconds[source] = file.latents.shape[1] * model.compression / model.sample_rate
    conditions = dict(args.condition or ())
    model.condition_values(conditions)  # refuses unknown names
    options = CodecOptions(
        args.seed,
        args.compensate_delay,
        args.subtype,
        args.overwrite,
        normalize=args.normalize,
        max_gain=args.max_gain,
        loop=args.loop,
        fade_ms=args.fade,
        conditions=conditions,
        script=commands.script("decoder"),
    )
    command = parser.command(args, {*commands.SHAPING["decoder"], "output"} - {"input"})

    def recorded(source: Source) -> CodecOptions:
        return replace(options, command=(*command, *commands.based(source)))

    sounds = work_through(
        batch,
        {source: targets[source] for source in seconds},
        seconds.__getitem__,
        lambda source, target, is_done, watch: decode_file(
            model, inputs.read(source.path, model.compression), target, recorded(source), is_done, watch
        ),
        args.skip_existing,
    )
    if batch.done > batch.skipped:
        log_levels(sounds, args.normalize)
    if args.page:
        from unravel_lib.cli.sounds import make_page

        make_page(args.output, batch, args.overwrite)
    return batch.finish()


def find_targets(args: argparse.Namespace, batch: Batch, inputs: "Inputs | None" = None) -> dict[Source, Path]:
    """Return the sound of each latents file of this run's shard; `inputs` keeps what is read."""
    sources = find_latents(args.input, args.output, batch, inputs, args.base)
    names = result_names(sources, "decoded", ".wav")
    return {source: args.output / names[source.path] for source in batch.part_of(sources)}


def find_latents(
    roots: list[Path], output: Path, batch: Batch, inputs: "Inputs | None" = None, base: Path | None = None
) -> list[Source]:
    """Find latents files under the roots; in a folder, a .wav counts only if it is latent audio.

    What generator.py made is named with the folder of its run, as equal names occur in many runs.
    """
    from unravel_lib.latents.files import EXTENSIONS, Inputs

    inputs = inputs or Inputs()
    found = find_files(roots, EXTENSIONS, output, batch, base)
    named = set(roots)
    latents_only = [source for source in found if source.path in named or inputs.is_latents(source.path)]
    if found and not latents_only:
        raise InputError("holds .wav files, but no latents", path=roots[0], remedy="make some with encoder.py")
    return [source.in_folder() if inputs.is_generated(source.path) else source for source in latents_only]


def start() -> None:
    """Run the script; `unravel-decoder` is this function."""
    run(main, remedy=RESUME)


if __name__ == "__main__":
    start()
