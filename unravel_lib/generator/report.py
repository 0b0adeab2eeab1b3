"""What generator.py says: lists on stdout; on stderr tempo, length and size before it writes, and warnings after."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unravel_lib.cli import failures
from unravel_lib.errors import UnravelError
from unravel_lib.files.folders import Identities, unchanged
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.latents.files import LatentsFile, read_latents
from unravel_lib.latents.latent_audio import PD_CHANNELS, LatentAudio
from unravel_lib.latents.npy import Npy
from unravel_lib.music import tempo
from unravel_lib.music.kinds import Distribution
from unravel_lib.music.patterns import Piece
from unravel_lib.statistics.measure import Statistics
from unravel_lib.text import duration_text, frames_text, printable, size_text

if TYPE_CHECKING:
    from unravel_lib.generator.plan import Plan

MAX_NAMED = 12  # dims that a warning names one by one

log = logging.getLogger("unravel_lib")


def log_plan(plan: "Plan", n_frames: int, options: GeneratorOptions) -> None:
    """Log tempo, length and size of the results before anything is written."""
    wanted = f"{options.bpm:g} BPM" if options.bpm else f"{options.seconds:g} s" if options.seconds else ""
    n_loop = plan.composition.num_latents
    nearest = f"nearest to {wanted}: " if wanted else ""
    seconds = f", {float(n_loop / plan.rates.frame_rate):.2f} s" if wanted.endswith(" s") else ""
    has = f", {plan.beats} beats," if plan.beats > 1 else ""
    loop = f"{nearest}a loop of {frames_text(n_loop)}{seconds}"
    rates = f"at {plan.rates.sample_rate:g} Hz / {plan.rates.compression}"
    if plan.composition.pattern.steady:
        log.info("%s %s%s is %s", loop, rates, has, tempo_text(plan, n_loop))
    else:
        log.info("%s %s; pattern %s changes lengths, so it has no tempo", loop, rates, plan.composition.pattern.name)
    if plan.composition.pattern.steady and plan.loop_frames is None:
        log.info("the transforms change the length of some loops: this tempo does not apply to them")
    elif plan.loop_frames not in (None, n_loop):
        log.info(
            "the transforms make each loop %s: %s", frames_text(plan.loop_frames), tempo_text(plan, plan.loop_frames)
        )
    sample_rate, compression = plan.rates
    log_size(plan.file_format, options.num_files, n_frames, n_frames * compression / sample_rate)


def log_notes(piece: Piece, told: set[str]) -> None:
    """Log what distributions said about the loops of a piece, each text once in a run."""
    for note in piece.notes:
        if note not in told:
            log.info("%s", printable(note))
    told.update(piece.notes)


def tempo_text(plan: "Plan", n_frames: int) -> str:
    """Format the tempo of a loop: "129.20 BPM (double time 258.40)"."""
    beat = tempo.format_bpm(tempo.exact_bpm(n_frames, *plan.rates, plan.beats))
    double = tempo.double_time(n_frames, *plan.rates, plan.beats)
    return f"{beat} BPM" + (f" (double time {double})" if double != "-" else "")


def log_size(file_format: Npy | LatentAudio, num_files: int, n_frames: int, seconds: float) -> None:
    """Log number, length and size of the files; warn of more channels than Pure Data reads."""
    length = f"{frames_text(n_frames)} x {file_format.dims} dims, {duration_text(seconds)} of sound"
    log.info("%d x %s: %s, %s", num_files, file_format.noun, length, size_text(file_format.n_bytes(n_frames)))
    if isinstance(file_format, LatentAudio) and file_format.dims > PD_CHANNELS:
        log.warning("%d channels: Pure Data's soundfiler takes at most %d", file_format.dims, PD_CHANNELS)


def log_player(file_format: Npy | LatentAudio) -> None:
    """Log the object that plays latent audio in Pure Data; nothing where there is none."""
    if not isinstance(file_format, LatentAudio) or file_format.dims > PD_CHANNELS:
        return
    first = "0.55" if file_format.subtype == "DOUBLE" else None if file_format.hold else "0.54"
    pure_data = f"Pure Data {first} or newer" if first else "Pure Data"
    dims, compression = file_format.dims, file_format.compression
    player = f"readsf~ {dims}" if file_format.hold else f"latent_player {dims} {compression}"
    log.info("in %s: [%s]", pure_data, player)


def warn_of_frozen_dims(distribution: Distribution, statistics: Statistics) -> None:
    """Warn of dims that vary in the encodings and will be constant in what is drawn."""
    frozen = distribution.frozen_dims(statistics)
    if not frozen:
        return
    names = ", ".join(map(str, frozen[:MAX_NAMED]))
    names += f" and {len(frozen) - MAX_NAMED} more" if len(frozen) > MAX_NAMED else ""
    what = f"dims {names} have IQR 0 but vary: they" if len(frozen) > 1 else f"dim {names} has IQR 0 but varies: it"
    cause, remedy = "--iqr", "leave out --iqr"
    if not statistics.iqr:
        cause, remedy = f"distribution {distribution.name}", "take another one"
    log.warning("%s will be constant with %s (trim the silence, or %s)", what, cause, remedy)


def warn_of_older_files(folder: Path, before: Identities) -> None:
    """Warn of files of an earlier run that `overwrite` left beside the new ones."""
    old = [name for name in unchanged(folder, before) if name != failures.NAME]
    if not old:
        return
    several = len(old) > 1
    files = f"{len(old)} older files ({printable(old[0])}, ...)" if several else f"1 older file ({printable(old[0])})"
    which = "them" if several else "it"
    log.warning("%s still holds %s: this run did not write %s", printable(folder), files, which)


def log_fidelity(results: Sequence[Path], encodings: Sequence[LatentsFile]) -> None:
    """Say how true the results are to the encodings that they were made from."""
    from unravel_lib.statistics import fidelity

    try:
        compared = fidelity.compared([read_latents(path) for path in results], [file.latents for file in encodings])
        log.info("\n%s", fidelity.report(**compared))
    except UnravelError as error:  # the results are written all the same
        log.warning("--fidelity: %s", error)


LISTS = ("list_distributions", "list_patterns", "list_transforms", "tempo_table")


def show_lists(asked: Collection[str], options: GeneratorOptions) -> None:
    """Print those of LISTS that are asked for, each with what the user's own file has."""
    from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS, TRANSFORMS
    from unravel_lib.music.steps import split_words

    files = [word for step in options.transform for word in split_words(step) if ".py" in word]
    for title, registry, chosen in (
        ("distributions", DISTRIBUTIONS, options.distribution),
        ("patterns", PATTERNS, options.pattern),
        ("transforms", TRANSFORMS, files[0] if files else ""),
    ):
        if f"list_{title}" in asked:
            entries = registry.listing(chosen)
            width = max(len(name) for name, _ in entries)
            lines = (f"  {name:<{width}}  {text}".replace("`iqr`", "--iqr") for name, text in entries)
            print(f"{title}:", *lines, sep="\n")
    if "tempo_table" in asked:
        from unravel_lib.generator.sources import read_sources

        print(tempo.table(*read_sources(replace(options, input_loop=[])).rates(), options.beats))
