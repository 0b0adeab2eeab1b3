"""The results of generator.py: prepared, refused where they are too large, described, written, drawn."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.plan import Plan
from unravel_lib.cli.progress import Progress
from unravel_lib.cli.report import size_text
from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import Sidecar, write_sidecar
from unravel_lib.latents.blocks import Frames, Sampler
from unravel_lib.latents.formats import Format, LatentAudio
from unravel_lib.music import tempo
from unravel_lib.music.composition import Composition
from unravel_lib.music.pattern import Material
from unravel_lib.music.registry import Entry
from unravel_lib.statistics.summary import Statistics
from unravel_lib.statistics.tables import CORRELATION_CSV, STATISTICS_CSV, write_csv
from unravel_lib.text import frames_text

TABLES = (STATISTICS_CSV, CORRELATION_CSV)
BIG_BYTES = 1 << 26  # a file larger than this gets a progress bar


def result_name(composition: Composition, file_format: Format, index: int) -> str:
    """Name output number `index`: "swapper_walk_seed42_0000.wav"."""
    return f"{composition.label}_{index:04d}{file_format.suffix}"


def prepare(composition: Composition, file_format: Format, index: int, free_bytes: int) -> tuple[Material, int]:
    """Draw the loops of output number `index` and count the frames of the file.

    A pattern that announces its length is refused before anything is drawn; any other runs once without writing.

    Raises
    ------
    UsageError
        No frames at all; or larger than a WAV file can be, with the remedies.
    OutputError
        More than the free bytes of the disk.
    """
    announced = composition.announced_frames()
    if announced is not None:
        refuse_size(composition, file_format, announced, free_bytes)
        return composition.material(index), announced
    material = composition.material(index)
    n_frames = composition.count_frames(material, min(file_format.max_frames, free_bytes // file_format.frame_bytes))
    refuse_size(composition, file_format, n_frames, free_bytes)
    return material, n_frames


def refuse_size(composition: Composition, file_format: Format, n_frames: int, free_bytes: int) -> None:
    """Raise where a file of `n_frames` frames is impossible: see `prepare`."""
    name, dims = result_name(composition, file_format, 0), file_format.dims
    free_frames = free_bytes // file_format.frame_bytes
    if n_frames == 0:
        raise UsageError(f"pattern {composition.pattern.name} makes no frames from this loop: check its options")
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


def refuse_total_size(num_files: int, file_bytes: int, free_bytes: int) -> None:
    """Raise UsageError where the files together are larger than the free space of the disk."""
    if num_files * file_bytes > free_bytes:
        raise UsageError(
            f"{num_files} such files need {size_text(num_files * file_bytes)}, {size_text(free_bytes)} are free: take "
            "fewer `num_files` or `num_loops`, or another `output`"
        )


def write_statistics(statistics: Statistics, folder: Path, facts: Sidecar, batch: Batch) -> Path:
    """Write the tables; return statistics.csv, which has a sidecar for runs that use it."""
    statistics_csv, correlation_csv = write_csv(statistics, folder)
    batch.wrote(statistics_csv)
    batch.wrote(correlation_csv)
    write_sidecar(statistics_csv, facts)
    return statistics_csv


def describe(plan: Plan, index: int, n_frames: int, statistics_sha256: str, command: list[str]) -> Sidecar:
    """Make the sidecar of output number `index`; `command` are the flags that make it again."""
    composition, file_format = plan.composition, plan.file_format
    pattern, distribution = composition.pattern, composition.distribution
    bpm = None if plan.loop_frames is None else tempo.exact_bpm(plan.loop_frames, *plan.rates, plan.beats)
    options: dict[str, Any] = {
        "script": "generator",
        "distribution": _name(distribution) if composition.draws else None,
        "iqr": composition.statistics.iqr,
        "pattern": _name(pattern),
        "pattern_sha256": _code_sha256(pattern),
        "pattern_args": composition.pattern_options,
        "num_latents": composition.num_latents,
        "num_loops": composition.num_loops,
        "beats": plan.beats,
        "bpm": None if bpm is None else round(float(bpm), 4),
        "file_index": index,
        "statistics_sha256": statistics_sha256,
        "command": command,
        **file_format.options,
    }
    if distribution.source is not None:
        options["distribution_sha256"] = _code_sha256(distribution)
    if composition.distribution_options:
        options["distribution_args"] = composition.distribution_options
    if composition.steps:
        options["transform"] = [step.text for step in composition.steps]
        entries = (part.transform for step in composition.steps for part in step.parts())
        own = {_name(entry): _code_sha256(entry) for entry in entries if entry.source is not None}
        options |= {"transform_sha256": own} if own else {}
    if plan.loops:
        options["input_loop"] = [loop.facts() for loop in plan.loops]
    facts = replace(plan.facts, **plan.rates._asdict())
    return replace(facts, dims=file_format.dims, frames=n_frames, seed=composition.seed, options=options)


def _name(entry: Entry) -> str:
    return entry.name if entry.source is None else f"{Path(entry.source).name}:{entry.name}"


def _code_sha256(entry: Entry) -> str | None:
    return None if entry.source is None else sha256_of(Path(entry.source))


def write_result(
    composition: Composition,
    file_format: Format,
    material: Material,
    n_frames: int,
    path: Path,
    sidecar: Sidecar,
    batch: Batch,
) -> Sampler:
    """Write a file and its sidecar, large ones with a progress bar; return frames to draw a picture of."""
    sampler = Sampler(n_frames)
    big = file_format.n_bytes(n_frames) > BIG_BYTES
    with Progress([path], lambda _: n_frames, "frames") if big else contextlib.nullcontext() as bar:

        def watch(block: Frames) -> None:
            sampler(block)
            if bar is not None:
                bar.update(len(block))

        file_format.write(path, composition.loops(material), n_frames, watch, sidecar)
    batch.wrote(path)
    return sampler


def draw_result(path: Path, sampler: Sampler, batch: Batch) -> None:
    """Draw a result over time, beside it."""
    target = path.with_suffix(".png")
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_values(target, f"{path.name}: {frames_text(sampler.n_frames)}", sampler)
        batch.wrote(target)


def draw_statistics(statistics: Statistics, folder: Path, batch: Batch) -> None:
    """Draw distribution.png and correlation.png."""
    target = folder / "distribution.png"
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_distribution(target, statistics)
        batch.wrote(target)
    target = folder / "correlation.png"
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_correlation(target, statistics)
        batch.wrote(target)
