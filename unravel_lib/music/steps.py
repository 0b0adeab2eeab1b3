"""The language of transforms: a text such as "every 4 dims 0-3 rev" read as a step, and steps applied to loops.

A step is words separated by spaces: the name of a transform, its arguments, and for one that wraps another the step
that it wraps.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents.blocks import Frames, Loop, Repeat
from unravel_lib.music import user_code
from unravel_lib.music.options import Options, read_value
from unravel_lib.music.transform import Transform
from unravel_lib.music.transforms import TRANSFORMS
from unravel_lib.statistics.measure import Array
from unravel_lib.text import count_text, printable


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
    """

    transform: Transform
    options: Options
    inner: Self | None
    words: tuple[str, ...]
    begin: int
    end: int

    @property
    def text(self) -> str:
        """The step as it was written, with single spaces."""
        return " ".join(self.words)

    @property
    def keeps_length(self) -> bool:
        """Whether a loop keeps its number of frames."""
        return self.transform.keeps_length and (self.inner is None or self.inner.keeps_length)

    @property
    def varies(self) -> bool:
        """Whether the same loop may become another one each time."""
        return self.transform.varies or (self.inner is not None and self.inner.varies)

    @property
    def is_random(self) -> bool:
        """Whether it uses random numbers."""
        return any("rng" in part.transform.inputs for part in self.parts())

    def parts(self) -> Iterator["Step"]:
        """The step, the one that it wraps, and so on."""
        yield self
        if self.inner is not None:
            yield from self.inner.parts()


def parse_step(text: str) -> Step:
    """Read a step such as "every 4 rev".

    Raises
    ------
    UsageError
        An unknown transform, wrong arguments, or a wrapper without a step; `detail` marks the word.
    """
    words = tuple(text.split())
    if not words:
        raise UsageError("`transform` is empty, expected a step such as rev")
    return _parse(words, 0)


def _parse(words: tuple[str, ...], begin: int) -> Step:
    try:
        transform = TRANSFORMS.find(words[begin])
    except UsageError as error:
        raise _marked(words, begin, begin + 1, str(error)) from error
    parameters, left = transform.parameters, len(words) - begin - 1
    needed = sum(p.default is p.empty for p in parameters.values())
    usage = f"`transform` {printable(words[begin])}{transform.arguments}"
    if left < needed + transform.wraps:
        missing = "a step" if left >= needed else f"{list(parameters)[left].upper()}"
        remedy = "" if len(words) > 1 else ": put the words of a step in quotes"
        raise _marked(words, len(words) - 1, len(words), f"{usage}: {missing} is missing{remedy}")
    end = begin + 1 + min(left - transform.wraps, len(parameters))
    if end < len(words) and not transform.wraps:
        takes = count_text(len(parameters), "argument") if parameters else "no arguments"
        remedy = "an argument has no spaces in it, and each step stands in quotes of its own"
        raise _marked(words, end, len(words), f"{usage} takes {takes}: {remedy}")
    options: Options = {name: p.default for name, p in parameters.items()}
    for number, (name, parameter) in enumerate(list(parameters.items())[: end - begin - 1], begin + 1):
        try:
            options[name] = read_value(parameter, words[number])
        except ValueError as error:
            found = f"{usage}: {name.upper()} is {printable(words[number])}, expected {error}"
            raise _marked(words, number, number + 1, found) from error
    inner = _parse(words, end) if transform.wraps else None
    return Step(transform, options, inner, words, begin, end)


def _marked(words: Sequence[str], begin: int, end: int, message: str) -> UsageError:
    """Make an error whose detail shows the step, with a mark under some of its words."""
    shown = [printable(word) for word in words]
    before, wrong = " ".join([*shown[:begin], ""]), " ".join(shown[begin:end])
    return UsageError(message, f"    {' '.join(shown)}\n    {' ' * len(before)}{'^' * len(wrong)}")


class Setting(NamedTuple):
    """What steps may ask for beside the loop: see `transform`."""

    std: Array
    centre: Array
    seed: np.random.SeedSequence


@dataclass(frozen=True, slots=True)
class _Place:
    index: int
    start: int
    std: Array
    centre: Array


