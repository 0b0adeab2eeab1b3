"""What a run of generator.py will make: its flags and sources read as compositions, before anything is drawn."""

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from unravel_lib.errors import UsageError, whole_number
from unravel_lib.generator.flags import GeneratorOptions
from unravel_lib.generator.sources import Sources, read_sources
from unravel_lib.latents.latent_audio import LatentAudio
from unravel_lib.latents.npy import Npy
from unravel_lib.music import tempo
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.composition import Composition
from unravel_lib.music.patterns import Piece
from unravel_lib.music.steps import read_steps
from unravel_lib.text import frames_text

MAX_NAMED = 12  # dims that a warning names one by one
ROUNDING = 1e-3  # of a standard deviation: what varies less is constant

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
        remedy = "trim the silence, or try another distribution" + (", or without --iqr" if statistics.iqr else "")
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
