"""What a run of generator.py will make: its flags and sources read as compositions, before anything is drawn."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from unravel_lib.errors import InputError, UsageError
from unravel_lib.generator.flags import DISTRIBUTION, GeneratorOptions
from unravel_lib.generator.sources import InputLoop, Rates, Sources, read_ranks, read_sources, weights
from unravel_lib.latents.latent_audio import LatentAudio, Subtype
from unravel_lib.latents.npy import Npy
from unravel_lib.music import tempo
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition
from unravel_lib.music.patterns import Piece, loops_taken
from unravel_lib.music.steering import read_wishes
from unravel_lib.music.steps import parse_step
from unravel_lib.statistics import measure, tables
from unravel_lib.text import frames_text

if TYPE_CHECKING:
    from unravel_lib.statistics.measure import Statistics

MAX_NAMED = 12  # dims that a warning names one by one
ROUNDING = 1e-6  # of a standard deviation

log = logging.getLogger("unravel_lib")


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
    rates : Rates
        Of the model.
    """

    options: GeneratorOptions
    composition: Composition
    file_format: Npy | LatentAudio
    sources: Sources
    rates: Rates

    def bpm(self, piece: Piece) -> Fraction | None:
        """Return the tempo of the loops of a piece; None where lengths differ, or a loop is too long for a beat."""
        n_frames = piece.loop_frames
        return None if n_frames is None or self._is_phrase(n_frames) else self._bpm(n_frames)

    @property
    def frame_seconds(self) -> float:
        """Seconds that a frame lasts."""
        return self.rates.compression / self.rates.sample_rate

    def _bpm(self, n_frames: int) -> Fraction:
        return tempo.exact_bpm(n_frames, *self.rates, self.options.beats)

    def _is_phrase(self, n_frames: int) -> bool:
        """Whether a loop whose beats and tempo nobody stated is too long to be one beat."""
        options = self.options
        return options.beats == 1 and not options.bpm and self._bpm(n_frames) < tempo.SLOW

    @property
    def names(self) -> list[str]:
        """The names of the files: "swapper_walk_seed42_0000.wav" and so on."""
        numbers = range(self.options.first, self.options.first + self.options.num_files)
        return [f"{self.composition.label}_{number:04d}{self.file_format.suffix}" for number in numbers]

    def tempo_lines(self, piece: Piece) -> Iterator[str]:
        """Say what loops are played in a piece, and at which tempo."""
        options, n_loop, n_played = self.options, self.composition.num_latents, piece.loop_frames
        wanted = f"{options.bpm:g} BPM" if options.bpm else f"{options.seconds:g} s" if options.seconds else ""
        nearest = f"nearest to {wanted}: " if wanted else ""
        seconds = f", {n_loop * self.frame_seconds:.2f} s" if wanted.endswith(" s") else ""
        has = f", {options.beats} beats," if options.beats > 1 else ""
        loop = f"{nearest}a loop of {frames_text(n_loop)}{seconds}"
        rates = f"at {self.rates.sample_rate:g} Hz / {self.rates.compression}"
        yield f"{loop} {rates}{has}{':' if self._is_phrase(n_loop) else ' is'} {self._tempo_text(n_loop)}"
        if n_played is None:
            yield "not all loops that are played have this length: the tempo does not apply to the others"
        elif n_played != n_loop:
            yield f"each loop is played with {frames_text(n_played)}: {self._tempo_text(n_played)}"

    def _tempo_text(self, n_frames: int) -> str:
        """Format the tempo of a loop: "129.20 BPM (double time 258.40)"; of a long one how it could be counted."""
        if self._is_phrase(n_frames):
            beats = tempo.beats_in(n_frames, *self.rates)
            bpm = tempo.format_bpm(beats * self._bpm(n_frames))
            return f"counted as {beats} beats (--beats {beats}) it has {bpm} BPM"
        double = tempo.double_time(n_frames, *self.rates, self.options.beats)
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
        given, of_pattern = len(one.input_loop), pattern.read_options(one.pattern_args)
        taken = loops_taken(pattern, of_pattern)
        if given > taken:
            found = f"names {given} loops, pattern {pattern.name} takes {taken}"
            raise UsageError(found, option="input_loop", remedy="give fewer")
        chosen.append((distribution, distribution.read_options(one.distribution_args), pattern, of_pattern))
    steps = tuple(parse_step(text) for text in options.transform)
    wishes = read_wishes(options.steer, read_ranks)
    sources = read_sources(options)
    table = None if sources.statistics is None else read_statistics(options, sources)  # before rates are guessed
    rates, loops = sources.rates(), tuple(loop.frames for loop in sources.loops)
    num_latents = len(loops[0]) if loops else _loop_length(options, rates, sources.target)
    statistics = table or read_statistics(options, sources)
    _refuse_other_dims(sources, statistics.dims)
    file_format = _file_format(options, statistics.dims, rates)
    plans = []
    for one, choice in zip(options.combinations(), chosen, strict=True):
        composition = Composition(
            statistics,
            *choice,
            num_latents,
            options.num_loops,
            options.seed,
            steps,
            loops,
            in_time=bool(options.bpm or options.seconds or options.beats > 1),
            wishes=wishes,
            target=None if sources.target is None else sources.target.frames,
        )
        _check_draws(one, composition)
        plans.append(Plan(one, composition, file_format, sources, rates))
    labels = [plan.composition.label for plan in plans]
    if len(set(labels)) < len(labels):
        found, one_by_one = "or the distributions have equal names", "use them in separate runs"
        raise UsageError(found, option="pattern", value=options.pattern, remedy=one_by_one)
    return plans


