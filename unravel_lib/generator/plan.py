"""What a run of generator.py is made from, each file and its sidecar read once, and what it will make of that.

A loop is taken from latents by `FILE[:A:B]`, the frames A to B - 1, or seconds of them.
"""

import csv
import fnmatch
import functools
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unravel_lib import tempo
from unravel_lib.audio.descriptors import NAMES
from unravel_lib.errors import InputError, UsageError, whole_number
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.latents import Frames
from unravel_lib.latents import files as latents
from unravel_lib.latents.files import LatentsFile
from unravel_lib.latents.formats import LatentAudio, Npy
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition
from unravel_lib.music.patterns import Piece
from unravel_lib.music.steering import read_wishes
from unravel_lib.music.steps import read_steps
from unravel_lib.statistics.measure import Array, Statistics, measure
from unravel_lib.statistics.tables import read_csv
from unravel_lib.text import count_text, did_you_mean, frames_text, printable

MAX_NAMED = 12  # dims that a warning names one by one
ROUNDING = 1e-3  # of a standard deviation: what varies less is constant
PLACE = r"(?:\d+(?:\.\d+)?s|\d*)"  # a frame, a time such as 1.5s, or nothing
EXPECTED = "FILE:A:B with 0 <= A < B, in frames such as 0:16 or in seconds such as 0s:0.75s"

log = logging.getLogger("unravel_lib")


class Rates(NamedTuple):
    """Sample rate of the model in Hz, and audio samples per frame."""

    sample_rate: float
    compression: int


@dataclass(frozen=True, eq=False)
class Sources:
    """What a run is made from.

    Attributes
    ----------
    options : GeneratorOptions
    encodings : list of LatentsFile
        What is measured: the encodings, else the files of the loops; empty where there is a `table`.
    table : Path or None
        A statistics.csv that is read instead.
    loops : list of float64 [frames, dims]
        The loops that are given.
    target : float64 [frames, dims] or None
        The latents whose course is wanted.
    wishes : mapping of ranks by name of a descriptor
        How loops are to sound.
    facts : Sidecar
        The model that the latents belong to, and where they come from.
    files_sha256 : mapping of str by absolute path
        Hashes of the files of loops, target and wishes.
    """

    options: GeneratorOptions
    encodings: list[LatentsFile]
    table: Path | None
    loops: list[Frames]
    target: Frames | None
    wishes: Mapping[str, Array]
    facts: Sidecar
    files_sha256: Mapping[str, str]

    @property
    def paths(self) -> list[Path]:
        """All files that are read."""
        table = [] if self.table is None else [self.table]
        return [*table, *(file.path for file in self.encodings), *map(Path, self.files_sha256)]

    @functools.cached_property
    def statistics(self) -> Statistics:
        """The statistics, read from the table or measured, with the weights of the recordings."""
        if self.table is not None:
            return read_csv(self.table, self.options.iqr)
        counts = weights([file.name for file in self.encodings], self.options.weight)
        statistics = measure(self.encodings, self.options.iqr)
        weighted = (replace(one, weight=n) for one, n in zip(statistics.encodings, counts, strict=True))
        return replace(statistics, encodings=tuple(weighted))

    @property
    def rates(self) -> Rates:
        """The rates that are known, and defaults for those that are not."""
        return Rates(
            self.facts.sample_rate or tempo.DEFAULT_SAMPLE_RATE, self.facts.compression or tempo.DEFAULT_COMPRESSION
        )

    def log_defaults(self) -> None:
        """Log the rates that nothing states."""
        for name, value in self.rates._asdict().items():
            if getattr(self.facts, name) is None:
                log.info("no sidecar states --%s: taking %g", name, value)


