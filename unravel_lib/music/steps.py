"""The language of transforms: a text such as "every 4 dims 0-3 rev" read as a step, and steps applied to loops.

A step is words separated by blanks: the name of a transform, its arguments, and for one that wraps another the step
that it wraps. Quotes hold a word with blanks together, as in a shell.
"""

import contextlib
import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import TRANSFORMS
from unravel_lib.music.kinds import Entry, Options, checked_loop, seed_global_generators
from unravel_lib.statistics.measure import Array
from unravel_lib.tempo import MAX_LATENTS
from unravel_lib.text import printable

Attacks = Callable[[Frames], Array | None]


@dataclass(frozen=True, eq=False)
class Step:
    """A step, read from its text: "every 4 rev" is the transform `every`, its argument 4, and the step "rev" inside.

    Attributes
    ----------
    words : tuple of str
        All words of the text.
    begin, end : int
        Those from `begin` to `end` - 1 are the name of the transform and its arguments.
    transform : Entry
    options : dict
        Its arguments; defaults are filled in.
    wrapped : Step or None
        The step that it wraps, of the same words.
    """

    words: tuple[str, ...]
    begin: int
    end: int
    transform: Entry
    options: Options
    wrapped: "Step | None"

    @property
    def text(self) -> str:
        """The step as it was written, with single blanks."""
        return " ".join(map(quoted, self.words))

    @property
    def parts(self) -> "list[Step]":
        """The step itself, the one that it wraps, the one that this wraps, and so on."""
        return [self, *(self.wrapped.parts if self.wrapped else [])]

    def generators(self, seed: np.random.SeedSequence, occurrence: int) -> dict[int, np.random.Generator]:
        """Return a random generator for each part, by its `begin`.

        They depend on the seed, the text and which of equal steps it is; not on the folder of a user's file. Where a
        part is a user's own, `random` and `np.random` are seeded too.
        """
        if any(part.transform.source is not None for part in self.parts):
            seed_global_generators(seed)
        words = (word.rpartition("/")[2] if ".py:" in word else word for word in self.words)
        digest = hashlib.sha256(" ".join(map(quoted, words)).encode("utf-8", "surrogateescape")).digest()
        key = (*seed.spawn_key, *np.frombuffer(digest[:16], "<u4").tolist(), occurrence)
        seeds = {part.begin: np.random.SeedSequence(seed.entropy, spawn_key=(*key, part.begin)) for part in self.parts}
        return {begin: np.random.default_rng(own) for begin, own in seeds.items()}


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
    return _parse_words(words, 0)


def _parse_words(words: tuple[str, ...], begin: int) -> Step:
    """Read the words from `begin` to the last one as a step."""
    with marked(words, begin, begin + 1):
        transform = TRANSFORMS.find(words[begin])
    options, left = [*transform.options.values()], len(words) - begin - 1
    end = begin + 1 + min(left - transform.wraps, len(options))
    least = sum(option.is_required for option in options) + transform.wraps
    if left < least or (end < len(words) and not transform.wraps):
        found, usage = "has too few or too many arguments", words[begin] + transform.arguments
        remedy = "put the words of a step in quotes, each step in its own; an argument has no blanks in it"
        with marked(words, min(end, len(words) - 1), len(words)):
            raise transform.wrong(found, expected=usage, remedy=remedy)
    values: Options = {option.name: option.default for option in options}
    for number, option in enumerate(options[: end - begin - 1], begin + 1):
        with marked(words, number, number + 1):
            values[option.name] = transform.read_option(option.name, words[number])
    return Step(words, begin, end, transform, values, _parse_words(words, end) if transform.wraps else None)


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
    loops: Iterable[Frames],
    steps: Sequence[Step],
    std: Array,
    centre: Array,
    seed: np.random.SeedSequence,
    attacks: Attacks = lambda frames: None,
    trial: bool = False,
) -> Iterable[Frames]:
    """Apply steps, in their order, to every loop; what is repeated and does not vary is transformed once.

    Each step has random numbers of its own, which depend only on the piece, on the text of the step and on how many
    equal steps come before it.

    Parameters
    ----------
    loops : iterable of float64 [frames, dims]
    steps : sequence of Step
    std, centre : float64 [dims]
        How far the values of the encodings spread, and around what.
    seed : numpy.random.SeedSequence
        That of the pattern.
    attacks : function of frames, optional
        How strongly each is struck.
    trial : bool
        A wrapped step is applied even where its wrapper does not call it, so that wrong arguments are found.

    Yields
    ------
    float64 [frames, dims]

    Raises
    ------
    UsageError
        A transform failed; names the user's file and the line; `detail` marks the arguments.
    """
    given = {"std": std, "centre": centre, "attacks": attacks, "trial": trial}
    for number, step in enumerate(steps):
        occurrence = [before.text for before in steps[:number]].count(step.text)
        loops = _each(loops, step, {**given, "generators": step.generators(seed, occurrence)})
    return loops


def _each(loops: Iterable[Frames], step: Step, given: Mapping[str, Any]) -> Iterator[Frames]:
    varies = any(name in part.transform.inputs for part in step.parts for name in ("index", "start", "rng"))
    before, result = None, np.empty(0)
    index = start = 0
    for loop in loops:
        if varies or loop is not before:
            before, result = loop, _applied(step, loop, {**given, "index": index, "start": start})
            index, start = index + 1, start + len(result)
        yield result


def _applied(step: Step, loop: Frames, given: Mapping[str, Any]) -> Frames:
    """Apply a step to one loop; `given` are its inputs but `loop`, `rng`, `step`; `generators`; `trial`."""
    inside: list[Frames] = []

    def wrapped(loop: Frames, dims: Array | slice = slice(None)) -> Frames:
        assert step.wrapped is not None
        std, centre = given["std"][dims], given["centre"][dims]
        attacks = given["attacks"] if len(std) == len(given["std"]) else lambda frames: None
        inside.append(_applied(step.wrapped, loop, {**given, "std": std, "centre": centre, "attacks": attacks}))
        return inside[-1]

    transform, rng = step.transform, given["generators"][step.begin]
    with marked(step.words, min(step.begin + 1, step.end - 1), step.end), transform.naming_errors():
        with np.errstate(all="ignore"):  # what is not finite is refused
            made = transform.call({**given, "loop": loop, "rng": rng, "step": wrapped}, step.options)
        result = checked_loop(made, loop.shape[1])
        if len(result) > max(len(loop), MAX_LATENTS):
            raise ValueError(f"a loop has {len(result):,} frames now, at most {MAX_LATENTS:,}: make it shorter")
        if not np.isfinite(result).all():
            raise transform.wrong("makes values that are not finite")
    return wrapped(loop) if given["trial"] and step.wrapped is not None and not inside else result


def try_steps(
    steps: Sequence[Step], n_frames: int, std: Array, centre: Array, attacks: Attacks = lambda frames: None
) -> None:
    """Apply steps to one loop that is thrown away, so that wrong arguments are found before anything is drawn.

    Raises
    ------
    UsageError
        Arguments are out of range, or a user's transform failed; `detail` marks the arguments.
    """
    loop = centre + std * np.linspace(-1, 1, n_frames)[:, None]
    for _ in transformed([loop], steps, std, centre, np.random.SeedSequence(0), attacks, trial=True):
        pass
