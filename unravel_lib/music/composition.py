"""One run of the generator as a plan: a distribution, a pattern, steps and a seed give a piece for each output file."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS
from unravel_lib.music.kinds import MAX_BYTES, Distribution, Function, Loop, Options, Pattern, Repeat, whole_number
from unravel_lib.music.steps import Place, Step, read_steps, transformed, try_steps
from unravel_lib.statistics.measure import Statistics


@dataclass(frozen=True, eq=False)
class Piece:
    """All loops of one file, one after the other.

    Attributes
    ----------
    frames : float64 [n_frames, dims]
    starts : int64 [n_loops]
        The frame at which each loop begins, repetitions counted each.
    """

    frames: Frames
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, loops: Iterable[Loop], dims: int, shorter: Sequence[str]) -> "Piece":
        """Join loops [frames, dims].

        Parameters
        ----------
        loops : iterable of float64 [frames, dims] or Repeat
        dims : int
        shorter : sequence of str
            For errors: the options that make it shorter.

        Raises
        ------
        UsageError
            More than 1 GiB, which ends it as soon as it is known; no frames; NaN or Inf inside.
        """
        frames, starts, end = np.empty((1024, dims)), array("q"), 0
        most = MAX_BYTES // (8 * dims)
        for item in loops:
            loop, times = (item.loop, item.times) if isinstance(item, Repeat) else (item, 1)
            begin, end = end, end + len(item)
            if end > most:
                raise UsageError(
                    f"the piece has more than {most:,} frames of {dims} dims, which is 1 GiB",
                    remedy="make it shorter",
                    remedy_options=shorter,
                )
            if end > begin:
                if end > len(frames):
                    frames.resize((max(end, min(2 * len(frames), most)), dims), refcheck=False)  # nothing refers to it
                frames[begin:end].reshape(times, len(loop), dims)[:] = loop
                starts.extend(range(begin, end, len(loop)))
        frames.resize((end, dims), refcheck=False)
        if not end:
            raise UsageError("the pattern makes no frames from this loop", remedy="check its options")
        if not np.isfinite(frames).all():
            raise UsageError(
                "the pattern, or a transform, made values that are not finite (NaN or Inf)",
                remedy="check its options and its code",
            )
        return cls(frames, np.frombuffer(starts, np.int64))


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
        for option in ("num_latents", "num_loops"):
            whole_number(option, getattr(self, option))
        distribution, pattern = DISTRIBUTIONS.find(self.distribution), PATTERNS.find(self.pattern)
        shape = self.num_latents, self.statistics.dims
        if len(self.given_loops) > 1 + ("loop_b" in pattern.inputs):
            raise pattern.wrong(f"takes fewer than {len(self.given_loops)} loops")
        completed = {
            "distribution": distribution,
            "distribution_options": distribution.complete(self.distribution_options),
            "pattern": pattern,
            "pattern_options": pattern.complete(self.pattern_options),
            "steps": read_steps(self.steps),
            "given_loops": tuple(_checked("given_loops", loop, shape) for loop in self.given_loops),
        }
        for name, value in completed.items():
            object.__setattr__(self, name, value)

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
        inputs = {"loop": loop, "loop_b": loop_b, "n_loops": self.num_loops, "std": self.statistics.scale}
        loops = self.pattern.loops(self.pattern_options, for_pattern, **inputs)
        played = transformed(loops, self.steps, self._place, for_pattern)
        return Piece.of(played, self.statistics.dims, ("num_loops", "num_latents", "pattern_args"))

    def _draw(self, seed: np.random.SeedSequence) -> Frames:
        rng = np.random.default_rng(seed)
        return self.distribution.draw(self.statistics, rng, self.num_latents, self.distribution_options)

    @property
    def _place(self) -> Place:
        return Place(self.statistics.scale, self.statistics.location)

    def loop_frames(self) -> int | None:
        """Return how many frames each loop has behind the steps, or None where their lengths differ.

        Raises
        ------
        UsageError
            The arguments of a step are out of range, or it fails; nothing is drawn for that.
        """
        n_frames = try_steps(self.steps, self.num_latents, self._place)
        return n_frames if self.pattern.steady else None


def arrange(
    name: str | Function,
    loop: npt.ArrayLike,
    n_loops: int = 4,
    seed: int = 42,
    loop_b: npt.ArrayLike | None = None,
    std: npt.ArrayLike | None = None,
    transform: str | Sequence[str] = (),
    **options: int | float | bool | str,
) -> Frames:
    """Arrange a loop in a pattern: the piece, float64 [frames, dims].

    Parameters
    ----------
    name : str or function
        A name of PATTERNS or of your own pattern, `FILE.py:name`, or your own pattern itself.
    loop : [frames, dims]
    n_loops : int
        How often the pattern repeats things.
    seed : int
        Of the pattern's random numbers.
    loop_b : [frames, dims], optional
        A second loop, for patterns that take one; the first one without it.
    std : [dims], optional
        How far values spread, for patterns that take it; that of the loop without it.
    transform : str or sequence of str
        Steps that change the loops, such as "every 4 rev", in this order.
    **options
        Options of the pattern.

    Raises
    ------
    UsageError
        No such pattern, option or transform, or one of them failed; a loop that is none; more than 1 GiB.

    Examples
    --------
    >>> arrange("fibo", np.array([[1.0], [2.0], [3.0]]), n_loops=1).ravel()
    array([1., 1., 2., 1., 2., 3.])
    """
    entry = PATTERNS.find(name)
    whole_number("n_loops", n_loops)
    loop = _checked("loop", loop)
    other = loop if loop_b is None else _checked("loop_b", loop_b, loop.shape)
    spread = loop.std(axis=0) if std is None else _checked("std", std, loop.shape[1:])
    seeds = np.random.SeedSequence(seed)
    loops = entry.loops(entry.complete(options), seeds, loop=loop, loop_b=other, n_loops=n_loops, std=spread)
    played = transformed(loops, read_steps(transform), Place(spread, loop.mean(axis=0)), seeds)
    return Piece.of(played, loop.shape[1], ("n_loops",)).frames


def _checked(option: str, values: npt.ArrayLike, shape: tuple[int, ...] | None = None) -> Frames:
    """Return an array that is given, a loop where no shape is; raise UsageError where it is none."""
    array = np.asarray(values)
    fits = array.ndim == 2 and array.size if shape is None else array.shape == shape
    if not (fits and array.dtype.kind in "fiu" and np.isfinite(array).all()):
        expected = f"finite numbers of shape {'(frames, dims)' if shape is None else shape}"
        raise UsageError(f"has shape {array.shape} and type {array.dtype}", option=option, expected=expected)
    return array.astype(np.float64)