def read_sources(options: GeneratorOptions) -> Sources:
    """Read what the options name.

    Raises
    ------
    InputError
        A path does not exist or leads to no latents, a file is damaged, or sidecars contradict each other.
    UsageError
        An option contradicts the sidecars, or a loop has an impossible place.
    """
    named = NamedFiles(options)
    wishes = read_wishes(options.steer, named.ranks)
    table = options.former.table if options.former and options.former.table else options.statistics
    encodings = latents.find_encodings(options.input, options.output) if options.input and table is None else []
    if encodings and options.only:
        names = [file.name for file in encodings]
        chosen = np.any([fitting(names, pattern, "only", pattern) for pattern in options.only], axis=0)
        encodings = [file for file, is_chosen in zip(encodings, chosen, strict=True) if is_chosen]
    named.files.update((file.path, file) for file in encodings)
    loops = named.loops(options.input_loop, "input_loop")
    measured = encodings or ([] if table else list(named.files.values()))
    target = named.loops([options.target], "target")[0] if options.target else None
    sidecars = {path: file.sidecar for path, file in named.files.items()}
    facts = latents.common_facts(sidecars if table is None else {table: read_sidecar(table), **sidecars})
    joined: dict[str, Any] = {}
    for name in ("sample_rate", "compression"):
        stated, given = getattr(facts, name), getattr(options, name)
        if None not in (stated, given) and stated != given:
            found = f"is {stated:.10g} by the encodings' sidecars, not {given:.10g}"
            raise UsageError(found, option=name, remedy="leave it out")
        joined[name] = given if stated is None else stated
    sources = [table] if table else options.input or [file.path for file in measured]
    if sources:
        joined["source"] = latents.paths_text([Path(os.path.abspath(path)) for path in sources])
    hashes = {os.path.abspath(path): sha256_of(path) for path in named.paths}
    return Sources(options, measured, table, loops, target, wishes, replace(facts, **joined), hashes)


def expanded(text: str) -> Path:
    """Return a path that is part of a text; "~" is the home folder."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  which leaves unknown users as they are


def fitting(names: Sequence[str], pattern: str, option: str, value: str) -> list[bool]:
    """Return which names fit a pattern such as loop_*; raises UsageError where none does."""
    fits = [fnmatch.fnmatchcase(name, pattern) for name in names]
    if not any(fits):
        close = did_you_mean(pattern, sorted(set(names)))
        expected = f"a name such as {printable(min(names))}, or a part of one with *{printable(close)}"
        found = f"fits none of {count_text(len(set(names)), 'recording')}"
        raise UsageError(found, option=option, value=value, expected=expected)
    return fits


def weights(names: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return how much each recording counts, by texts such as "tabla*=3"; the last that fits holds."""
    found = np.ones(len(names))
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name or not re.fullmatch(r"\d*\.?\d+", value):
            raise UsageError("is no weight", option="weight", value=text, expected="NAME=N, such as 'tabla*=3'")
        found[fitting(names, name, "weight", text)] = float(value)
    if not found.any():
        raise UsageError("leaves nothing, as every recording weighs 0", option="weight")
    return list(found)


class NamedFiles:
    """The files that options name beside encodings, of loops, target and wishes: each is read once."""

    def __init__(self, options: GeneratorOptions) -> None:
        self.options = options
        self.files: dict[Path, LatentsFile] = {}
        self.paths: list[Path] = []

    def ranks(self, name: str, text: str) -> Array:
        """Read ranks over a loop from "FILE.csv:COLUMN", or those of a descriptor along another encoding (.npy)."""
        file, _, column = (text, "", "") if text.lower().endswith(".npy") else text.rpartition(":")
        path = expanded(file)
        self.paths.append(path)
        if not column:
            descriptors = latents.Inputs().read(path).descriptors
            if descriptors is None:
                raise InputError("has no descriptors", path=path, remedy="encode the recording again with encoder.py")
            values = descriptors[NAMES.index(name)]
            ranks: Array = np.searchsorted(np.sort(values), values) / max(1, len(values) - 1)
            return ranks
        with open_input(path) as opened:
            rows = list(csv.DictReader(io.TextIOWrapper(opened, "utf-8", "replace")))
        if not rows or column not in rows[0]:
            has = f"it has {', '.join(map(printable, filter(None, rows[0])))}" if rows else "it is empty"
            raise InputError(f"has no column {printable(column)}", path=path, remedy=has, remedy_options=("steer",))
        return np.array([float(row[column] or "nan") for row in rows])

    def loops(self, texts: Sequence[str], option: str) -> list[Frames]:
        """Read loops, FILE[:A:B], all of one shape.

        Places in seconds, such as 1.5s, are of the model's rates: those in the sidecar, else those given, else the
        usual.
        """
        loops = [self._loop(text, option) for text in texts]
        for loop in loops:
            if loop.shape != loops[0].shape:
                has, other = ("{} frames x {} dims".format(*one.shape) for one in (loops[0], loop))
                found = f"gives one loop {has}, another {other}"
                raise UsageError(found, option=option, remedy="take as many frames of the same model")
        return loops

    def _loop(self, text: str, option: str) -> Frames:
        place = None if Path(text).exists() else re.fullmatch(rf"(.+?):({PLACE}):({PLACE})", text, re.DOTALL)
        name, first, end = place.groups() if place else (text, "", "")
        path = expanded(name)
        if path.suffix.lower() not in latents.EXTENSIONS:
            found, remedy = "names no latents file", latents.ENCODE
            raise UsageError(found, option=option, value=text, expected=EXPECTED, remedy=remedy)
        self.paths.append(path)
        if path not in self.files:
            self.files[path] = latents.Inputs().read(path, self.options.compression)
        file = self.files[path]
        facts = file.sidecar or Sidecar()
        rate = Fraction(facts.sample_rate or self.options.sample_rate or tempo.DEFAULT_SAMPLE_RATE)
        rate /= facts.compression or self.options.compression or tempo.DEFAULT_COMPRESSION
        has = file.latents.shape[1]
        begin, stop = _frame(first, rate, 0), _frame(end, rate, has)
        if not begin < stop <= has:
            found = f"is outside of {printable(path)}, which has {frames_text(has)}, {float(has / rate):.2f} s"
            raise InputError(found, option=option, value=text, expected=EXPECTED)
        return np.ascontiguousarray(file.latents[:, begin:stop].T, np.float64)


