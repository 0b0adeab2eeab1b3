"""The results of generator.py: made, refused where they are too large, described, drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unravel_lib.cli.batch import Batch
from unravel_lib.errors import OutputError, UsageError
from unravel_lib.files.find import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, write_sidecar
from unravel_lib.generator.plan import Plan
from unravel_lib.history import script
from unravel_lib.latents.latent_audio import LatentAudio
from unravel_lib.music import tempo
from unravel_lib.music.kinds import Entry
from unravel_lib.music.patterns import Piece
from unravel_lib.statistics.measure import Statistics
from unravel_lib.statistics.tables import write_csv
from unravel_lib.text import count_text, duration_text, frames_text, size_text

LARGE_BYTES = 1 << 30  # of a run, which is hours of sound: more is a slip more often than not
MAX_DRAWN = 24  # files of a run that are drawn, and LARGE_BYTES of them


def result_name(plan: Plan, index: int) -> str:
    """Name output number `index`: "swapper_walk_seed42_0000.wav"."""
    return f"{plan.composition.label}_{index:04d}{plan.file_format.suffix}"


def make_piece(plan: Plan, index: int, free_bytes: int) -> Piece:
    """Make the piece of output number `index`.

    Raises
    ------
    UsageError
        As `Composition.piece`; or larger than a WAV file can be.
    OutputError
        More than the free bytes of the disk.
    """
    piece = plan.composition.piece(index)
    file_format, n_frames = plan.file_format, len(piece.frames)
    name, has = result_name(plan, index), f"with {n_frames:,} frames of {plan.file_format.dims} dims"
    if isinstance(file_format, LatentAudio) and n_frames > file_format.max_frames:
        other = [*(["wav_subtype"] if file_format.subtype == "DOUBLE" else []), *(["hold"] if file_format.hold else [])]
        found, remedy = f"{has} would be larger than 4 GiB, the limit of WAV", "make it shorter, or take another format"
        flags = ("num_loops", "num_latents", "embeddings", *other)
        raise UsageError(found, path=name, remedy=remedy, remedy_options=flags)
    if file_format.n_bytes(n_frames) > free_bytes:
        found, remedy = f"{has} is larger than the space left on the disk", "make it shorter, or take another folder"
        raise OutputError(found, path=name, remedy=remedy, remedy_options=("num_loops", "num_latents", "output"))
    return piece


def refuse_total_size(num_files: int, file_bytes: int, free_bytes: int, large: bool) -> None:
    """Raise UsageError where the files together are larger than the free space, or than 1 GiB unless `large`."""
    verb = "needs" if num_files == 1 else "need"
    needed = f"{count_text(num_files, 'such file')} {verb} {size_text(num_files * file_bytes)}"
    if num_files * file_bytes > free_bytes:
        found, remedy = f"{needed}, {size_text(free_bytes)} are free", "take fewer or shorter files, or another folder"
        raise UsageError(found, remedy=remedy, remedy_options=("num_files", "num_loops", "output"))
    if num_files * file_bytes > LARGE_BYTES and not large:
        remedy = "make them shorter, or say that it is intended"
        raise UsageError(needed, remedy=remedy, remedy_options=("num_latents", "num_loops", "large"))


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
    used = (pattern, distribution, *(part.transform for step in composition.steps for part in step.parts()))
    facts = replace(
        plan.sources.facts, **plan.rates._asdict(), dims=file_format.dims, frames=n_frames, seed=composition.seed
    )
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
        beats=plan.beats,
        bpm=None if bpm is None else round(float(bpm), 4),
        file_index=index,
        statistics_sha256=statistics_sha256,
        loop_sha256=tuple(loop.sha256 for loop in plan.sources.loops),
        hold=file_format.hold if isinstance(file_format, LatentAudio) else None,
    )


def _name(entry: Entry) -> str:
    return entry.name if entry.source is None else f"{Path(entry.source).name}:{entry.name}"


def is_drawn(pieces: Mapping[str, Piece]) -> bool:
    """Return whether one more is drawn beside these."""
    return len(pieces) < MAX_DRAWN and sum(piece.frames.nbytes for piece in pieces.values()) < LARGE_BYTES


def draw_pictures(plan: Plan, pieces: Mapping[str, Piece], n_files: int, folder: Path, batch: Batch) -> None:
    """Draw results.png, distribution.png and correlation.png of `n_files` files, of which some are given by name."""
    composition, statistics = plan.composition, plan.composition.statistics
    frame_seconds = plan.rates.compression / plan.rates.sample_rate

    def draw(target: Path) -> None:
        from unravel_lib import plots

        if target.name == "results.png":
            line = _facts_line(plan, [*pieces.values()], n_files, frame_seconds)
            plots.draw_results(target, composition.label, line, pieces, frame_seconds)
        elif target.name == "distribution.png":
            plots.draw_distribution(target, statistics, [piece.frames for piece in pieces.values()])
        else:
            plots.draw_correlation(target, statistics)

    for name in (*(["results.png"] if pieces else []), "distribution.png", "correlation.png"):
        with batch.picture(folder / name):
            draw(folder / name)
            batch.wrote(folder / name)


def _facts_line(plan: Plan, pieces: Sequence[Piece], n_files: int, frame_seconds: float) -> str:
    """Say in one line what results.png shows: files, length, model, loop and tempo."""
    longest = max(len(piece.frames) for piece in pieces)
    length = frames_text(longest)
    if any(len(piece.frames) < longest for piece in pieces):
        length = f"up to {length}"
    dims = count_text(plan.file_format.dims, "dim")
    parts = [f"{length} x {dims}, {duration_text(longest * frame_seconds)}"]
    if len(pieces) < n_files:
        parts.append(f"the first {len(pieces)} files")
    if plan.sources.facts.model is not None:
        parts.append(f"model {plan.sources.facts.model}")
    loop = f"loop of {frames_text(plan.loop_frames or plan.composition.num_latents)}"
    if plan.loop_frames is not None:
        loop += f", {tempo.format_bpm(tempo.exact_bpm(plan.loop_frames, *plan.rates, plan.beats))} BPM"
    steps = ", ".join(step.text for step in plan.composition.steps)
    return " | ".join([*parts, loop, *([steps] if steps else [])])