def _check_draws(options: GeneratorOptions, composition: Composition) -> None:
    """Raise where a distribution is named and nothing is drawn; warn of dims that will be all alike."""
    own = composition.distribution
    if options.weight and own.source is None and "place" not in own.inputs:
        log.warning("--weight changes nothing: distribution %s does not follow single recordings", own.name)
    if not composition.draws and (options.distribution != DISTRIBUTION or options.distribution_args):
        found, chosen = "gives every loop, so that nothing is drawn", ("distribution", "distribution_args")
        raise UsageError(found, option="input_loop", remedy="leave these out", remedy_options=chosen)


def warn_of_frozen_dims(plan: Plan, piece: Piece) -> None:
    """Warn of dims that vary in the encodings, but have IQR 0, and are constant in what is drawn."""
    distribution, statistics = plan.composition.distribution, plan.composition.statistics
    constant = np.ptp(piece.frames, axis=0) <= ROUNDING * statistics.std
    frozen = np.flatnonzero(constant & (statistics.robust_std == 0) & (statistics.std > 0)).tolist()
    if not frozen or not plan.composition.draws:
        return
    names = ", ".join(map(str, frozen[:MAX_NAMED]))
    names += f" and {len(frozen) - MAX_NAMED} more" if len(frozen) > MAX_NAMED else ""
    what = f"dims {names} have IQR 0 but vary: they" if len(frozen) > 1 else f"dim {names} has IQR 0 but varies: it"
    cause, remedy = "--iqr", "leave out --iqr"
    if not statistics.iqr:
        cause, remedy = f"distribution {distribution.name}", "take another one"
    log.warning("%s will be constant with %s (trim the silence, or %s)", what, cause, remedy)


def _refuse_other_dims(sources: Sources, dims: int) -> None:
    """Raise InputError where loops have other dims than the statistics."""
    for loop in [*sources.loops, *([sources.target] if sources.target else [])]:
        if loop.frames.shape[1] != dims:
            found, value = f"has {loop.frames.shape[1]} dims, the encodings have {dims}", loop.file.path
            raise InputError(found, option="input_loop", value=value, remedy="take latents of the same model")


def _loop_length(options: GeneratorOptions, rates: Rates, target: InputLoop | None) -> int:
    if options.bpm:
        length, name = tempo.frames_for_bpm(options.bpm, *rates, options.beats), "bpm"
    elif options.seconds:
        length, name = tempo.frames_for_seconds(options.seconds, *rates), "seconds"
    else:
        usual = tempo.default_frames(rates.compression) if target is None else len(target.frames)
        return options.num_latents or usual
    if length > tempo.MAX_LATENTS:
        found = f"needs a loop of {length:,} frames, at most {tempo.MAX_LATENTS:,}"
        raise UsageError(found, option=name, value=f"{getattr(options, name):g}", remedy="make it shorter")
    return length


def read_statistics(options: GeneratorOptions, sources: Sources) -> "Statistics":
    """Read or measure the statistics."""
    if sources.statistics is not None:
        return tables.read_csv(sources.statistics, options.iqr)
    counts = weights([file.name for file in sources.encodings], options.weight)
    statistics = measure.measure(sources.encodings, options.iqr)
    weighted = (replace(one, weight=n) for one, n in zip(statistics.encodings, counts, strict=True))
    return replace(statistics, encodings=tuple(weighted))


def _file_format(options: GeneratorOptions, dims: int, rates: Rates) -> Npy | LatentAudio:
    if options.embeddings:
        return Npy(dims)
    usual: Subtype = "FLOAT" if options.hold else "DOUBLE"  # for programs that may not read 64 bits
    return LatentAudio(dims, *rates, options.wav_subtype or usual, options.hold)