def _frame(place: str, rate: Fraction, default: int) -> int:
    """Read a place in a file of `rate` frames a second as the number of a frame."""
    if place.endswith("s"):
        return round(Fraction(place[:-1]) * rate)
    return int(place) if place else default


@dataclass(frozen=True, eq=False)
class Plan:
    """The files of one pattern and one distribution.

    Attributes
    ----------
    options : GeneratorOptions
        What is asked for, with one pattern and one distribution.
    composition : Composition
    file_format : Npy or LatentAudio
        What the results are written as.
    sources : Sources
        What it is made from.
    """

    options: GeneratorOptions
    composition: Composition
    file_format: Npy | LatentAudio
    sources: Sources

    @functools.cached_property
    def first(self) -> Piece:
        """The piece of the first file."""
        return self.composition.piece(self.options.first)

    def piece(self, number: int) -> Piece:
        """Return the piece of any file."""
        return self.first if number == self.options.first else self.composition.piece(number)

    def bpm(self, piece: Piece) -> Fraction | None:
        """Return the tempo of the loops of a piece; None where lengths differ, or a loop is too long for a beat."""
        n_frames = piece.loop_frames
        return None if n_frames is None or self._is_phrase(n_frames) else self._bpm(n_frames)

    @property
    def frame_seconds(self) -> float:
        """Seconds that a frame lasts."""
        return self.sources.rates.compression / self.sources.rates.sample_rate

    @property
    def names(self) -> dict[str, int]:
        """The names of the files with their numbers: "swapper_walk_seed42_0000.wav" and so on."""
        numbers = range(self.options.first, self.options.first + self.options.num_files)
        return {f"{self.composition.label}_{number:04d}{self.file_format.suffix}": number for number in numbers}

    def _bpm(self, n_frames: int) -> Fraction:
        return tempo.exact_bpm(n_frames, *self.sources.rates, self.options.beats)

    def _is_phrase(self, n_frames: int) -> bool:
        """Whether a loop whose beats and tempo nobody stated is too long to be one beat."""
        return self.options.beats == 1 and not self.options.bpm and self._bpm(n_frames) < tempo.SLOW

    def tempo_lines(self) -> Iterator[str]:
        """Say what loops are played in the first file, and at which tempo."""
        options, n_loop, n_played = self.options, self.composition.num_latents, self.first.loop_frames
        wanted = f"{options.bpm:g} BPM" if options.bpm else f"{options.seconds:g} s" if options.seconds else ""
        nearest = f"nearest to {wanted}: " if wanted else ""
        seconds = f", {n_loop * self.frame_seconds:.2f} s" if wanted.endswith(" s") else ""
        has = f", {options.beats} beats," if options.beats > 1 else ""
        rates = f"at {self.sources.rates.sample_rate:g} Hz / {self.sources.rates.compression}"
        loop = f"{nearest}a loop of {frames_text(n_loop)}{seconds} {rates}{has}"
        yield f"{loop}{':' if self._is_phrase(n_loop) else ' is'} {self._tempo_text(n_loop)}"
        if n_played is None:
            yield "not all loops that are played have this length: the tempo does not apply to the others"
        elif n_played != n_loop:
            yield f"each loop is played with {frames_text(n_played)}: {self._tempo_text(n_played)}"

    def _tempo_text(self, n_frames: int) -> str:
        """Format the tempo of a loop: "129.20 BPM (double time 258.40)"; of a long one how it could be counted."""
        if self._is_phrase(n_frames):
            beats = tempo.beats_in(n_frames, *self.sources.rates)
            bpm = tempo.format_bpm(beats * self._bpm(n_frames))
            return f"counted as {beats} beats (--beats {beats}) it has {bpm} BPM"
        double = tempo.double_time(n_frames, *self.sources.rates, self.options.beats)
        return f"{tempo.format_bpm(self._bpm(n_frames))} BPM" + (f" (double time {double})" if double != "-" else "")


