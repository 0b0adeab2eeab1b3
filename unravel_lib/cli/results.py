"""The results of generator.py: prepared, refused where they are too large, described, written, drawn."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.plan import Plan
from unravel_lib.cli.progress import Progress
from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, write_sidecar
from unravel_lib.history.commands import script
from unravel_lib.latents.blocks import Frames
from unravel_lib.latents.formats import Format, LatentAudio
from unravel_lib.latents.overview import Overview
from unravel_lib.music import tempo
from unravel_lib.music.composition import Composition, Piece
from unravel_lib.music.kinds import Entry
from unravel_lib.statistics.measure import Statistics
from unravel_lib.statistics.tables import write_csv
from unravel_lib.text import count_text, duration_text, frames_text, size_text

LARGE_BYTES = 1 << 30  # of a run, which is hours of sound: more is a slip more often than not
BIG_BYTES = 1 << 26  # a file larger than this gets a progress bar
MAX_DRAWN = 24  # files of a run that are drawn


def result_name(composition: Composition, file_format: Format, index: int) -> str:
    """Name output number `index`: "swapper_walk_seed42_0000.wav"."""
    return f"{composition.label}_{index:04d}{file_format.suffix}"


def prepare(composition: Composition, file_format: Format, index: int, free_bytes: int) -> Piece:
    """Make the piece of output number `index`.

    Raises
    ------
    UsageError
        As `Composition.piece`; or larger than a WAV file can be, with the remedies.
    OutputError
        More than the free bytes of the disk.
    """
    piece = composition.piece(index)
    refuse_size(composition, file_format, len(piece.frames), free_bytes)
    return piece


def refuse_size(composition: Composition, file_format: Format, n_frames: int, free_bytes: int) -> None:
    """Raise where a file of `n_frames` frames is impossible: see `prepare`."""
    name, dims = result_name(composition, file_format, 0), file_format.dims
    free_frames = free_bytes // file_format.frame_bytes
    if isinstance(file_format, LatentAudio) and n_frames > file_format.max_frames:
        remedies = ["fewer `num_loops` or `num_latents`", "`embeddings`"]
        remedies += ["`wav_subtype` FLOAT"] if file_format.subtype == "DOUBLE" else []
        remedies += ["no `hold`"] if file_format.hold else []
        raise UsageError(
            f"{name} with more than {file_format.max_frames:,} frames of {dims} dims would be larger than 4 GiB, the "
            f"limit of WAV: take {' or '.join(remedies)}"
        )
    if n_frames > free_frames:
        raise OutputError(
            f"{name} with more than {free_frames:,} frames of {dims} dims is larger than the space left on the "
            "disk: take fewer `num_loops` or `num_latents`, or another `output`"
        )


def refuse_total_size(num_files: int, file_bytes: int, free_bytes: int, large: bool) -> None:
    """Raise UsageError where the files together are larger than the free space, or than 1 GiB unless `large`."""
    needed = (
        f"{count_text(num_files, 'such file')} need{'s' if num_files == 1 else ''} {size_text(num_files * file_bytes)}"
    )
    if num_files * file_bytes > free_bytes:
        raise UsageError(
            f"{needed}, {size_text(free_bytes)} are free: take fewer `num_files` or `num_loops`, or another `output`"
        )
    if num_files * file_bytes > LARGE_BYTES and not large:
        raise UsageError(f"{needed}: is that intended? Then add `large`; else take a shorter loop or fewer `num_loops`")


def write_statistics(statistics: Statistics, folder: Path, facts: Sidecar, batch: Batch) -> Path:
    """Write the tables; return statistics.csv, which has a sidecar for runs that use it."""
    tables = write_csv(statistics, folder)
    for path in tables:
        batch.wrote(path)
    write_sidecar(tables[0], facts)
    return tables[0]


def describe(plan: Plan, index: int, n_frames: int, statistics_sha256: str, command: Sequence[str]) -> GeneratedSidecar:
    """Make the sidecar of output number `index`; `command` are the flags that make it again."""
    composition, file_format = plan.composition, plan.file_format
    pattern, distribution = composition.pattern, composition.distribution
    bpm = None if plan.loop_frames is None else tempo.exact_bpm(plan.loop_frames, *plan.rates, plan.beats)
    transforms = (part.transform for step in composition.steps for part in step.parts())
    facts = replace(
        plan.sources.facts, **plan.rates._asdict(), dims=file_format.dims, frames=n_frames, seed=composition.seed
    )
    return GeneratedSidecar(
        **{**vars(facts), "script": script("generator"), "command": tuple(command)},
        distribution=_name(distribution) if composition.draws else None,
        distribution_args=composition.distribution_options,
        distribution_sha256=_code_sha256(distribution),
        iqr=composition.statistics.iqr,
        pattern=_name(pattern),
        pattern_args=composition.pattern_options,
        pattern_sha256=_code_sha256(pattern),
        transform=tuple(step.text for step in composition.steps),
        transform_sha256={_name(one): sha256_of(Path(one.source)) for one in transforms if one.source is not None},
        num_latents=composition.num_latents,
        num_loops=composition.num_loops,
        beats=plan.beats,
        bpm=None if bpm is None else round(float(bpm), 4),
        file_index=index,
        statistics_sha256=statistics_sha256,
        input_loop=tuple(loop.facts for loop in plan.sources.loops),
        **file_format.options,
    )


def _name(entry: Entry) -> str:
    return entry.name if entry.source is None else f"{Path(entry.source).name}:{entry.name}"


def _code_sha256(entry: Entry) -> str | None:
    return None if entry.source is None else sha256_of(Path(entry.source))


def write_result(
    file_format: Format,
    piece: Piece,
    path: Path,
    sidecar: Sidecar,
    batch: Batch,
) -> Overview:
    """Write a file and its sidecar, large ones with a progress bar; return what pictures show of it."""
    n_frames = len(piece.frames)
    overview = Overview(n_frames, file_format.dims)
    big = file_format.n_bytes(n_frames) > BIG_BYTES
    with Progress([path], lambda _: n_frames, "frames") if big else contextlib.nullcontext() as bar:

        def watch(block: Frames) -> None:
            overview(block)
            if bar is not None:
                bar.update(len(block))

        file_format.write(path, overview.follow(np.split(piece.frames, piece.starts[1:])), n_frames, watch, sidecar)
    batch.wrote(path)
    return overview


def draw_pictures(plan: Plan, overviews: Mapping[str, Overview], folder: Path, batch: Batch) -> None:
    """Draw results.png, distribution.png and correlation.png; `overviews` are those of the first files, by name."""
    statistics = plan.composition.statistics
    if overviews:
        target = folder / "results.png"
        with batch.picture(target):
            from unravel_lib import plots

            frame_seconds = plan.rates.compression / plan.rates.sample_rate
            line = _facts_line(plan, [*overviews.values()], frame_seconds)
            plots.draw_results(target, plan.composition.label, line, overviews, frame_seconds)
            batch.wrote(target)
    target = folder / "distribution.png"
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_distribution(target, statistics, [*overviews.values()])
        batch.wrote(target)
    target = folder / "correlation.png"
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_correlation(target, statistics)
        batch.wrote(target)


def _facts_line(plan: Plan, overviews: Sequence[Overview], frame_seconds: float) -> str:
    """Say in one line what results.png shows: files, length, model, loop and tempo."""
    longest = max(one.n_frames for one in overviews)
    length = frames_text(longest)
    if any(one.n_frames < longest for one in overviews):
        length = f"up to {length}"
    dims = count_text(overviews[0].dims, "dim")
    parts = [f"{length} x {dims}, {duration_text(longest * frame_seconds)}"]
    if len(overviews) == MAX_DRAWN:
        parts.append(f"the first {MAX_DRAWN} files")
    if plan.sources.facts.model is not None:
        parts.append(f"model {plan.sources.facts.model}")
    loop = f"loop of {frames_text(plan.loop_frames or plan.composition.num_latents)}"
    if plan.loop_frames is not None:
        loop += f", {tempo.format_bpm(tempo.exact_bpm(plan.loop_frames, *plan.rates, plan.beats))} BPM"
    steps = ", ".join(step.text for step in plan.composition.steps)
    return " | ".join([*parts, loop, *([steps] if steps else [])])
