"""The results of generator.py: refused where they are too large, described, drawn, and what is said of them.

With `live` the result is one file for nn~ instead, which goes on with the recordings without end.
"""

import argparse
import filecmp
import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unravel_lib import tempo
from unravel_lib.cli import signals, sounds
from unravel_lib.cli.batch import DONE, RESULTS, Batch, load_model
from unravel_lib.cli.parser import Parser, decoder_parser
from unravel_lib.errors import ModelError, OutputError, UnravelError, UsageError, check_suffix
from unravel_lib.files.find import sha256_of
from unravel_lib.files.output import make_output_folder, make_run_folder, refuse_overwriting
from unravel_lib.files.sidecar import GeneratedSidecar, write_sidecar
from unravel_lib.generator import again
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.generator.plan import Plan, Rates, Sources, warn_of_frozen_dims
from unravel_lib.history import script
from unravel_lib.latents.files import Inputs, LatentsFile, read_latents
from unravel_lib.latents.formats import PD_CHANNELS, LatentAudio, Npy
from unravel_lib.music.kinds import Entry
from unravel_lib.music.patterns import Piece
from unravel_lib.music.recordings import loudness_of
from unravel_lib.statistics.measure import Statistics
from unravel_lib.statistics.tables import TABLES, report, write_csv
from unravel_lib.text import count_text, duration_text, frames_text, printable, size_text

LARGE_BYTES = 1 << 30  # of a run, which is hours of sound: more is a slip more often than not
SOUND = "sound"  # the folder of a run with what its latents are decoded to
LIVE = (  # options of a live file
    *("input", "only", "weight", "sample_rate", "compression", "seed", "quiet", "debug"),
    *("live", "with_model", "trust_model", "overwrite"),
)
MOST_NAMED = 16  # recordings of a live file that are named with their numbers
MAX_DRAWN = 24  # files of a run that are drawn, and LARGE_BYTES of them

if TYPE_CHECKING:
    from unravel_lib.models.model import Model

log = logging.getLogger("unravel_lib")


def log_plans(plans: Sequence[Plan]) -> None:
    """Log tempo, length and size of what will be written, by the first file of each plan.

    Raises
    ------
    UsageError
        A file is larger than a WAV can be, or all are larger than the free space, or than 1 GiB unless `large`.
    """
    plans[0].sources.log_defaults()
    lines, total = list[str](), 0
    for plan in plans:
        n_frames, n_files = len(plan.first.frames), plan.options.num_files
        n_bytes, seconds = plan.file_format.n_bytes(n_frames), n_frames * plan.frame_seconds
        length = f"{frames_text(n_frames)} x {plan.file_format.dims} dims, {duration_text(seconds)} of sound"
        each = "each " if n_files > 1 else ""
        size = f"{n_files} x {plan.file_format.noun}: {each}{length}, {size_text(n_bytes)}"
        lines += [*plan.tempo_lines(), size]
        total += n_files * n_bytes
    for line in dict.fromkeys(lines):
        log.info("%s", line)
    for plan in plans:
        warn_of_frozen_dims(plan)
    options, free = plans[0].options, shutil.disk_usage(plans[0].options.output).free
    if total > (free if options.large else min(free, LARGE_BYTES)):
        found = f"the results need {size_text(total)}, {size_text(free)} are free"
        remedy = f"make less, or say that more than {size_text(LARGE_BYTES)} are intended"
        raise UsageError(found, remedy=remedy, remedy_options=("num_files", "num_loops", "num_latents", "large"))


def write_statistics(sources: Sources, label: str) -> Path:
    """Make the folder of the run with the tables in it, and log them; return statistics.csv.

    That has a sidecar, for runs that use it. What is logged are the statistics, but those that an earlier run beside
    this one had too.
    """
    options = sources.options
    folder = make_run_folder(options.output, options.run, options.overwrite, label)
    table, *_ = write_csv(sources.statistics, folder)
    write_sidecar(table, sources.facts)
    if not options.quiet:
        others = (path for path in sorted(options.output.glob(f"*/{table.name}")) if path.parent != folder)
        same = [path for path in others if filecmp.cmpfiles(path.parent, folder, TABLES, False)[0] == [*TABLES]]
        text = report(sources.statistics)
        log.info("%s", f"{text.splitlines()[0]}, as before: {printable(same[0])}" if same else text)
    log.info("%s", printable(table))
    return table


