"""One run of the generator as a plan: a distribution, a pattern, steps and a seed give the loops of each file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unravel_lib.latents.blocks import Frames, Loop, count_frames
from unravel_lib.music.distribution import Distribution
from unravel_lib.music.options import Options
from unravel_lib.music.pattern import Material, Pattern
from unravel_lib.music.steps import Setting, Step, transformed, try_steps
from unravel_lib.statistics.summary import Statistics


@dataclass(frozen=True, eq=False)
class Composition:
    """All settings of one run, with defaults filled in.

    Attributes
    ----------
    statistics : Statistics
        What the loops are drawn from.
    distribution : Distribution
        How a loop is drawn.
    distribution_options : dict
    pattern : Pattern
        How the loops are arranged.
    pattern_options : dict
    num_latents : int
        Frames in a loop.
    num_loops : int
        Repetitions.
    seed : int
        Same seed, same bytes.
    steps : tuple of Step
        What changes the loops that the pattern yields, in this order.
    given_loops : tuple of float64 [num_latents, dims]
        Loop A, or A and B, in place of draws.

    Examples
    --------
    ::

        composition = Composition(statistics, DISTRIBUTIONS["walk"], {}, PATTERNS["fibo"], {}, 8, 4, seed=42)
        for loop in composition.loops(composition.material(0)):
            ...  # A AB ABC ABCDE ABCDEFGH, 4 times, each an array [frames, dims]
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

    def material(self, index: int) -> Material:
        """Draw the loops of output number `index`.

        Loop A, loop B and the pattern have a random generator each, spawned from the file's, which is spawned from
        the seed: file 0 is the same however many files are made, and loop A whatever the pattern.

        Raises
        ------
        UsageError
            The distribution cannot be used with these statistics, or failed.
        """
        for_a, for_b, for_pattern = np.random.SeedSequence(self.seed, spawn_key=(index,)).spawn(3)
        given = self.given_loops
        loop = given[0] if given else self._draw(for_a)
        loop_b = given[1] if len(given) > 1 else self._draw(for_b) if "loop_b" in self.pattern.inputs else loop
        return Material(loop, loop_b, self.num_loops, self.statistics.scale, for_pattern)

    def _draw(self, seed: np.random.SeedSequence) -> Frames:
        rng = np.random.default_rng(seed)
        return self.distribution.draw(self.statistics, rng, self.num_latents, self.distribution_options)

    def loops(self, material: Material) -> Iterator[Loop]:
        """Run pattern and steps: the long array of a file, loop by loop; see `Pattern.loops`, `transformed`."""
        loops = self.pattern.loops(material, self.pattern_options)
        return transformed(loops, self.steps, self._setting(material.seed))

    def _setting(self, seed: np.random.SeedSequence) -> Setting:
        return Setting(self.statistics.scale, self.statistics.location, seed)

    def loop_frames(self) -> int | None:
        """Return how many frames each loop has behind the steps, or None where their lengths differ.

        Raises
        ------
        UsageError
            The arguments of a step are out of range, or it fails; nothing is drawn for that.
        """
        n_frames = try_steps(self.steps, self.num_latents, self._setting(np.random.SeedSequence(self.seed)))
        return n_frames if self.pattern.steady else None

    def announced_frames(self) -> int | None:
        """Return the number of frames of every file if it is known without running the pattern, else None."""
        if not all(step.keeps_length for step in self.steps):
            return None
        dims = self.statistics.dims
        return self.pattern.announced_frames(self.num_latents, dims, self.num_loops, self.pattern_options)

    def count_frames(self, material: Material, limit: float = math.inf) -> int:
        """Count the frames of a file by running the pattern without writing; stop once `limit` is passed."""
        return count_frames(self.loops(material), limit)
