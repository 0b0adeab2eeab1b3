"""What a pattern is: a decorated function that arranges loops to a long array. The catalogue is in `patterns`.

The names of its parameters select its inputs:

    loop      float64 [n_frames, dims], the loop (A)
    loop_b    float64 [n_frames, dims], a second, independent loop (B)
    n_loops   how often the pattern repeats things (`num_loops`)
    std       float64 [dims], how far the values of the encodings spread
    rng       a NumPy random generator of the pattern's own

It may change all arrays in place. Every other parameter is an option of the pattern, an int, float, bool, str or
`Literal` of str by its annotation or its default, set by `pattern_args` name=value. It returns the long array
[frames, dims], or yields it loop by loop, each an array [frames, dims] or a `Repeat(loop, times)`.

`random` and `np.random` are seeded for a user's pattern as well; a generator that a user's file makes for itself
without a seed is not.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from unravel_lib.latents.blocks import Frames, Loop, Repeat
from unravel_lib.music import user_code
from unravel_lib.music.options import Options
from unravel_lib.music.registry import Entry, Function, Registry
from unravel_lib.statistics.measure import Array

MAX_EMPTY_LOOPS = 100_000  # in a row: a pattern that yields more of them never ends


@dataclass(frozen=True, eq=False)
class Material:
    """What one long array is made from.

    Attributes
    ----------
    loop, loop_b : float64 [n_frames, dims]
        Loops A and B.
    n_loops : int
        Repetitions.
    std : float64 [dims]
        Spread of the encodings.
    seed : numpy.random.SeedSequence
        Of the pattern's random numbers.
    """

    loop: Frames
    loop_b: Frames
    n_loops: int
    std: Array
    seed: np.random.SeedSequence

    def inputs(self, names: Iterable[str]) -> dict[str, Array | int | np.random.Generator]:
        """Return the named inputs, arrays as copies: the pattern may change them."""
        values: dict[str, Array | int | np.random.Generator] = {
            "loop": self.loop.copy(),
            "loop_b": self.loop_b.copy(),
            "n_loops": self.n_loops,
            "std": self.std.copy(),
            "rng": np.random.default_rng(self.seed),
        }
        return {name: values[name] for name in names}


@dataclass(frozen=True, eq=False)
class Pattern(Entry):
    """A pattern, as it is registered.

    Attributes
    ----------
    steady : bool
        Whether every beat has the length of the loop, so that the tempo of the loop applies.
    """

    kind = "pattern"
    offered = ("loop", "loop_b", "n_loops", "std", "rng")

    steady: bool = True

    def loops(self, material: Material, options: Options) -> Iterator[Loop]:
        """Run the pattern: the long array, loop by loop, as the function yields it.

        Yields
        ------
        [frames, dims] or Repeat

        Raises
        ------
        UsageError
            The function failed, gave something that is no loop, or too many empty loops; names the user's file and the
            line.
        """
        empty = 0
        if self.source is not None:
            user_code.seed_global_generators(material.seed)
        with self.naming_errors():
            result = self.function(**material.inputs(self.inputs), **options)
            for item in [result] if isinstance(result, (np.ndarray, Repeat)) else result:
                loop = _checked(item, material.loop.shape[1])
                empty = 0 if len(loop) else empty + 1
                if empty == MAX_EMPTY_LOOPS:
                    raise ValueError(f"{empty:,} loops in a row have no frames, expected some: does it ever end?")
                yield loop


def checked_frames(item: Any, dims: int) -> Frames:
    """Return one loop as float64; raise ValueError where it is not [frames, dims] of real numbers."""
    array = np.asarray(item)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"a loop holds {array.dtype} values, expected real numbers")
    if array.ndim != 2 or array.shape[1] != dims:
        raise ValueError(f"a loop has shape {array.shape}, expected (frames, {dims})")
    return array.astype(np.float64, copy=False)


def _checked(item: Any, dims: int) -> Loop:
    if not isinstance(item, Repeat):
        return checked_frames(item, dims)
    array = checked_frames(item.loop, dims)
    if not isinstance(item.times, (int, np.integer)) or item.times < 0:
        raise ValueError(f"a loop is repeated {item.times!r:.60} times, expected a whole number")
    return Repeat(array, int(item.times))


PATTERNS = Registry(Pattern)


@overload
def pattern(function: Function) -> Function: ...
@overload
def pattern(*, steady: bool = ...) -> Callable[[Function], Function]: ...
def pattern(function: Function | None = None, *, steady: bool = True) -> Function | Callable[[Function], Function]:
    """Make a function a pattern: `@pattern`, or `@pattern(steady=False)`; see `Pattern`."""
    return PATTERNS.decorate(function, steady=steady)  # type: ignore[no-any-return]