def make_plans(options: GeneratorOptions) -> list[Plan]:
    """Read the flags, measure the sources, try the steps; nothing is drawn or written.

    Raises
    ------
    UsageError
        A name or an argument is wrong, or flags do not fit each other.
    InputError
        A source cannot be read, or sources do not fit each other.
    """
    chosen = []
    for one in options.combinations():
        pattern, distribution = PATTERNS.find(one.pattern), DISTRIBUTIONS.find(one.distribution)
        of_pattern, drawn_by = pattern.read_options(one.pattern_args), distribution.read_options(one.distribution_args)
        chosen.append((one, (distribution, drawn_by, pattern, of_pattern)))
    steps, sources = read_steps(options.transform), read_sources(options)
    num_latents = _loop_length(options, sources)
    whole_number("num_latents", num_latents, tempo.MAX_LATENTS)
    statistics = sources.statistics
    for loop in [*sources.loops, *([] if sources.target is None else [sources.target])]:
        if loop.shape[1] != statistics.dims:
            found = f"the loop or the target has {loop.shape[1]} dims, the encodings have {statistics.dims}"
            raise UsageError(found, remedy="take latents of the same model", remedy_options=("input_loop", "target"))
    file_format: Npy | LatentAudio = Npy(statistics.dims)
    if not options.embeddings:  # 32 bits with hold, for programs that may not read 64
        subtype = options.wav_subtype or ("FLOAT" if options.hold else "DOUBLE")
        file_format = LatentAudio(statistics.dims, *sources.rates, subtype, options.hold)
    plans = []
    for one, choice in chosen:
        composition = Composition(
            statistics,
            *choice,
            num_latents,
            options.num_loops,
            options.seed,
            steps,
            tuple(sources.loops),
            in_time=bool(options.bpm or options.seconds or options.beats > 1),
            wishes=sources.wishes,
            target=sources.target,
        )
        _warn(options, composition)
        plans.append(Plan(one, composition, file_format, sources))
    if len({plan.composition.label for plan in plans}) < len(plans):
        found, one_by_one = "or the distributions have equal names", "use them in separate runs"
        raise UsageError(found, option="pattern", value=options.pattern, remedy=one_by_one)
    return plans


def _warn(options: GeneratorOptions, composition: Composition) -> None:
    """Warn of options that change nothing."""
    own = composition.distribution
    if options.weight and own.source is None and "place" not in own.inputs:
        log.warning("--weight changes nothing: distribution %s does not follow single recordings", own.name)
    if not composition.draws and options.distribution != "normal":
        log.warning("--distribution changes nothing: --input_loop gives every loop")


def warn_of_frozen_dims(plan: Plan) -> None:
    """Warn of dims that vary in the encodings, but have IQR 0, and are constant in what is drawn."""
    statistics = plan.composition.statistics
    constant = np.ptp(plan.first.frames, axis=0) <= ROUNDING * statistics.std
    frozen = np.flatnonzero(constant & (statistics.robust_std == 0) & (statistics.std > 0)).tolist()
    if frozen and plan.composition.draws:
        names = ", ".join([*map(str, frozen[:MAX_NAMED])] + ["..."] * (len(frozen) > MAX_NAMED))
        text = "dims that vary in the encodings, with an IQR of 0, are constant in what distribution %s draws: %s (%s)"
        spreads_by_iqr = statistics.iqr and "recordings" not in plan.composition.distribution.inputs
        remedy = "trim the silence, or try another distribution" + (", or without --iqr" if spreads_by_iqr else "")
        log.warning(text, plan.composition.distribution.name, names, remedy)


def _loop_length(options: GeneratorOptions, sources: Sources) -> int:
    if sources.loops:
        return len(sources.loops[0])
    if options.bpm:
        return tempo.frames_for_bpm(options.bpm, *sources.rates, options.beats)
    if options.seconds:
        return tempo.frames_for_seconds(options.seconds, *sources.rates)
    usual = tempo.default_frames(sources.rates.compression) if sources.target is None else len(sources.target)
    return options.num_latents or usual