def describe(plan: Plan, number: int, piece: Piece, statistics_sha256: str, command: Sequence[str]) -> GeneratedSidecar:
    """Make the sidecar of output number `number`; `command` are the flags that make any of them again, in any place."""
    composition, options = plan.composition, plan.options
    command = [*command, *(["--first", str(number)] if number else []), "--output", os.path.abspath(options.output)]
    command += [f"--run={options.run}"] if options.run else []
    pattern, distribution = composition.pattern, composition.distribution
    used = (pattern, distribution, *(part.transform for step in composition.steps for part in step.parts))
    bpm = plan.bpm(piece.loop_frames)
    facts = vars(plan.sources.facts) | plan.sources.rates._asdict()
    facts |= {"dims": plan.file_format.dims, "frames": len(piece.frames), "seed": composition.seed}
    facts |= {"script": script("generator"), "command": tuple(command)}
    return GeneratedSidecar(
        **facts,
        distribution=_name(distribution) if composition.draws else None,
        distribution_args=composition.distribution_options,
        iqr=composition.statistics.iqr,
        pattern=_name(pattern),
        pattern_args=composition.pattern_options,
        transform=tuple(step.text for step in composition.steps),
        code_sha256={_name(one): sha256_of(Path(one.source)) for one in used if one.source is not None},
        num_latents=composition.num_latents,
        num_loops=composition.num_loops,
        beats=options.beats,
        bpm=None if bpm is None else round(float(bpm), 4),
        file_index=number,
        statistics_sha256=statistics_sha256,
        files_sha256=plan.sources.files_sha256,
        hold=plan.file_format.hold,
    )


def _name(entry: Entry) -> str:
    return entry.name if entry.source is None else f"{Path(entry.source).name}:{entry.name}"


def run_label(plans: Sequence[Plan]) -> str:
    """Say what a run is: "swapper_walk_seed42"; of several combinations how many: "6-combinations_seed42"."""
    first = plans[0].composition
    return first.label if len(plans) == 1 else f"{len(plans)}-combinations_seed{first.seed}"


def write_pieces(
    parser: Parser, plans: Sequence[Plan], table: Path, batch: Batch
) -> tuple[list[Path], dict[str, Piece]]:
    """Make and write the files of all plans beside the `table` of statistics; return their paths, and what is drawn."""
    statistics_sha256, told = sha256_of(table), set[str]()
    written: list[Path] = []
    drawn: dict[str, Piece] = {}
    for plan in plans:
        command, former = again.as_command(parser, plan.options), plan.options.former
        for name, number in plan.names.items():
            path = table.with_name(name)
            with batch.attempt(path):
                piece = plan.piece(number)
                log_piece(plan, number, piece, told)
                sidecar = describe(plan, number, piece, statistics_sha256, command)
                if number == plan.options.first and former is not None:
                    again.warn_of_changes(former, sidecar)
                plan.file_format.write(path, piece.frames, sidecar)
                batch.wrote(path)
                written.append(path)
                if len(drawn) < MAX_DRAWN and sum(one.frames.nbytes for one in drawn.values()) < LARGE_BYTES:
                    drawn[name] = piece
    return written, drawn


def draw_pictures(plans: Sequence[Plan], pieces: Mapping[str, Piece], folder: Path, batch: Batch) -> None:
    """Draw results.png of some pieces, and distribution.png and correlation.png."""
    statistics, seconds = plans[0].composition.statistics, plans[0].frame_seconds
    for name in (*(["results.png"] if pieces else []), "distribution.png", "correlation.png"):
        with batch.check(folder / name, "picture"):
            from unravel_lib import plots

            if name == "results.png":
                facts, loudness = _facts_line(plans, pieces, batch.done), partial(loudness_of, statistics=statistics)
                plots.draw_results(folder / name, run_label(plans), facts, pieces, seconds, loudness=loudness)
            elif name == "distribution.png":
                plots.draw_distribution(folder / name, statistics, [piece.frames for piece in pieces.values()])
            else:
                plots.draw_correlation(folder / name, statistics)
            log.info("%s", printable(folder / name))


