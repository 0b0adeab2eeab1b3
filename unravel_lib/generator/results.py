"""The results of generator.py: refused where they are too large, described, drawn, and what is said of them."""

import argparse
import contextlib
import filecmp
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unravel_lib.cli.batch import Batch, load_model
from unravel_lib.cli.parser import decoder_parser
from unravel_lib.errors import ModelError, UnravelError, UsageError
from unravel_lib.files.find import sha256_of
from unravel_lib.files.output import make_output_folder
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, write_sidecar
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.generator.plan import Plan, warn_of_frozen_dims
from unravel_lib.history import script
from unravel_lib.latents.files import LatentsFile, read_latents
from unravel_lib.latents.latent_audio import PD_CHANNELS, LatentAudio
from unravel_lib.latents.npy import Npy
from unravel_lib.music import tempo
from unravel_lib.music.kinds import Entry
from unravel_lib.music.patterns import Piece
from unravel_lib.music.recordings import loudness_of
from unravel_lib.statistics.measure import Statistics
from unravel_lib.statistics.tables import TABLES, report, write_csv
from unravel_lib.text import count_text, duration_text, frames_text, printable, size_text

LARGE_BYTES = 1 << 30  # of a run, which is hours of sound: more is a slip more often than not
SOUND = "sound"  # the folder of a run with what its latents are decoded to
MAX_DRAWN = 24  # files of a run that are drawn, and LARGE_BYTES of them

if TYPE_CHECKING:
    from unravel_lib.models.model import Model

log = logging.getLogger("unravel_lib")


def log_plans(plans: Sequence[Plan], first: Sequence[Piece], free_bytes: int) -> None:
    """Log tempo, length and size of what will be written, by the first file of each plan.

    Raises
    ------
    UsageError
        A file is larger than a WAV can be, or all are larger than the free space, or than 1 GiB unless `large`.
    """
    told: dict[str, None] = {}
    n_files, total = 0, 0
    for plan, piece in zip(plans, first, strict=True):
        file_format, options, n_frames = plan.file_format, plan.options, len(piece.frames)
        seconds, n_bytes = n_frames * plan.frame_seconds, file_format.n_bytes(n_frames)
        length = f"{frames_text(n_frames)} x {file_format.dims} dims, {duration_text(seconds)} of sound"
        each = "each " if options.num_files > 1 else ""
        size = f"{options.num_files} x {file_format.noun}: {each}{length}, {size_text(n_bytes)}"
        told.update(dict.fromkeys([*plan.tempo_lines(piece), size]))
        n_files, total = n_files + options.num_files, total + options.num_files * n_bytes
    for line in told:
        log.info("%s", line)
    for plan, piece in zip(plans, first, strict=True):
        warn_of_frozen_dims(plan, piece)
    needed = f"{count_text(n_files, 'such file')} {'needs' if n_files == 1 else 'need'} {size_text(total)}"
    if total > free_bytes:
        found, remedy = f"{needed}, {size_text(free_bytes)} are free", "take fewer or shorter files, or another folder"
        raise UsageError(found, remedy=remedy, remedy_options=("num_files", "num_loops", "output"))
    if total > LARGE_BYTES and not options.large:
        remedy = "make them shorter, or say that it is intended"
        raise UsageError(needed, remedy=remedy, remedy_options=("num_latents", "num_loops", "large"))


def write_statistics(statistics: Statistics, folder: Path, facts: Sidecar) -> Path:
    """Write the tables; return statistics.csv, which has a sidecar for runs that use it."""
    tables = write_csv(statistics, folder)
    write_sidecar(tables[0], facts)
    return tables[0]


def log_statistics(statistics: Statistics, table: Path, options: GeneratorOptions) -> None:
    """Log the statistics, but those that an earlier run beside this one had too, and where they are."""
    if not options.quiet:
        before = (path for path in sorted(options.output.glob(f"*/{table.name}")) if path.parent != table.parent)
        same = next((path for path in before if _are_same(path, table)), None)
        text = report(statistics)
        log.info("%s", f"{text.splitlines()[0]}, as before: {printable(same)}" if same else text)
    log.info("%s", printable(table))