class _Running:
    """A step with its own random generator, applied to one loop after the other."""

    called = False  # in a trial

    def __init__(self, step: Step, seed: np.random.SeedSequence, occurrence: int) -> None:
        self.step = step
        digest = hashlib.sha256(step.text.encode("utf-8", "surrogateescape")).digest()
        key = np.frombuffer(digest[:16], "<u4").tolist()
        self.rng = np.random.default_rng(
            np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key, occurrence, step.begin))
        )
        self.inner = None if step.inner is None else type(self)(step.inner, seed, occurrence)
        if step.transform.source is not None:
            user_code.seed_global_generators(seed)

    def apply(self, loop: Frames, place: _Place) -> Frames:
        transform = self.step.transform
        own = transform.source is None
        inputs = {
            "loop": loop if own else loop.copy(),
            "index": place.index,
            "start": place.start,
            "std": place.std,
            "centre": place.centre,
            "rng": self.rng,
            "step": None if self.inner is None else _Inner(self.inner.apply, self.inner.step, place),
        }
        return transform.apply(inputs, self.step.options)


class _Trial(_Running):
    """A step applied to a loop that is thrown away; a wrapped one even where its wrapper does not call it."""

    def apply(self, loop: Frames, place: _Place) -> Frames:
        self.called = True
        try:
            result = super().apply(loop, place)
            if not np.isfinite(result).all():
                raise UsageError(f"transform {self.step.transform.name}: it makes values that are not finite")
        except UsageError as error:
            if error.detail:  # of the wrapped step
                raise
            begin = min(self.step.begin + 1, self.step.end - 1)
            raise _marked(self.step.words, begin, self.step.end, str(error)) from error
        if self.inner is not None and not self.inner.called:
            self.inner.apply(loop, place)
        return result


class _Inner:
    """The wrapped step as a wrapper calls it."""

    def __init__(self, apply: Callable[[Frames, _Place], Frames], step: Step, place: _Place) -> None:
        self._apply, self._place = apply, place
        self.keeps_length = step.keeps_length

    def __call__(self, loop: Frames, dims: Array | slice = slice(None)) -> Frames:
        place = self._place
        return self._apply(loop, replace(place, std=place.std[dims], centre=place.centre[dims]))


def transformed(loops: Iterable[Loop], steps: Sequence[Step], setting: Setting) -> Iterator[Loop]:
    """Apply steps, in their order, to every loop; what is repeated and does not vary is transformed once.

    Each step has random numbers of its own, which depend on the file and on the text of the step only. Of equal steps
    each has others.

    Parameters
    ----------
    loops : iterable of float64 [frames, dims] or Repeat
    steps : sequence of Step
    setting : Setting
        Its `seed` is that of the pattern.

    Yields
    ------
    [frames, dims] or Repeat

    Raises
    ------
    UsageError
        A transform failed; names the user's file and the line.
    """
    seen: Counter[str] = Counter()
    for step in steps:
        loops = _run(loops, _Running(step, setting.seed, seen[step.text]), setting)
        seen[step.text] += 1
    return iter(loops)


def _run(loops: Iterable[Loop], running: _Running, setting: Setting) -> Iterator[Loop]:
    index = start = 0
    for loop in loops:
        array, times = (loop.loop, loop.times) if isinstance(loop, Repeat) else (loop, 1)
        if not running.step.varies and times:
            result = running.apply(array, _Place(0, 0, setting.std, setting.centre))
            yield Repeat(result, times) if times > 1 else result
            continue
        for _ in range(times):
            result = running.apply(array, _Place(index, start, setting.std, setting.centre))
            yield result
            index, start = index + 1, start + len(result)


def try_steps(steps: Sequence[Step], n_frames: int, setting: Setting) -> int | None:
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
    ramp = np.linspace(-1, 1, n_frames)[:, None]
    loop = setting.centre + setting.std * ramp
    place = _Place(0, 0, setting.std, setting.centre)
    for step in steps:
        loop = _Trial(step, setting.seed, 0).apply(loop, place)
    known = all(step.keeps_length or not step.varies for step in steps)
    return len(loop) if known else None


def on_letters(step: str, letters: str, n_loops: int = 1, seed: int = 0) -> str:
    """Show what a step makes of a loop of letters, for examples; loops are separated by a space.

    >>> on_letters("every 2 rev", "ABCD", n_loops=2)
    'ABCD DCBA'
    """
    loop = np.array([[float(ord(letter))] for letter in letters])
    setting = Setting(np.ones(1), loop.mean(axis=0), np.random.SeedSequence(seed))
    results = transformed([loop] * n_loops, [parse_step(step)], setting)
    frames = (result.loop if isinstance(result, Repeat) else result for result in results)
    return " ".join("".join(chr(round(value)) for value in array[:, 0]) for array in frames)
