"""The language of transforms: a text such as "every 4 dims 0-3 rev" read as a step, and steps applied to loops.

A step is words separated by blanks: the name of a transform, its arguments, and for one that wraps another the step
that it wraps. Quotes hold a word with blanks together, as in a shell.
"""

import contextlib
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import TRANSFORMS
from unravel_lib.music.kinds import Options, Transform, seed_global_generators
from unravel_lib.statistics.measure import Array
from unravel_lib.text import count_text, printable


@dataclass(frozen=True)
class Place:
    """Where a loop is in a piece, and what else steps may ask for: see `kinds`.

    In a `trial` what a step makes is thrown away; a wrapped step is applied even where its wrapper does not call it.
    """

    std: Array
    centre: Array
    index: int = 0
    start: int = 0
    trial: bool = False


@dataclass(frozen=True, eq=False)
class Step:
    """One step, read from its text.

    Attributes
    ----------
    transform : Transform
    options : dict
        Its arguments by name, with defaults filled in.
    inner : Step or None
        The step that it wraps.
    words : tuple of str
        All words of the text; a wrapped step has those of its wrapper too.
    begin, end : int
        Which of them are its name and its arguments.
    rng : numpy.random.Generator, optional
        Its random numbers, where it is `seeded`.
    """

    transform: Transform
    options: Options
    inner: Self | None
    words: tuple[str, ...]
    begin: int
    end: int
    rng: np.random.Generator | None = None

    @property
    def text(self) -> str:
        """The step as it was written, with single blanks."""
        return " ".join(map(quoted, self.words))

    @property
    def keeps_length(self) -> bool:
        """Whether a loop keeps its number of frames."""
        return all(part.transform.keeps_length for part in self.parts())

    @property
    def varies(self) -> bool:
        """Whether the same loop may become another one each time."""
        return any(part.transform.varies for part in self.parts())

    @property
    def is_random(self) -> bool:
        """Whether it uses random numbers."""
        return any("rng" in part.transform.inputs for part in self.parts())

    def parts(self) -> Iterator["Step"]:
        """The step, the one that it wraps, and so on."""
        yield self
        if self.inner is not None:
            yield from self.inner.parts()

    def seeded(self, seed: np.random.SeedSequence, occurrence: int = 0) -> Self:
        """Return the step with random numbers, which depend on the seed, its text and which of equal steps it is.

        Not on the folder of a user's file: a step is the same wherever that is.
        """
        words = (word.rpartition("/")[2] if ".py:" in word else word for word in self.words)
        digest = hashlib.sha256(" ".join(map(quoted, words)).encode("utf-8", "surrogateescape")).digest()
        key = (*seed.spawn_key, *np.frombuffer(digest[:16], "<u4").tolist(), occurrence, self.begin)
        inner = None if self.inner is None else self.inner.seeded(seed, occurrence)
        if self.transform.source is not None:
            seed_global_generators(seed)
        rng = np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=key))
        return replace(self, inner=inner, rng=rng)

    def apply(self, loop: Frames, place: Place) -> Frames:
        """Apply the step, which is `seeded`, to a loop.

        Raises
        ------
        UsageError
            The transform failed; names the user's file and the line; `detail` marks the arguments.
        """
        inner = None if self.inner is None else _Inner(self.inner, place)
        with marked(self.words, min(self.begin + 1, self.end - 1), self.end):
            result = self.transform.apply({**vars(place), "loop": loop, "rng": self.rng, "step": inner}, self.options)
            if place.trial and not np.isfinite(result).all():
                raise self.transform.wrong("makes values that are not finite")
        if place.trial and inner is not None and not inner.called:
            inner(loop)
        return result


class _Inner:
    """The wrapped step as a wrapper calls it."""

    def __init__(self, step: Step, place: Place) -> None:
        self._step, self._place, self.called = step, place, False
        self.keeps_length = step.keeps_length

    def __call__(self, loop: Frames, dims: Array | slice = slice(None)) -> Frames:
        self.called, place = True, self._place
        return self._step.apply(loop, replace(place, std=place.std[dims], centre=place.centre[dims]))