def _are_same(path: Path, table: Path) -> bool:
    """Whether the tables beside two paths have the same values."""
    with contextlib.suppress(OSError):
        return all(filecmp.cmp(path.with_name(name), table.with_name(name), shallow=False) for name in TABLES)
    return False


def describe(plan: Plan, number: int, piece: Piece, statistics_sha256: str, command: Sequence[str]) -> GeneratedSidecar:
    """Make the sidecar of output number `number`; `command` are the flags that make any of them again, in any place."""
    composition, file_format, options = plan.composition, plan.file_format, plan.options
    command = [*command, *(["--first", str(number)] if number else []), "--output", os.path.abspath(options.output)]
    command += [f"--run={options.run}"] if options.run else []
    pattern, distribution = composition.pattern, composition.distribution
    used = (pattern, distribution, *(part.transform for step in composition.steps for part in step.parts))
    facts = replace(
        plan.sources.facts,
        **plan.rates._asdict(),
        dims=file_format.dims,
        frames=len(piece.frames),
        seed=composition.seed,
    )
    bpm = plan.bpm(piece)
    return GeneratedSidecar(
        **{**vars(facts), "script": script("generator"), "command": tuple(command)},
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
        hold=file_format.hold,
    )


def _name(entry: Entry) -> str:
    return entry.name if entry.source is None else f"{Path(entry.source).name}:{entry.name}"


def is_drawn(pieces: Mapping[str, Piece | None]) -> bool:
    """Return whether one more is drawn beside these."""
    n_bytes = sum(LARGE_BYTES if piece is None else piece.frames.nbytes for piece in pieces.values())
    return len(pieces) < MAX_DRAWN and n_bytes < LARGE_BYTES


def draw_pictures(plans: Sequence[Plan], pieces: Mapping[str, Piece], n_files: int, folder: Path, batch: Batch) -> None:
    """Draw results.png, distribution.png and correlation.png of `n_files` files, of which some are given by name."""
    statistics = plans[0].composition.statistics

    def draw(target: Path) -> None:
        from unravel_lib import plots

        if target.name == "results.png":
            facts = _facts_line(plans, [*pieces.values()], n_files)
            seconds, loudness = plans[0].frame_seconds, partial(loudness_of, statistics=statistics)
            plots.draw_results(target, run_label(plans), facts, pieces, seconds, loudness=loudness)
        elif target.name == "distribution.png":
            plots.draw_distribution(target, statistics, [piece.frames for piece in pieces.values()])
        else:
            plots.draw_correlation(target, statistics)

    for name in (*(["results.png"] if pieces else []), "distribution.png", "correlation.png"):
        with batch.picture(folder / name):
            draw(folder / name)
            log.info("%s", printable(folder / name))


def decoder_flags(options: GeneratorOptions, command: Sequence[str]) -> argparse.Namespace:
    """Return the flags of decoder.py for the results: those of a command that made a sound, and options given now."""
    flags = decoder_parser().parse(["--input", ".", *command])
    flags.model, flags.trust_model, flags.overwrite = options.model, options.trust_model, options.overwrite
    flags.sample_rate = options.sample_rate or flags.sample_rate
    return flags


def load_decoder(flags: argparse.Namespace, dims: int, maker: str | None) -> "Model":
    """Load the model that decodes the results; raises ModelError where it cannot, or decodes other dims than these.

    `maker` is the name of the model that made the encodings, where it is known.
    """
    how = flags.device, flags.trust_model, flags.sample_rate, flags.precision, flags.compensate_delay
    model = load_model(flags.model, *how, one_thread=flags.jobs is not None)
    model.condition_values(dict(flags.condition))  # refuses unknown names
    if model.dims != dims:
        found = f"decodes {model.dims} dims, the latents have {dims}"
        remedy = f"they are of {printable(maker or 'another one')}, give that"
        raise ModelError(found, path=model.name, remedy=remedy, remedy_options=("model",))
    return model


