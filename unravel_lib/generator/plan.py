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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unravel_lib import tempo
from unravel_lib.audio.descriptors import NAMES
from unravel_lib.errors import InputError, UsageError, whole_number
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.latents import Frames
from unravel_lib.latents import files as latents
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


class Sources:
    """What a run is made from, as its options name it.

    Attributes
    ----------
    options : GeneratorOptions
    wishes : mapping of ranks by name of a descriptor
        How loops are to sound.
    table : Path or None
        A statistics.csv that is read instead of encodings.
    encodings : list of LatentsFile
        What is measured: the encodings, else the files of the loops; empty where there is a `table`.
    files : mapping of LatentsFile by path
        Encodings, and the files of loops and target.
    loops : list of float64 [frames, dims]
        The loops that are given.
    target : float64 [frames, dims] or None
        The latents whose course is wanted.
    files_sha256 : mapping of str by absolute path
        Hashes of the files of loops, target and wishes.
    facts : Sidecar
        The model that the latents belong to, and where they come from.

    Raises
    ------
    InputError
        A path does not exist or leads to no latents, a file is damaged, or sidecars contradict each other.
    UsageError
        An option contradicts the sidecars, or a loop has an impossible place.
    """

    def __init__(self, options: GeneratorOptions) -> None:
        self.options = options
        self.files_sha256: dict[str, str] = {}
        self.wishes = read_wishes(options.steer, self._ranks)
        self.table = options.table or options.statistics
        encodings = latents.find_encodings(options.input, options.output) if options.input and not self.table else []
        if encodings and options.only:
            names = [file.name for file in encodings]
            chosen = np.any([fitting(names, pattern, "only", pattern) for pattern in options.only], axis=0)
            encodings = [file for file, is_chosen in zip(encodings, chosen, strict=True) if is_chosen]
        self.files = {file.path: file for file in encodings}
        self.loops = self._loops(options.input_loop, "input_loop")
        self.encodings = encodings or ([] if self.table else [*self.files.values()])
        self.target = self._loops([options.target], "target")[0] if options.target else None
        self.facts = self._joined_facts()

    @property
    def paths(self) -> list[Path]:
        """All files that are read."""
        return [*([self.table] if self.table else []), *self.files, *map(Path, self.files_sha256)]

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

    def _joined_facts(self) -> Sidecar:
        """Return what the sidecars and the options say."""
        sidecars = {path: file.sidecar for path, file in self.files.items()}
        facts = latents.common_facts({self.table: read_sidecar(self.table), **sidecars} if self.table else sidecars)
        for name in Rates._fields:
            stated, given = getattr(facts, name), getattr(self.options, name)
            if None not in (stated, given) and stated != given:
                found = f"is {stated:.10g} by the encodings' sidecars, not {given:.10g}"
                raise UsageError(found, option=name, remedy="leave it out")
            facts = replace(facts, **{name: given if stated is None else stated})
        sources = [self.table] if self.table else self.options.input or [file.path for file in self.encodings]
        if not sources:
            return facts
        return replace(facts, source=latents.paths_text([Path(os.path.abspath(path)) for path in sources]))

    def _ranks(self, name: str, text: str) -> Array:
        """Read ranks over a loop from "FILE.csv:COLUMN", or those of a descriptor along another encoding (.npy)."""
        file, _, column = (text, "", "") if text.lower().endswith(".npy") else text.rpartition(":")
        path = self._named(file)
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

    def _loops(self, texts: Sequence[str], option: str) -> list[Frames]:
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
        if Path(name).suffix.lower() not in latents.EXTENSIONS:
            found, remedy = "names no latents file", latents.ENCODE
            raise UsageError(found, option=option, value=text, expected=EXPECTED, remedy=remedy)
        path = self._named(name)
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

    def _named(self, text: str) -> Path:
        """Return the path of a file that is part of a text, whose hash is recorded."""
        path = expanded(text)
        self.files_sha256[os.path.abspath(path)] = sha256_of(path)
        return path


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

    def bpm(self, n_frames: int | None) -> Fraction | None:
        """Return the tempo of loops of so many frames; None where lengths differ, or one is too long for a beat.

        That is a long loop whose beats and tempo nobody stated.
        """
        if n_frames is None:
            return None
        bpm = tempo.exact_bpm(n_frames, *self.sources.rates, self.options.beats)
        return None if bpm < tempo.SLOW and self.options.beats == 1 and not self.options.bpm else bpm

    @property
    def frame_seconds(self) -> float:
        """Seconds that a frame lasts."""
        return self.sources.rates.compression / self.sources.rates.sample_rate

    @property
    def names(self) -> dict[str, int]:
        """The names of the files with their numbers: "swapper_walk_seed42_0000.wav" and so on."""
        numbers = range(self.options.first, self.options.first + self.options.num_files)
        return {f"{self.composition.label}_{number:04d}{self.file_format.suffix}": number for number in numbers}

    def tempo_lines(self) -> Iterator[str]:
        """Say what loops are played in the first file, and at which tempo."""
        options, n_loop, n_played = self.options, self.composition.num_latents, self.first.loop_frames
        wanted = f"{options.bpm:g} BPM" if options.bpm else f"{options.seconds:g} s" if options.seconds else ""
        nearest = f"nearest to {wanted}: " if wanted else ""
        seconds = f", {n_loop * self.frame_seconds:.2f} s" if wanted.endswith(" s") else ""
        has = f", {options.beats} beats," if options.beats > 1 else ""
        rates = f"at {self.sources.rates.sample_rate:g} Hz / {self.sources.rates.compression}"
        yield f"{nearest}a loop of {frames_text(n_loop)}{seconds} {rates}{has}{self._tempo_text(n_loop)}"
        if n_played is None:
            yield "not all loops that are played have this length: the tempo does not apply to the others"
        elif n_played != n_loop:
            yield f"as it is played, a loop of {frames_text(n_played)}{self._tempo_text(n_played)}"

    def _tempo_text(self, n_frames: int) -> str:
        """Format the tempo of a loop: " is 129.20 BPM (double time 258.40)"; of a long one how it could be counted."""
        rates, bpm = self.sources.rates, self.bpm(n_frames)
        if bpm is None:
            beats = tempo.beats_in(n_frames, *rates)
            bpm = tempo.exact_bpm(n_frames, *rates, beats)
            return f": counted as {beats} beats (--beats {beats}) it has {tempo.format_bpm(bpm)} BPM"
        double = tempo.double_time(n_frames, *rates, self.options.beats)
        return f" is {tempo.format_bpm(bpm)} BPM" + (f" (double time {double})" if double != "-" else "")


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
    steps, sources = read_steps(options.transform), Sources(options)
    num_latents = _loop_length(options, sources)
    whole_number("num_latents", num_latents, tempo.MAX_LATENTS)
    statistics = sources.statistics
    for path, file in sources.files.items():  # those of loops and target
        if len(file.latents) != statistics.dims:
            found = f"has {len(file.latents)} dims, the encodings have {statistics.dims}"
            remedy = "take latents of the same model"
            raise InputError(found, path=path, remedy=remedy, remedy_options=("input_loop", "target"))
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
