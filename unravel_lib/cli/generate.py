"""What generator.py does once its flags are read: learn from the inputs, tell what will come, write it."""

import argparse
import contextlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from unravel_lib.cli import failures
from unravel_lib.cli.batch import Batch
from unravel_lib.cli.progress import Progress
from unravel_lib.errors import InputError, UsageError
from unravel_lib.files.atomic import make_output_folder
from unravel_lib.files.find import find_files, refuse_endless
from unravel_lib.files.sidecar import Sidecar, read_sidecar, write_sidecar
from unravel_lib.latents.blocks import Array, Sampler
from unravel_lib.latents.latent_audio import PD_CHANNELS
from unravel_lib.music import distributions, patterns, tempo
from unravel_lib.music.composition import Composition, check_run, refuse_to_replace, run_folder
from unravel_lib.music.registry import Material
from unravel_lib.statistics.measure import measure
from unravel_lib.statistics.sources import common_facts
from unravel_lib.statistics.summary import Statistics
from unravel_lib.statistics.tables import CORRELATION_CSV, STATISTICS_CSV, read_csv, report, write_csv
from unravel_lib.text import frames_text, printable

NAMED = 12  # dims that a warning names one by one
BIG_BYTES = 1 << 26  # from here on a progress bar is worth its while

log = logging.getLogger("unravel_lib")


def _inputs(args: argparse.Namespace) -> list[Path]:
    """The files to learn from; of a folder not those that the generator made: they would count as encodings."""
    if args.statistics:
        refuse_endless(args.statistics)
        return [args.statistics]
    found = [source.path for source in find_files(args.input, [".npy"], args.output)]
    named = set(args.input)
    in_folders = [path for path in found if path not in named]
    own = {path for path in in_folders if (read_sidecar(path) or Sidecar()).options.get("script") == "generator"}
    if len(own) == len(found):
        raise InputError(
            f"{_told(args.input)} holds no .npy but results of generator.py: give `input` encodings, or one of these "
            "results by its name"
        )
    if own:
        some = "1 result" if len(own) == 1 else f"{len(own)} results"
        log.info("leaving out %s of generator.py in %s (`input` takes one by name)", some, _told(args.input))
    return [path for path in found if path not in own]


