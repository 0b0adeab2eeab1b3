#!/usr/bin/env python3
"""Decode latents to sound with a RAVE model."""

import unravel_lib.startup  # noqa: F401  before all that takes time

# isort: split
import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib import cli, files
from unravel_lib.errors import InputError
from unravel_lib.naming import result_names
from unravel_lib.sidecar import Finished, read_sidecar, refuse_replacing

if TYPE_CHECKING:
    from unravel_lib.latents import RealArray
    from unravel_lib.model import Model

# What takes long to import is imported inside functions: by then `cli.run` answers Ctrl-C.

EXTENSIONS = (".npy", ".wav")


def build_parser() -> cli.Parser:
    """The decoder's flags."""
    from unravel_lib import audio

    parser = cli.Parser(
        "Decode latents to sound: one .wav for each .npy or latent audio file.",
        "python decoder.py --input latents/ --model voice.ts --output sound/",
    )
    source = parser.add_argument_group("latents")
    cli.add_input(
        source, "latents: .npy, latent audio .wav, or folders of them searched to their bottom", required=True
    )
    model = parser.add_argument_group("model")
    cli.add_model(model)
    cli.add_sample_rate(model, "the model's rate, for models that do not say it")
    cli.add_seed(model)
    result = parser.add_argument_group("result")
    cli.add_output(result, "./_decoder-output")
    result.add_argument(
        "--subtype", choices=audio.SUBTYPES, default="PCM_24",
        help="how samples are stored; FLOAT keeps peaks beyond full scale (default PCM_24)",
    )  # fmt: skip
    cli.add_skip_existing(result)
    cli.add_overwrite(result)
    return parser


def main(argv: list[str]) -> int:
    """Decode every latents file that `--input` names; returns the exit code."""
    args = build_parser().parse(argv)
    batch = cli.Batch(args.output)
    sources = find_latents(args.input, args.output, batch)
    names = result_names(sources, "decoded", ".wav")
    output = files.make_output_folder(args.output)
    finished = Finished(output, [source.relative for source in sources]) if args.skip_existing else None
    model = cli.load_model(args)
    seconds: dict[Path, float] = {}
    for source in sources:  # all are looked at before the model runs on anything
        with batch.check(source.path):
            seconds[source.path] = check_fit(model, source.path) * model.compression / model.sample_rate
    fitting = [source for source in sources if source.path in seconds]
    with cli.Progress(fitting, lambda source: seconds[source.path], "s of sound") as bar:
        for source in bar:
            with batch.attempt(source.path):
                target = output / names[source.path]
                if decode_file(model, source, target, args, finished, bar.update):
                    batch.wrote(target)
                else:
                    batch.skipped += 1
    return batch.finish()


def find_latents(roots: list[Path], output: Path, batch: cli.Batch) -> list[files.Source]:
    """Latents files under the roots; in a folder, a .wav counts only if it is latent audio."""
    from unravel_lib import export

    found = files.find_files(roots, EXTENSIONS, output, batch)
    named = set(roots)
    latents_only = [
        source
        for source in found
        if source.path.suffix.lower() == ".npy" or source.path in named or export.is_latent_audio(source.path)
    ]
    if found and not latents_only:
        raise InputError(f"{files.shown(roots[0])} holds .wav files, but no latents: make some with encoder.py")
    return latents_only


def check_fit(model: "Model", source: Path) -> int:
    """Frames in a file; raises InputError where they cannot belong to the model, warns where another one made them."""
    dims, frames = open_latents(model, source).shape
    if dims != model.dims:
        raise InputError(
            f"{files.shown(source)} has {dims} dims, {files.shown(model.name)} decodes {model.dims}: "
            "decode with the model it was encoded with"
        )
    facts = read_sidecar(source)
    same_weights = facts and facts.weights_sha256 and facts.weights_sha256 == model.weights_sha256
    if facts and facts.model_sha256 not in (None, model.sha256) and not same_weights:
        cli.log.warning(
            "%s was made with %s, not with %s", files.shown(source), files.shown(facts.model or "another model"),
            files.shown(model.name),
        )  # fmt: skip
    return int(frames)


def open_latents(model: "Model", source: Path) -> "RealArray":
    """The latents of a file as an array (dims, frames)."""
    if source.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{files.shown(source)} is no .npy and no latent audio .wav: encode sound with encoder.py")
    from unravel_lib import export, latents

    if source.suffix.lower() == ".wav":
        return export.load_latent_audio(source, model.compression)
    return latents.load_latents(source)


def decode_file(
    model: "Model",
    source: files.Source,
    target: Path,
    args: argparse.Namespace,
    finished: Finished | None,
    watch: Any,
) -> bool:
    """Decode one file with its sidecar; False if it is among those that are `finished`."""
    import numpy as np

    from unravel_lib import audio, latents

    files.refuse_overwriting(target, [source.path])
    array = open_latents(model, source.path)
    key = latents.content_key(array)
    facts = cli.model_facts(model, args, source.path, key, subtype=args.subtype)
    facts = replace(facts, dims=array.shape[0], frames=array.shape[1])
    if finished is not None and finished.holds(target, source.relative, facts):
        return False
    if not args.overwrite:
        refuse_replacing(target, facts)
    blocks = (np.ascontiguousarray(block, dtype=np.float32) for _, block in latents.blocks(array))
    sound = cli.watched(model.decode(blocks, args.seed, key, args.compensate_delay), model.sample_rate, watch)
    samples = array.shape[1] * model.compression
    peak = audio.write_audio(
        target, sound, model.sample_rate, model.out_channels, args.subtype, samples, facts, args.overwrite
    )
    if peak > 1 and args.subtype != "FLOAT":
        cli.log.warning(
            "%s was clipped: it peaks at %.3f, %.1f dB beyond full scale (--subtype FLOAT keeps it)",
            files.shown(target), peak, 20 * math.log10(peak),
        )  # fmt: skip
    return True


if __name__ == "__main__":
    cli.run(main, remedy=cli.RESUME)
