#!/usr/bin/env python3
"""Decode latents to sound with a RAVE model."""

import unravel_lib.cli.startup  # noqa: F401  before all that takes time

# isort: split
import argparse
import math
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
from unravel_lib.cli.run import RESUME, load_model, log, model_facts, run
from unravel_lib.errors import InputError
from unravel_lib.files.atomic import make_output_folder, refuse_overwriting
from unravel_lib.files.find import Source, find_files
from unravel_lib.files.naming import result_names
from unravel_lib.files.sidecar import Finished, read_sidecar, refuse_replacing
from unravel_lib.text import printable

if TYPE_CHECKING:
    from unravel_lib.latents.npy import RealArray
    from unravel_lib.models.model import Model

# What takes long to import is imported inside functions: by then `cli.run` answers Ctrl-C.

EXTENSIONS = (".npy", ".wav")


def build_parser() -> Parser:
    """The decoder's flags."""
    from unravel_lib.audio import write

    parser = Parser(
        "Decode latents to sound: one .wav for each .npy or latent audio file.",
        "python decoder.py --input latents/ --model voice.ts --output sound/",
    )
    source = parser.add_argument_group("latents")
    add_input(source, "latents: .npy, latent audio .wav, or folders of them searched to their bottom", required=True)
    model = parser.add_argument_group("model")
    add_model(model)
    add_sample_rate(model, "the model's rate, for models that do not say it")
    add_seed(model)
    result = parser.add_argument_group("result")
    add_output(result, "./_decoder-output")
    result.add_argument(
        "--subtype", choices=write.SUBTYPES, default="PCM_24",
        help="how samples are stored; FLOAT keeps peaks beyond full scale (default PCM_24)",
    )  # fmt: skip
    add_skip_existing(result)
    add_overwrite(result)
    return parser


def main(argv: list[str]) -> int:
    """Decode every latents file that `--input` names; returns the exit code."""
    args = build_parser().parse(argv)
    batch = Batch(args.output)
    sources = find_latents(args.input, args.output, batch)
    names = result_names(sources, "decoded", ".wav")
    output = make_output_folder(args.output)
    finished = Finished(output, [source.relative for source in sources]) if args.skip_existing else None
    model = load_model(args)
    seconds: dict[Path, float] = {}
    for source in sources:  # all are looked at before the model runs on anything
        with batch.check(source.path):
            seconds[source.path] = check_fit(model, source.path) * model.compression / model.sample_rate
    fitting = [source for source in sources if source.path in seconds]
    with Progress(fitting, lambda source: seconds[source.path], "s of sound") as bar:
        for source in bar:
            with batch.attempt(source.path):
                target = output / names[source.path]
                if decode_file(model, source, target, args, finished, bar.update):
                    batch.wrote(target)
                else:
                    batch.skipped += 1
    return batch.finish()


def find_latents(roots: list[Path], output: Path, batch: Batch) -> list[Source]:
    """Latents files under the roots; in a folder, a .wav counts only if it is latent audio."""
    from unravel_lib.latents import latent_audio

    found = find_files(roots, EXTENSIONS, output, batch)
    named = set(roots)
    latents_only = [
        source
        for source in found
        if source.path.suffix.lower() == ".npy" or source.path in named or latent_audio.is_latent_audio(source.path)
    ]
    if found and not latents_only:
        raise InputError(f"{printable(roots[0])} holds .wav files, but no latents: make some with encoder.py")
    return latents_only


def check_fit(model: "Model", source: Path) -> int:
    """Frames in a file; raises InputError where they cannot belong to the model, warns where another one made them."""
    dims, frames = open_latents(model, source).shape
    if dims != model.dims:
        raise InputError(
            f"{printable(source)} has {dims} dims, {printable(model.name)} decodes {model.dims}: "
            "decode with the model it was encoded with"
        )
    facts = read_sidecar(source)
    same_weights = facts and facts.weights_sha256 and facts.weights_sha256 == model.weights_sha256
    if facts and facts.model_sha256 not in (None, model.sha256) and not same_weights:
        log.warning(
            "%s was made with %s, not with %s", printable(source), printable(facts.model or "another model"),
            printable(model.name),
        )  # fmt: skip
    return int(frames)


def open_latents(model: "Model", source: Path) -> "RealArray":
    """The latents of a file as an array (dims, frames)."""
    if source.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{printable(source)} is no .npy and no latent audio .wav: encode sound with encoder.py")
    from unravel_lib.latents import latent_audio, npy

    if source.suffix.lower() == ".wav":
        return latent_audio.load_latent_audio(source, model.compression)
    return npy.load_latents(source)


def decode_file(
    model: "Model",
    source: Source,
    target: Path,
    args: argparse.Namespace,
    finished: Finished | None,
    watch: Any,
) -> bool:
    """Decode one file with its sidecar; False if it is among those that are `finished`."""
    import numpy as np

    from unravel_lib.audio import write
    from unravel_lib.latents import npy

    refuse_overwriting(target, [source.path])
    array = open_latents(model, source.path)
    key = npy.content_key(array)
    facts = model_facts(model, args, source.path, key, subtype=args.subtype)
    facts = replace(facts, dims=array.shape[0], frames=array.shape[1])
    if finished is not None and finished.holds(target, source.relative, facts):
        return False
    if not args.overwrite:
        refuse_replacing(target, facts)
    blocks = (np.ascontiguousarray(block, dtype=np.float32) for _, block in npy.blocks(array))
    sound = watched(model.decode(blocks, args.seed, key, args.compensate_delay), model.sample_rate, watch)
    samples = array.shape[1] * model.compression
    peak = write.write_audio(
        target, sound, model.sample_rate, model.out_channels, args.subtype, samples, facts, args.overwrite
    )
    if peak > 1 and args.subtype != "FLOAT":
        log.warning(
            "%s was clipped: it peaks at %.3f, %.1f dB beyond full scale (--subtype FLOAT keeps it)",
            printable(target), peak, 20 * math.log10(peak),
        )  # fmt: skip
    return True


if __name__ == "__main__":
    run(main, remedy=RESUME)