def _told(paths: list[Path]) -> str:
    return printable(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _known_facts(args: argparse.Namespace, inputs: list[Path]) -> Sidecar:
    """Model and rates: what the sidecars of the inputs agree on, else what flags say, else None.

    Raises
    ------
    UsageError
        A flag contradicts the sidecars.
    """
    facts = common_facts(inputs)
    for name, given in (("sample_rate", args.sample_rate), ("compression", args.compression)):
        stated = getattr(facts, name)
        if None not in (stated, given) and stated != given:
            raise UsageError(
                f"{name} is {stated:.10g} by the encodings' sidecars, not {given:.10g}: leave --{name} out"
            )
        facts = replace(facts, **{name: given if stated is None else stated})
    return replace(facts, source=_told([args.statistics] if args.statistics else args.input) if inputs else None)


def rates_of(args: argparse.Namespace) -> tuple[float, int]:
    """Sample rate in Hz and compression by flags, sidecars of the inputs, if any, or default."""
    inputs = _inputs(args) if args.input or args.statistics else []
    return _rates(_settled(_known_facts(args, inputs)))


def _rates(facts: Sidecar) -> tuple[float, int]:
    assert facts.sample_rate is not None and facts.compression is not None
    return facts.sample_rate, facts.compression


def _settled(facts: Sidecar) -> Sidecar:
    """The same with defaults for unknown rates, which are said."""
    if facts.sample_rate is None:
        log.info("no sidecar tells the sample rate: taking %d Hz (`sample_rate`)", tempo.DEFAULT_SAMPLE_RATE)
        facts = replace(facts, sample_rate=tempo.DEFAULT_SAMPLE_RATE)
    if facts.compression is None:
        log.info("no sidecar tells the compression: taking %d (`compression`)", tempo.DEFAULT_COMPRESSION)
        facts = replace(facts, compression=tempo.DEFAULT_COMPRESSION)
    return facts


def generate(args: argparse.Namespace) -> int:
    """Do what the flags of generator.py say; returns the exit code."""
    if args.run is not None:
        check_run(args.output, args.run, args.overwrite)
    inputs = _inputs(args)
    known = _known_facts(args, inputs)
    plan = _plan(args, inputs, known)
    make_output_folder(args.output)
    room = shutil.disk_usage(args.output).free
    material, n_frames = plan.prepared(0, room)
    _report(plan, args, n_frames, room)
    names = [plan.name(index) for index in range(args.num_files)]
    if args.run is not None:
        refuse_to_replace(args.output / args.run, [*names, STATISTICS_CSV, CORRELATION_CSV], inputs)
    folder = run_folder(args.output, args.run, args.overwrite, plan.label)
    before = _identities(folder)
    batch = Batch(folder)
    for path in write_csv(plan.statistics, folder):
        batch.wrote(path)
    source = folder / STATISTICS_CSV
    write_sidecar(source, replace(known, frames=None, seed=None, options={}))
    for index, name in enumerate(names):
        sampler = None
        with batch.attempt(folder / name):
            if index > 0:  # the first was drawn and counted above
                material, n_frames = plan.prepared(index, room)
            watched = Sampler(n_frames)
            _write(plan, material, n_frames, folder / name, plan.description(index, n_frames, source), watched)
            batch.wrote(folder / name)
            sampler = watched
        if sampler is not None and not args.no_plots:
            _draw_result(folder / name, sampler, batch)
    if not args.no_plots:
        _draw_statistics(plan, folder, batch)
    code = batch.finish()
    _tell_what_stays(folder, before)
    return code


def _identities(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells a file from another of the same name that took its place, for each file that shows in a folder."""
    found = {}
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):  # another run may be at work here
            status = path.lstat()
            found[path.name] = status.st_ino, status.st_mtime_ns
    return found


def _tell_what_stays(folder: Path, before: dict[str, tuple[int, int]]) -> None:
    """Say which files of an earlier run `overwrite` left beside the new ones."""
    now = _identities(folder)
    old = sorted(name for name, identity in before.items() if now.get(name) == identity and name != failures.NAME)
    if old:
        log.warning(
            "%s still holds %d older file%s (%s%s): this run did not make %s anew",
            printable(folder), len(old), "s" * (len(old) > 1), printable(old[0]), ", ..." * (len(old) > 1),
            "them" if len(old) > 1 else "it",
        )  # fmt: skip


def _plan(args: argparse.Namespace, inputs: list[Path], known: Sidecar) -> Composition:
    """Everything settled: pattern found and its options read, tempo turned into frames, statistics measured."""
    pattern = patterns.find(args.pattern)
    options = pattern.read_options(args.pattern_args)
    distributions.find(args.distribution)
    facts = _settled(known)
    length = tempo.frames_for_bpm(args.bpm, *_rates(facts)) if args.bpm else args.num_latents
    if length > tempo.MAX_LATENTS:
        raise UsageError(
            f"`bpm` {args.bpm:g} needs a loop of {length:,} frames, at most {tempo.MAX_LATENTS:,}: take more BPM"
        )
    statistics = read_csv(args.statistics, args.iqr) if args.statistics else measure(inputs, args.iqr)
    log.info("%s", report(statistics))
    _warn_of_frozen_dims(statistics, args)
    return Composition(
        statistics, replace(facts, dims=statistics.dims), args.distribution, pattern, options, length,
        args.num_loops, args.seed, args.embeddings, args.hold, args.wav_subtype or "DOUBLE",
    )  # fmt: skip


def _warn_of_frozen_dims(statistics: Statistics, args: argparse.Namespace) -> None:
    frozen = distributions.frozen_dims(args.distribution, statistics)
    if not frozen:
        return
    names = ", ".join(map(str, frozen[:NAMED])) + (f" and {len(frozen) - NAMED} more" if len(frozen) > NAMED else "")
    cause, way = ("`iqr`", "leave out `iqr`") if statistics.iqr else ("`distribution` iqr-uniform", "take another one")
    log.warning(
        "%s %s IQR 0 but %s: %s will stand still with %s (trim the silence, or %s)",
        *(f"dims {names}", "have", "move", "they") if len(frozen) > 1 else (f"dim {names}", "has", "moves", "it"),
        cause, way,
    )  # fmt: skip


def _report(plan: Composition, args: argparse.Namespace, n_frames: int, room: int) -> None:
    """Tell tempo, length and size before anything is written."""
    rates = plan.sample_rate, plan.compression
    beat = tempo.format_bpm(tempo.exact_bpm(plan.num_latents, *rates))
    double = tempo.double_time(plan.num_latents, *rates)
    felt = f" (double time {double})" if double != "-" else ""
    wanted = f"nearest to {args.bpm:g} BPM: " if args.bpm else ""
    log.info(
        "%sa loop of %s at %g Hz / %d is %s BPM%s",
        wanted, frames_text(plan.num_latents), *rates, beat, felt,
    )  # fmt: skip
    if not plan.pattern.steady:
        log.info("pattern %s changes its length as it goes: these tempi do not apply to it", plan.pattern.name)
    dims, size = plan.statistics.dims, plan.n_bytes(n_frames)
    log.info(
        "%d x %s: %s x %d dims, %s of sound, %s",
        args.num_files, "latents file" if args.embeddings else "latent audio", frames_text(n_frames), dims,
        _duration(n_frames * plan.compression / plan.sample_rate), _size(size),
    )  # fmt: skip
    if size * args.num_files > room:
        raise UsageError(
            f"{args.num_files} such files need {_size(size * args.num_files)}, {_size(room)} are free: take fewer "
            "`num_files` or `num_loops`, or another `output`"
        )
    if not args.embeddings and dims > PD_CHANNELS:
        log.warning("%d channels: Pure Data's soundfiler takes at most %d", dims, PD_CHANNELS)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{hours}:{minutes:02d}:{rest:02d}"


def _size(n_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024 or unit == "GiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:,.0f} {unit}" if unit == "bytes" else f"{n_bytes:,.1f} {unit}"


def _draw_statistics(plan: Composition, folder: Path, batch: Batch) -> None:
    """The pictures of the measure."""
    for kind in ("distribution", "correlation"):
        target = folder / f"{kind}.png"
        with batch.picture(target):
            from unravel_lib import plots

            draw = plots.draw_distribution if kind == "distribution" else plots.draw_correlation
            draw(target, plan.statistics)
            batch.wrote(target)


def _draw_result(path: Path, sampler: Sampler, batch: Batch) -> None:
    """The picture of a result."""
    target = path.with_suffix(".png")
    with batch.picture(target):
        from unravel_lib import plots

        plots.draw_values(target, f"{path.name}: {frames_text(sampler.n_frames)}", sampler)
        batch.wrote(target)


def _write(
    plan: Composition, material: Material, n_frames: int, path: Path, sidecar: Sidecar, sampler: Sampler
) -> None:
    """Write a result and its sidecar; the sampler sees all frames, and so does a progress bar if there are many."""
    big = plan.n_bytes(n_frames) > BIG_BYTES
    with Progress([path], lambda _: n_frames, "frames") if big else contextlib.nullcontext() as bar:

        def watch(block: Array) -> None:
            sampler(block)
            if bar is not None:
                bar.update(len(block))

        plan.write(path, material, n_frames, sidecar, watch)