def _facts_line(plans: Sequence[Plan], pieces: Mapping[str, Piece], n_files: int) -> str:
    """Say in one line what results.png shows: files, length, model, loop and tempo."""
    plan = plans[0]
    lengths = {len(piece.frames) for piece in pieces.values()}
    length = f"{'up to ' if len(lengths) > 1 else ''}{frames_text(max(lengths))}"
    loop = f"loop of {frames_text(plan.first.loop_frames or plan.composition.num_latents)}"
    tempi = {one.bpm(one.first.loop_frames) for one in plans}
    if len(tempi) == 1 and (bpm := tempi.pop()) is not None:
        loop += f", {tempo.format_bpm(bpm)} BPM"
    parts = [
        f"{length} x {count_text(plan.file_format.dims, 'dim')}, {duration_text(max(lengths) * plan.frame_seconds)}",
        f"the first {len(pieces)} files" if len(pieces) < n_files else "",
        f"model {plan.sources.facts.model}" if plan.sources.facts.model else "",
        loop,
        ", ".join(step.text for step in plan.composition.steps),
    ]
    return " | ".join(filter(None, parts))


def load_decoder(sources: Sources) -> tuple["Model", argparse.Namespace]:
    """Load the model that decodes the results; return it with the flags of decoder.py to do so.

    These are those that made the sound of a piece that is made again, and options given now. Raises ModelError where
    the model does not fit.
    """
    options, dims = sources.options, sources.statistics.dims
    flags = decoder_parser().parse(["--input", ".", *options.decoder])
    flags.model, flags.sample_rate = options.model or flags.model, options.sample_rate or flags.sample_rate
    flags.trust_model, flags.overwrite = options.trust_model, options.overwrite
    model = load_model(flags)
    model.condition_values(dict(flags.condition))  # refuses unknown names
    if model.dims != dims:
        found = f"decodes {model.dims} dims, the latents have {dims}"
        remedy = f"they are of {printable(sources.facts.model or 'another one')}, give that"
        raise ModelError(found, path=model.name, remedy=remedy, remedy_options=("model",))
    return model, flags


def decode(latents: Sequence[Path], model: "Model", flags: argparse.Namespace, batch: Batch, page: bool) -> None:
    """Decode the results of a run into its folder `sound`, as decoder.py does with these flags."""
    inputs, flags.output = Inputs(), make_output_folder(latents[0].parent / SOUND)
    targets = sounds.find_targets(latents, flags.output, batch, inputs)
    sounds.decode(batch, targets, inputs, model, decoder_parser().codec_options("decoder", flags))
    if page:
        sounds.make_page(flags.output, batch, flags.overwrite)


def log_piece(plan: Plan, number: int, piece: Piece, told: set[str]) -> None:
    """Log what distributions said about the loops of a piece, each text once in a run; warn where all are equal."""
    for note in piece.notes:
        if note not in told:
            log.info("%s", printable(note))
    told.update(piece.notes)
    if number == plan.options.first + 1 and np.array_equal(piece.frames, plan.first.frames):
        log.warning("%s: nothing in it is random, the files are equal", plan.composition.label)


def log_player(file_format: Npy | LatentAudio) -> None:
    """Log what plays latent audio in Pure Data; nothing of latents files."""
    if isinstance(file_format, Npy):
        return
    dims, holds = file_format.dims, file_format.hold
    if dims > PD_CHANNELS:
        log.warning("%d channels: Pure Data's soundfiler takes at most %d", dims, PD_CHANNELS)
        return
    first = " 0.55 or newer" if file_format.subtype == "DOUBLE" else "" if holds else " 0.54 or newer"
    player = f"readsf~ {dims}" if holds else f"latent_player {dims} {file_format.compression}"
    log.info("in Pure Data%s: [%s]", first, player)