def split_words(text: str) -> list[str]:
    """Split a step into words as a shell does; where its quotes are not closed, at blanks only."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def quoted(word: str) -> str:
    """Return a word with quotes around it where it needs them."""
    return word if re.fullmatch(r"[^\s'\"\\]+", word) else shlex.quote(word)


def read_steps(steps: str | Step | Sequence[str | Step]) -> tuple[Step, ...]:
    """Read one step or several; what is read already stays as it is."""
    several = [steps] if isinstance(steps, (str, Step)) or not isinstance(steps, Iterable) else steps
    return tuple(step if isinstance(step, Step) else parse_step(step) for step in several)


def parse_step(text: str) -> Step:
    """Read a step such as "every 4 rev".

    Raises
    ------
    UsageError
        An unknown transform, wrong arguments, or a wrapper without a step; `detail` marks the word.
    """
    words = tuple(split_words(text)) if isinstance(text, str) else ()
    if not words:
        raise UsageError("is no step", option="transform", value=repr(text), expected="a text such as every 4 rev")
    return _parse(words, 0)


def _parse(words: tuple[str, ...], begin: int) -> Step:
    with marked(words, begin, begin + 1):
        transform = TRANSFORMS.find(words[begin])
    options, left = [*transform.options.values()], len(words) - begin - 1
    end = begin + 1 + min(left - transform.wraps, len(options))
    needed = sum(option.is_required for option in options)
    if left < needed + transform.wraps:
        missing = "a step" if left >= needed else options[left].name.upper()
        remedy = "" if len(words) > 1 else "put the words of a step in quotes"
        with marked(words, len(words) - 1, len(words)):
            raise transform.wrong(f"lacks {missing}", expected=words[begin] + transform.arguments, remedy=remedy)
    if end < len(words) and not transform.wraps:
        takes = count_text(len(options), "argument") if options else "no arguments"
        remedy = "an argument has no blanks in it, and each step stands in quotes of its own"
        with marked(words, end, len(words)):
            raise transform.wrong(f"takes {takes}", remedy=remedy)
    values: Options = {option.name: option.default for option in options}
    for number, option in enumerate(options[: end - begin - 1], begin + 1):
        with marked(words, number, number + 1):
            values[option.name] = transform.checked(option, option.read(words[number]))
    inner = _parse(words, end) if transform.wraps else None
    return Step(transform, values, inner, words, begin, end)


@contextlib.contextmanager
def marked(words: Sequence[str], begin: int, end: int) -> Iterator[None]:
    """Show the step in the `detail` of an error, with a mark under some of its words."""
    try:
        yield
    except UsageError as error:
        shown = [printable(quoted(word)) for word in words]
        before, wrong = " ".join([*shown[:begin], ""]), " ".join(shown[begin:end])
        error.detail = error.detail or f"    {' '.join(shown)}\n    {' ' * len(before)}{'^' * len(wrong)}"
        raise


def transformed(
    loops: Iterable[Frames], steps: Sequence[Step], place: Place, seed: np.random.SeedSequence
) -> Iterable[Frames]:
    """Apply steps, in their order, to every loop; what is repeated and does not vary is transformed once.

    Each step has random numbers of its own, which depend on the piece and on the text of the step only. Of equal steps
    each has others.

    Parameters
    ----------
    loops : iterable of float64 [frames, dims]
    steps : sequence of Step
    place : Place
        Of the first loop.
    seed : numpy.random.SeedSequence
        That of the pattern.

    Yields
    ------
    float64 [frames, dims]

    Raises
    ------
    UsageError
        A transform failed; names the user's file and the line.
    """
    seen: Counter[str] = Counter()
    for step in steps:
        loops = _each(loops, step.seeded(seed, seen[step.text]), place)
        seen[step.text] += 1
    return loops


def _each(loops: Iterable[Frames], step: Step, place: Place) -> Iterator[Frames]:
    before = result = None
    for loop in loops:
        if result is None or step.varies or loop is not before:
            before, result = loop, step.apply(loop, place)
            place = Place(place.std, place.centre, place.index + 1, place.start + len(result))
        yield result


def try_steps(steps: Sequence[Step], n_frames: int, place: Place) -> int | None:
    """Apply each step to one loop that is thrown away, so that wrong arguments are found before anything is drawn.

    Returns
    -------
    int or None
        The number of frames that every loop of `n_frames` frames has behind the steps; None where they differ.

    Raises
    ------
    UsageError
        Arguments are out of range, or a user's transform failed; `detail` marks the arguments.
    """
    loop = place.centre + place.std * np.linspace(-1, 1, n_frames)[:, None]
    for step in steps:
        loop = step.seeded(np.random.SeedSequence(0)).apply(loop, replace(place, trial=True))
    known = all(step.keeps_length or not step.varies for step in steps)
    return len(loop) if known else None


def on_letters(text: str, letters: str, n_loops: int = 1, seed: int = 0) -> str:
    """Show what a step makes of a loop of letters, for examples; loops are separated by a blank.

    >>> on_letters("every 2 rev", "ABCD", n_loops=2)
    'ABCD DCBA'
    """
    loop = np.array([[float(ord(letter))] for letter in letters])
    step, place = parse_step(text).seeded(np.random.SeedSequence(seed)), Place(np.ones(1), loop.mean(axis=0))
    results = _each([loop] * n_loops, step, place)
    return " ".join("".join(chr(round(value)) for value in result[:, 0]) for result in results)
