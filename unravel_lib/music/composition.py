"""One run of the generator as a plan: a distribution, a pattern, steps and a seed give a piece for each output file."""

import functools
from dataclasses import dataclass

import numpy as np

from unravel_lib.errors import check_seed, whole_number
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.kinds import Distribution, Options, Pattern, checked_statistics
from unravel_lib.music.patterns import Piece, checked_array
from unravel_lib.music.steps import Place, Step, read_steps, transformed, try_steps
from unravel_lib.statistics.measure import Statistics


@dataclass(frozen=True, eq=False)
class Composition:
    """All settings of one run.

    Attributes
    ----------
    statistics : Statistics
        What the loops are drawn from.
    distribution : Distribution
        How a loop is drawn; a name, or a function of your own, is looked up.
    distribution_options : dict
        Defaults are filled in.
    pattern : Pattern
        How the loops are arranged; a name, or a function of your own, is looked up.
    pattern_options : dict
        Defaults are filled in.
    num_latents : int
        Frames in a loop.
    num_loops : int
        Repetitions.
    seed : int
        Same seed, same bytes.
    steps : tuple of Step
        What changes the loops that the pattern yields, in this order; texts are read.
    given_loops : tuple of float64 [num_latents, dims]
        Loop A, or A and B, in place of draws.

    Examples
    --------
    ::

        composition = Composition(statistics, DISTRIBUTIONS["walk"], {}, PATTERNS["fibo"], {}, 8, 4, seed=42)
        composition.piece(0).frames  # A AB ABC ABCDE ABCDEFGH, 4 times, an array [frames, dims]
    """

    statistics: Statistics
    distribution: Distribution
    distribution_options: Options
    pattern: Pattern
    pattern_options: Options
    num_latents: int
    num_loops: int
    seed: int
    steps: tuple[Step, ...] = ()
    given_loops: tuple[Frames, ...] = ()

    def __post_init__(self) -> None:
        whole_number("num_latents", self.num_latents)
        whole_number("num_loops", self.num_loops)
        check_seed(self.seed)
        checked_statistics(self.statistics)
        complete = functools.partial(object.__setattr__, self)  # as the class is frozen
        complete("distribution", DISTRIBUTIONS.find(self.distribution))
        complete("distribution_options", self.distribution.complete(self.distribution_options))
        complete("pattern", PATTERNS.find(self.pattern))
        complete("pattern_options", self.pattern.complete(self.pattern_options))
        complete("steps", read_steps(self.steps))
        shape = self.num_latents, self.statistics.dims
        complete("given_loops", tuple(checked_array("given_loops", loop, shape) for loop in self.given_loops))
        if len(self.given_loops) > 1 + ("loop_b" in self.pattern.inputs):
            raise self.pattern.wrong(f"takes fewer than {len(self.given_loops)} loops")

    @property
    def label(self) -> str:
        """What the run is, for names of files and folders: `swapper_correlation-based_iqr_seed123`."""
        view = "_iqr" if self.statistics.iqr else ""
        drawn = f"{self.distribution.name}{view}" if self.draws else "input-loop"
        return f"{self.pattern.name}_{drawn}_seed{self.seed}"

    @property
    def draws(self) -> bool:
        """Whether the distribution draws a loop, so that it is not given."""
        return len(self.given_loops) < 1 + ("loop_b" in self.pattern.inputs)

    @property
    def is_random(self) -> bool:
        """Whether files of other numbers are others."""
        return self.draws or "rng" in self.pattern.inputs or any(step.is_random for step in self.steps)

    def piece(self, number: int) -> Piece:
        """Draw the loops of output number `number`, run the pattern and the steps.

        Loop A, loop B and the pattern have a random generator each, spawned from the file's, which is spawned from
        the seed: file 0 is the same however many files are made, and loop A whatever the pattern.

        Raises
        ------
        UsageError
            The distribution cannot be used with these statistics; it, the pattern or a step failed; or as `Piece.of`.
        """
        for_a, for_b, for_pattern = np.random.SeedSequence(self.seed, spawn_key=(number,)).spawn(3)
        given = self.given_loops
        loop = given[0] if given else self._draw(for_a)
        loop_b = given[1] if len(given) > 1 else self._draw(for_b) if "loop_b" in self.pattern.inputs else loop
        place = Place(self.statistics.scale, self.statistics.location)
        inputs = {"loop": loop, "loop_b": loop_b, "n_loops": self.num_loops, "std": place.std}
        loops = self.pattern.loops(self.pattern_options, for_pattern, **inputs)
        played = transformed(loops, self.steps, place, for_pattern)
        return Piece.of(played, self.statistics.dims, ("num_loops", "num_latents", "pattern_args"))

    def _draw(self, seed: np.random.SeedSequence) -> Frames:
        rng = np.random.default_rng(seed)
        return self.distribution.draw(self.statistics, rng, self.num_latents, self.distribution_options)

    def loop_frames(self) -> int | None:
        """Return how many frames each loop has behind the steps, or None where their lengths differ.

        Raises
        ------
        UsageError
            The arguments of a step are out of range, or it fails; nothing is drawn for that.
        """
        place = Place(self.statistics.scale, self.statistics.location)
        n_frames = try_steps(self.steps, self.num_latents, place)
        return n_frames if self.pattern.steady else None
