"""One run of the generator as a plan: a distribution, a pattern, steps and a seed give a piece for each output file."""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unravel_lib.errors import check_seed, whole_number
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.distributions import check_inputs, checked_statistics, drawn
from unravel_lib.music.kinds import Entry, Options
from unravel_lib.music.patterns import Piece, checked_array, loops_of
from unravel_lib.music.recordings import GOLDEN, attacks_of, first_place
from unravel_lib.music.steering import read_wishes
from unravel_lib.music.steps import Step, read_steps, transformed, try_steps
from unravel_lib.statistics.measure import Array, Statistics
from unravel_lib.tempo import MAX_LATENTS

PATTERN_KEY = 2  # of the pattern's random numbers among those of a file; loops A and B have 0 and 1, others 3, 4, ...
PLASTIC = 0.7548776662466927  # from the place of one loop of a file to that of the next; `GOLDEN` is from file to file


@dataclass(eq=False)
class Composition:
    """All settings of one run.

    Attributes
    ----------
    statistics : Statistics
        What the loops are drawn from.
    distribution : Entry
        How a loop is drawn; a name, or a function of your own, is looked up.
    distribution_options : dict
        Defaults are filled in.
    pattern : Entry
        How the loops are arranged; a name, or a function of your own, is looked up.
    pattern_options : dict
        Defaults are filled in.
    num_latents : int
        Frames in a loop.
    num_loops : int
        How often the pattern repeats things.
    seed : int
        Same seed, same bytes.
    steps : tuple of Step
        What changes the loops that the pattern yields, in this order; texts are read.
    given_loops : tuple of float64 [num_latents, dims]
        Loop A, or A, B and so on, in place of draws.
    in_time : bool
        Whether the length of the loop was chosen by a tempo, to which distributions may fit what they draw.
    wishes : mapping of ranks by name of a descriptor
        How the loops are to sound, for distributions that take wishes; see `steering`. Texts are read as such.
    target : float64 [frames, dims] or None
        Latents of another sound, for distributions that take a target.

    Examples
    --------
    ::

        composition = Composition(statistics, DISTRIBUTIONS["walk"], {}, PATTERNS["fibo"], {}, 8, 4, seed=42)
        composition.piece(0).frames  # A AB ABC ABCDE ABCDEFGH, 4 times, an array [frames, dims]
    """

    statistics: Statistics
    distribution: Entry
    distribution_options: Options
    pattern: Entry
    pattern_options: Options
    num_latents: int
    num_loops: int
    seed: int
    steps: tuple[Step, ...] = ()
    given_loops: tuple[Frames, ...] = ()
    in_time: bool = False
    wishes: Mapping[str, Array] | Sequence[str] = ()
    target: Frames | None = None

    def __post_init__(self) -> None:
        whole_number("num_latents", self.num_latents)
        whole_number("num_loops", self.num_loops)
        check_seed(self.seed)
        statistics = checked_statistics(self.statistics)
        shape = self.num_latents, statistics.dims
        self.distribution = DISTRIBUTIONS.find(self.distribution)
        self.distribution_options = self.distribution.complete(self.distribution_options)
        self.pattern = PATTERNS.find(self.pattern)
        self.pattern_options = self.pattern.complete(self.pattern_options)
        self.given_loops = tuple(checked_array("given_loops", loop, shape) for loop in self.given_loops)
        self.wishes = self.wishes if isinstance(self.wishes, Mapping) else read_wishes(self.wishes)
        self.target = None if self.target is None else checked_array("target", self.target)
        if self.given_loops and len(self.given_loops) > self._loops_taken:
            found = f"takes fewer than {len(self.given_loops)} loops"
            raise self.pattern.wrong(found, remedy="give fewer", remedy_options=("input_loop",))
        check_inputs(self.distribution, wishes=self.wishes, target=self.target)
        self.steps = read_steps(self.steps)
        try_steps(self.steps, self.num_latents, statistics.scale, statistics.location, self._attacks)

    @property
    def label(self) -> str:
        """What the run is, for names of files and folders: `swapper_correlation-based_iqr_seed123`."""
        view = "_iqr" if self.statistics.iqr else ""
        drawn = f"{self.distribution.name}{view}" if self.draws else "input-loop"
        return f"{self.pattern.name}_{drawn}_seed{self.seed}"

    @property
    def draws(self) -> bool:
        """Whether the pattern takes more loops than are given: the others are drawn from the distribution."""
        return not self.given_loops or len(self.given_loops) < self._loops_taken

    @cached_property
    def _loops_taken(self) -> int:
        """How many loops the pattern takes: it is run once with those that are given, repeated if it takes more."""
        asked = {0}

        def loop(which: int) -> Frames:
            asked.add(which)
            return self.given_loops[which % len(self.given_loops)]

        seed, scale = np.random.SeedSequence(self.seed), self.statistics.scale
        loops = loops_of(self.pattern, self.pattern_options, loop, self.num_loops, scale, seed)
        deque(itertools.islice(loops, MAX_LATENTS), maxlen=0)
        return max(asked) + 1

    def piece(self, number: int) -> Piece:
        """Draw the loops of output number `number`, run the pattern and the steps.

        Loop A, loop B and the pattern have a random generator each, spawned from the file's, which is spawned from
        the seed: file 0 is the same however many files are made, and loop A whatever the pattern.

        Raises
        ------
        UsageError
            The distribution cannot be used with these statistics; it, the pattern or a step failed; or as `Piece.of`.
        """
        notes: list[str] = []
        scale, centre = self.statistics.scale, self.statistics.location

        def independent_loop(which: int) -> Frames:
            if which < len(self.given_loops):
                return self.given_loops[which]
            key = which + (which >= PATTERN_KEY)
            return drawn(
                self.distribution,
                self.distribution_options,
                np.random.SeedSequence(self.seed, spawn_key=(number, key)),
                statistics=self.statistics,
                n_frames=self.num_latents,
                place=(first_place(self.seed) + number * GOLDEN + which * PLASTIC) % 1,
                in_time=self.in_time,
                note=notes.append,
                wishes=self.wishes,
                target=self.target,
            )

        seed = np.random.SeedSequence(self.seed, spawn_key=(number, PATTERN_KEY))
        loops = loops_of(self.pattern, self.pattern_options, independent_loop, self.num_loops, scale, seed)
        played = transformed(loops, self.steps, scale, centre, seed, self._attacks)
        return Piece.of(played, self.statistics.dims, notes)  # which draws the loops as it iterates

    def _attacks(self, frames: Frames) -> Array | None:
        return attacks_of(frames, self.statistics)