def warn_of_older_files(folder: Path, names: Collection[str]) -> None:
    """Warn of latents of an earlier run that `overwrite` left beside those of these names."""
    results = sorted(path.name for path in folder.glob("[!.]*") if path.suffix in RESULTS)
    if old := [name for name in results if name not in names]:
        files = f"{count_text(len(old), 'older file')} (such as {printable(old[0])})"
        log.warning("%s still holds %s, which this run did not write", printable(folder), files)


def log_fidelity(results: Sequence[Path], encodings: Sequence[LatentsFile]) -> None:
    """Say how true the results are to the encodings that they were made from."""
    from unravel_lib.statistics import fidelity

    try:
        compared = fidelity.compared([read_latents(path) for path in results], [file.latents for file in encodings])
        log.info("\n%s", fidelity.report(**compared))
    except UnravelError as error:  # the results are written all the same
        log.warning("--fidelity: %s", error)


def write_live_file(options: GeneratorOptions, given: Collection[str]) -> int:
    """Write one file for nn~; returns the exit code. `given` are the options that stand in the command."""
    assert options.live is not None
    if senseless := [name for name in given if name not in LIVE]:
        found, remedy = "writes one file, which draws from encodings by itself", "leave these out"
        raise UsageError(found, option="live", remedy=remedy, remedy_options=tuple(senseless))
    options.refuse_conflicts()
    check_suffix(options.live, ".ts")
    sources = Sources(options)
    try:
        refuse_overwriting(options.live, [*sources.paths, *([options.with_model] if options.with_model else [])])
        make_output_folder(options.live.parent)
    except OutputError as error:  # it speaks of a folder for results
        error.remedy, error.remedy_options = "choose another file", ("live",)
        raise
    if options.live.exists() and not options.overwrite:
        raise OutputError("is there already", path=options.live, remedy="replace it", remedy_options=("overwrite",))
    model, facts = _load_live_decoder(sources), sources.facts
    rates = sources.rates
    if model is None:
        sources.log_defaults()
    else:
        rates = Rates(facts.sample_rate or model.sample_rate, facts.compression or model.compression)
    statistics = replace(sources.statistics, frame_rate=rates.sample_rate / rates.compression)

    with signals.held_back():
        from unravel_lib.live.module import live, save

    made = live(statistics, model, sample_rate=rates.sample_rate, source_model=facts.model or "", seed=options.seed)
    save(made, options.live)
    Batch(None).wrote(options.live)
    _log_live_file(options.live, statistics, made)
    return DONE


def _load_live_decoder(sources: Sources) -> "Model | None":
    """Load the decoder that goes into a live file; raises ModelError where it is not that of the encodings."""
    options = sources.options
    if options.with_model is None:
        return None
    with signals.held_back():
        from unravel_lib.models.codec import check_fit
        from unravel_lib.models.model import load

    model = load(options.with_model, "cpu", options.trust_model, options.sample_rate)
    file, facts = sources.encodings[0], sources.facts
    if model.dims != len(file.latents) or facts.weights_sha256 not in (None, model.weights_sha256):
        found = "has other weights than the model of the encodings"  # its offline and streaming export have the same
        remedy = f"they are of {printable(facts.model or 'another one')}, give that"
        raise ModelError(found, path=model.name, remedy=remedy, remedy_options=("with_model",))
    check_fit(model, file)  # warns where the weights are not known
    if not model.behaviour("decode").carries_state:
        log.warning("%s is no streaming export: nn~ decodes buffer by buffer, without context", printable(model.name))
    return model


def _log_live_file(target: Path, statistics: Statistics, made: Any) -> None:
    """Log what is in the file, and the object that plays it."""
    from unravel_lib.live.graph import playable

    encodings = playable(statistics)
    numbered = [f"{number} {printable(one.name)}" for number, one in enumerate(encodings[:MOST_NAMED])]
    log.info("recordings: %s", ", ".join([*numbered, *(["..."] if len(encodings) > MOST_NAMED else [])]))
    size = size_text(target.stat().st_size)
    log.info("%s, %g min, %d dims, %s", count_text(len(encodings), "recording"), made.minutes, made.dims, size)
    if not len(made.ranks):
        log.info("without descriptors (encode again by encoder.py): loudness and brightness have no effect")
    log.info("in Pure Data: [nn~ %s %s]", printable(target.stem), made.get_methods()[-1])
