#!/usr/bin/env python3
"""Decode latents to sound with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before any slow import

# isort: split
import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.audio import LOWEST_TARGET, SAMPLE_BYTES
from unravel_lib.cli import parser as flags
from unravel_lib.cli.batch import Batch, load_model
from unravel_lib.cli.run import RESUME, run
from unravel_lib.errors import UsageError
from unravel_lib.files.find import Source
from unravel_lib.files.output import make_output_folder
from unravel_lib.files.sidecar import DEFAULT_FADE_MS, DEFAULT_MAX_GAIN, DEFAULT_SUBTYPE
from unravel_lib.history import script

if TYPE_CHECKING:
    from unravel_lib.latents.files import Inputs

# Slow imports are inside functions: by then `run` handles Ctrl-C.


def build_parser() -> flags.Parser:
    """Return the decoder's flags."""
    parser = flags.Parser(
        "Decode latents to sound: one .wav for each .npy or latent audio file.",
        "python decoder.py --input latents/ --model voice.ts --output sound/",
    )
    source = parser.add_argument_group("latents")
    flags.add_input(source, "latents: .npy, latent audio .wav, or folders of them, searched recursively", required=True)
    model = flags.add_model(parser)
    model.add_argument(
        "--condition",
        type=flags.named_number,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="values of what a conditioned model decodes beside latents, such as pitch=3; 0 for the others",
    )
    result = parser.add_argument_group("result")
    flags.add_output(result, "./_decoder-output")
    text = f"how samples are stored; FLOAT keeps peaks beyond full scale (default {DEFAULT_SUBTYPE})"
    result.add_argument("--subtype", choices=tuple(SAMPLE_BYTES), default=DEFAULT_SUBTYPE, help=text)
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
    if args.loop and args.fade:
        raise UsageError(
            "would fade the ends of the loop", option="fade", remedy="leave it out", remedy_options=("loop",)
        )
    batch = Batch(args.output, args.shard)
    from unravel_lib.cli import sounds
    from unravel_lib.latents.files import Inputs

    inputs = Inputs()
    targets = find_targets(args, batch, inputs)
    make_output_folder(args.output)
    from unravel_lib.cli.jobs import jobs

    model_flags = args.model, args.device, args.trust_model, args.sample_rate, args.precision
    with jobs(args.jobs, len(targets), "decode_file", *model_flags) as submit:
        model = load_model(*model_flags, compensate_delay=args.compensate_delay, one_thread=args.jobs is not None)

        from unravel_lib.models.codec import CodecOptions

        options = CodecOptions(
            args.seed,
            args.compensate_delay,
            args.subtype,
            args.overwrite,
            normalize=args.normalize,
            max_gain=args.max_gain,
            loop=args.loop,
            fade_ms=args.fade,
            conditions=dict(args.condition),
            script=script("decoder"),
            command=parser.recorded("decoder", args),
        )
        sounds.decode(batch, targets, inputs, model, options, args.skip_existing, submit)
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