def decode(latents: Sequence[Path], model: "Model", flags: argparse.Namespace, batch: Batch, page: bool) -> None:
    """Decode the results of a run into its folder `sound`, as decoder.py does with these flags."""
    from unravel_lib.cli import sounds
    from unravel_lib.latents.files import Inputs

    inputs, output = Inputs(), make_output_folder(latents[0].parent / SOUND)
    targets = sounds.find_targets(latents, output, batch, inputs)
    flags.output = output
    sounds.decode(batch, targets, inputs, model, sounds.codec_options(flags))
    if page:
        sounds.make_page(output, batch, flags.overwrite)


def run_label(plans: Sequence[Plan]) -> str:
    """Say what a run is: "swapper_walk_seed42"; of several combinations how many: "6-combinations_seed42"."""
    first = plans[0].composition
    return first.label if len(plans) == 1 else f"{len(plans)}-combinations_seed{first.seed}"


def _facts_line(plans: Sequence[Plan], pieces: Sequence[Piece], n_files: int) -> str:
    """Say in one line what results.png shows: files, length, model, loop and tempo."""
    plan = plans[0]
    longest = max(len(piece.frames) for piece in pieces)
    length = frames_text(longest)
    if any(len(piece.frames) < longest for piece in pieces):
        length = f"up to {length}"
    dims = count_text(plan.file_format.dims, "dim")
    parts = [f"{length} x {dims}, {duration_text(longest * plan.frame_seconds)}"]
    if len(pieces) < n_files:
        parts.append(f"the first {len(pieces)} files")
    if plan.sources.facts.model is not None:
        parts.append(f"model {plan.sources.facts.model}")
    loop = f"loop of {frames_text(pieces[0].loop_frames or plan.composition.num_latents)}"
    tempi = {plan.bpm(piece) for piece in pieces}
    if len(tempi) == 1 and (bpm := tempi.pop()) is not None:
        loop += f", {tempo.format_bpm(bpm)} BPM"
    steps = ", ".join(step.text for step in plan.composition.steps)
    return " | ".join([*parts, loop, *([steps] if steps else [])])


def log_notes(piece: Piece, told: set[str]) -> None:
    """Log what distributions said about the loops of a piece, each text once in a run."""
    for note in piece.notes:
        if note not in told:
            log.info("%s", printable(note))
    told.update(piece.notes)


def warn_of_equal(plan: Plan, piece: Piece, before: Piece) -> None:
    """Warn where the first two files of a run are equal, and so will be all others."""
    if np.array_equal(piece.frames, before.frames):
        own, remedy = plan.composition, ""
        if own.draws and "vary" in own.distribution.options:
            remedy = ": --distribution_args vary=0.3 makes variations"
        log.warning("%s: nothing in it is random, the files are equal%s", own.label, remedy)


def log_player(file_format: Npy | LatentAudio) -> None:
    """Log what plays latent audio in Pure Data; nothing of latents files."""
    if file_format.player:
        log.info("in %s", file_format.player)
    elif isinstance(file_format, LatentAudio):
        log.warning("%d channels: Pure Data's soundfiler takes at most %d", file_format.dims, PD_CHANNELS)


def warn_of_older_files(folder: Path, names: Collection[str]) -> None:
    """Warn of latents of an earlier run that `overwrite` left beside those of these names."""
    found = sorted(path.name for path in folder.glob("[!.]*") if path.suffix in (".npy", ".wav"))
    old = [name for name in found if name not in names]
    if old:
        files, them = (f"{len(old)} older files", "them") if len(old) > 1 else ("1 older file", "it")
        warning = "%s still holds %s (%s%s): this run did not write %s"
        log.warning(warning, printable(folder), files, printable(old[0]), ", ..." * (len(old) > 1), them)


def log_fidelity(results: Sequence[Path], encodings: Sequence[LatentsFile]) -> None:
    """Say how true the results are to the encodings that they were made from."""
    from unravel_lib.statistics import fidelity

    try:
        compared = fidelity.compared([read_latents(path) for path in results], [file.latents for file in encodings])
        log.info("\n%s", fidelity.report(**compared))
    except UnravelError as error:  # the results are written all the same
        log.warning("--fidelity: %s", error)
