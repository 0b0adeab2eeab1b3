"""Patterns: a loop -> a piece. `kinds` defines what a pattern is.

One of your own is five lines in a file of yours:

    import numpy as np
    from unravel_lib import pattern

    @pattern
    def stutter(loop, n_loops, times: int = 2):
        'AABBCC AABBCC: every frame several times.'
        return np.tile(np.repeat(loop, times, axis=0), (n_loops, 1))

and is used with `pattern` my_patterns.py:stutter and `pattern_args` times=3.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UsageError, check_seed, whole_number
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import PATTERNS, pattern
from unravel_lib.music.kinds import MAX_BYTES, Entry, Function, Options, check_range, checked_loop
from unravel_lib.music.steps import read_steps, transformed
from unravel_lib.statistics.measure import Array

MAX_LEVELS = 12  # of orale: 16 million loops
MAX_FORM = 64  # letters


@dataclass(frozen=True, eq=False)
class Repeat:
    """The same loop [frames, dims] several times in a row, as a pattern may give it."""

    loop: Frames
    times: int


@pattern
def loop(loop: Frames, n_loops: int) -> Iterator[Repeat]:
    """ABC ABC ABC ABC: the loop again and again."""
    yield Repeat(loop, n_loops)


@pattern
def fibo(loop: Frames, n_loops: int) -> Iterator[Frames]:
    """A AB ABC ABCDE ABCDEFGH: ever longer beginnings, of Fibonacci lengths; best with 8 or 13 frames.

    >>> [len(beginning) for beginning in fibo(np.zeros((10, 2)), n_loops=2)]
    [1, 2, 3, 5, 8, 1, 2, 3, 5, 8]
    """
    for _ in range(n_loops):
        n, following = 1, 2
        while n <= len(loop):
            yield loop[:n]
            n, following = following, n + following


@pattern
def orale(
    loop: Frames, n_loops: int, std: Array, rng: np.random.Generator, levels: int = 2, amount: float = 0.25
) -> Iterator[Frames]:
    """AAAa AAAa AAAa AAAa': three times and once changed; all of that three times and once changed; and so on.

    A change is one offset per dim, drawn from U(-std, std) times `amount` for each level, and holds for the whole
    fourth part.

    >>> rng = np.random.default_rng(0)
    >>> [round(frame.item(), 2) for frame in orale(np.zeros((1, 1)), 1, np.ones(1), rng, amount=1.0)]
    [0.0, 0.0, 0.0, 0.27, 0.0, 0.0, 0.0, 0.27, 0.0, 0.0, 0.0, 0.27, -0.46, -0.46, -0.46, -0.19]
    """
    check_range(1, MAX_LEVELS, levels=levels)
    if 4**levels * n_loops * loop.nbytes > MAX_BYTES:
        raise ValueError(f"levels={levels} makes {4**levels * n_loops:,} loops, more than 1 GiB: take fewer")
    variants, order = [loop], np.zeros(1, np.int16)  # the loop and its changed forms, and the order in which they play
    for level, offset in enumerate(amount * rng.uniform(-std, std, (levels, len(std)))):
        variants += [variant + offset for variant in variants]
        order = np.concatenate([order, order, order, order + 2**level])
    for _ in range(n_loops):
        for number in order:
            yield variants[number]


@pattern
def blender(
    loop: Frames,
    loop_b: Frames,
    n_loops: int,
    direction: Literal["forward", "inverted", "mirrored", "mirror-inverted"] = "forward",
) -> Iterator[Repeat]:
    """AAAA, then value by value A turns into B, each state repeated; direction says where the change begins.

    forward: first frame first, first dim first; inverted: last frame first; mirrored: last dim first; mirror-inverted:
    both.

    >>> a, b = np.zeros((2, 1)), np.ones((2, 1))
    >>> [(state.loop.ravel().tolist(), state.times) for state in blender(a, b, n_loops=4)]
    [([0.0, 0.0], 4), ([1.0, 0.0], 4), ([1.0, 1.0], 4)]
    """
    n_frames, dims = loop.shape
    frames, columns = range(n_frames), range(dims)
    state = loop.copy()
    yield Repeat(state.copy(), n_loops)
    for frame in reversed(frames) if direction in ("inverted", "mirror-inverted") else frames:
        for dim in reversed(columns) if direction in ("mirrored", "mirror-inverted") else columns:
            state[frame, dim] = loop_b[frame, dim]
            yield Repeat(state.copy(), n_loops)


@pattern
def swapper(loop: Frames, loop_b: Frames, n_loops: int, rng: np.random.Generator) -> Iterator[Repeat]:
    """A and B swap one random value, A is repeated, they swap another, and so on, once per frame of the loop.

    Each time a random frame and dim, as many times as the loop has frames. The first loop is A after one swap.

    >>> a, b, rng = np.zeros((3, 1)), np.ones((3, 1)), np.random.default_rng(5)
    >>> [(state.loop.ravel().tolist(), state.times) for state in swapper(a, b, 4, rng)]
    [([0.0, 0.0, 1.0], 4), ([0.0, 0.0, 0.0], 4), ([1.0, 0.0, 0.0], 4)]
    """
    a, b = loop.copy(), loop_b.copy()
    for _ in range(len(loop)):
        point = rng.integers(len(a)), rng.integers(a.shape[1])
        a[point], b[point] = b[point], a[point]
        yield Repeat(a.copy(), n_loops)


@pattern
def form(loops: Callable[[int], Frames], n_loops: int, form: str = "AABA") -> Iterator[Repeat]:
    """AABA: each letter a loop of its own, in the order of the letters, each played n_loops times.

    >>> [(item.loop.item(), item.times) for item in form(lambda which: np.full((1, 1), float(which)), 2)]
    [(0.0, 2), (0.0, 2), (1.0, 2), (0.0, 2)]
    """
    if not form.isalpha() or len(form) > MAX_FORM:
        raise ValueError(f"form={form!r:.40} is expected to be 1 to {MAX_FORM} letters, such as AABA")
    letters = {letter: loops(which) for which, letter in enumerate(sorted(set(form)))}
    for letter in form:
        yield Repeat(letters[letter], n_loops)


@pattern
def morph(loop: Frames, loop_b: Frames, n_loops: int, steps: int = 4) -> Iterator[Repeat]:
    """A becomes B in equal steps, each state repeated.

    >>> a, b = np.zeros((1, 1)), np.ones((1, 1))
    >>> [(item.loop.item(), item.times) for item in morph(a, b, n_loops=2, steps=2)]
    [(0.0, 2), (0.5, 2), (1.0, 2)]
    """
    check_range(1, steps=steps)
    for step in range(steps + 1):
        yield Repeat(loop + (loop_b - loop) * (step / steps), n_loops)


@dataclass(frozen=True, eq=False)
class Piece:
    """All loops of one file, one after the other.

    Attributes
    ----------
    frames : float64 [n_frames, dims]
    starts : int64 [n_loops]
        The frame at which each loop begins; every repetition counts as a loop.
    notes : tuple of str
        What distributions say about the loops that they drew.
    """

    frames: Frames
    starts: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def loop_frames(self) -> int | None:
        """How many frames each loop has; None where their lengths differ."""
        lengths = np.unique(np.diff(self.starts, append=len(self.frames)))
        return int(lengths[0]) if len(lengths) == 1 else None

    @classmethod
    def of(cls, loops: Iterable[Frames], dims: int, notes: Iterable[str] = ()) -> "Piece":
        """Join loops [frames, dims]; those without frames are left out. Equal `notes` are kept once.

        Raises
        ------
        UsageError
            More than 1 GiB, which ends it as soon as it is known; no frames; NaN or Inf inside.
        """
        kept, starts, end, most = list[Frames](), list[int](), 0, MAX_BYTES // (8 * dims)
        for loop in filter(len, loops):
            kept.append(loop)
            starts.append(end)
            end += len(loop)
            if end > most:
                found = f"the piece has more than {most:,} frames of {dims} dims, which is 1 GiB"
                raise UsageError(found, remedy="take fewer or shorter loops")
        if not kept:
            remedy_options = ("pattern", "transform")
            raise UsageError("no frames are left of this loop", remedy="check", remedy_options=remedy_options)
        frames = np.concatenate(kept)
        if not np.isfinite(frames).all():
            found = "the pattern made values that are not finite (NaN or Inf)"
            raise UsageError(found, remedy="check its options and its code")
        return cls(frames, np.array(starts, np.int64), tuple(dict.fromkeys(notes)))


def loops_of(
    entry: Entry,
    options: Options,
    loops: Callable[[int], Frames],
    n_loops: int,
    std: Array,
    seed: np.random.SeedSequence,
) -> Iterator[Frames]:
    """Run a pattern: yield the loops of the piece, each [frames, dims]; those of a `Repeat` are one and the same array.

    Raises
    ------
    UsageError
        The function failed, or made something that is no loop; names the user's file and the line.
    """
    given: dict[str, Any] = {"loops": loops, "n_loops": n_loops, "std": std}
    given |= {name: loops(which) for which, name in enumerate(("loop", "loop_b")) if name in entry.inputs}
    with entry.naming_errors():
        made = entry.call(given, options, seed)
        for item in [made] if isinstance(made, (np.ndarray, Repeat)) else made:
            loop, times = (item.loop, item.times) if isinstance(item, Repeat) else (item, 1)
            loop = checked_loop(loop, len(std))
            yield from itertools.repeat(loop, times if len(loop) else 0)


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
        How often loop, fibo and orale play all they have, form each letter, blender, swapper and morph each state.
    seed : int
        Of the random numbers of the pattern and of the steps.
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
        No such pattern, option or transform, or one of them failed; the pattern takes more than two
        loops; `loop` is no loop; more than 1 GiB.

    Examples
    --------
    >>> arrange("fibo", np.array([[1.0], [2.0], [3.0]]), n_loops=1).ravel()
    array([1., 1., 2., 1., 2., 3.])
    """
    entry = PATTERNS.find(name)
    whole_number("n_loops", n_loops)
    check_seed(seed)
    loop = checked_array("loop", loop)
    other = loop if loop_b is None else checked_array("loop_b", loop_b, loop.shape)
    spread = loop.std(axis=0) if std is None else checked_array("std", std, loop.shape[1:])
    seeds = np.random.SeedSequence(seed)

    def given(which: int) -> Frames:
        if which > 1:
            raise entry.wrong(f"takes {which + 1} loops here", expected="2 at most, or a Composition")
        return other if which else loop

    loops = loops_of(entry, entry.complete(options), given, n_loops, spread, seeds)
    played = transformed(loops, read_steps(transform), spread, loop.mean(axis=0), seeds)
    return Piece.of(played, loop.shape[1]).frames


def checked_array(option: str, values: npt.ArrayLike, shape: tuple[int, ...] | None = None) -> Frames:
    """Return values as float64; raise UsageError where they are not finite numbers of a shape, by default of a loop."""
    array = np.asarray(values)
    fits = array.ndim == 2 and array.size if shape is None else array.shape == shape
    if not (fits and array.dtype.kind in "fiu" and np.isfinite(array).all()):
        expected = f"finite numbers of shape {'(frames, dims)' if shape is None else shape}"
        raise UsageError(f"has shape {array.shape} and type {array.dtype}", option=option, expected=expected)
    return array.astype(np.float64)
