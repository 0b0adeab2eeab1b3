"""The language of transforms: a text such as "every 4 dims 0-3 rev" read as a step, and steps applied to loops.

A step is words separated by blanks: the name of a transform, its arguments, and for one that wraps another the step
that it wraps. Quotes hold a word with blanks together, as in a shell.
"""

import contextlib
import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unravel_lib.errors import UsageError
from unravel_lib.latents import Frames
from unravel_lib.music.catalogue import TRANSFORMS
from unravel_lib.music.kinds import Options, Transform, checked_loop, seed_global_generators
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.statistics.measure import Array
from unravel_lib.text import count_text, printable

Attacks = Callable[[Frames], Array | None]


def no_attacks(frames: Frames) -> None:
    """How strongly frames are struck, where nothing is known about that."""


@dataclass(frozen=True, eq=False)
class Part:
    """A transform and its arguments: the words `begin` to `end` - 1 of a step. Defaults are filled in."""

    transform: Transform
    options: Options
    begin: int
    end: int


@dataclass(frozen=True, eq=False)
class Step:
    """One step, read from its text: "every 4 rev" has the parts "every 4" and "rev"; each part wraps the next one."""

    words: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The step as it was written, with single blanks."""
        return " ".join(map(quoted, self.words))

    @property
    def keeps_length(self) -> bool:
        """Whether a loop keeps its number of frames."""
        return all(part.transform.keeps_length for part in self.parts)

    @property
    def varies(self) -> bool:
        """Whether the same loop may become another one each time."""
        return any(part.transform.varies for part in self.parts)

    def generators(self, seed: np.random.SeedSequence, occurrence: int = 0) -> list[np.random.Generator]:
        """Return random numbers for each part, which depend on the seed, the text and which of equal steps it is.

        Not on the folder of a user's file: a step is the same wherever that is.
        """
        if any(part.transform.source is not None for part in self.parts):
            seed_global_generators(seed)
        words = (word.rpartition("/")[2] if ".py:" in word else word for word in self.words)
        digest = hashlib.sha256(" ".join(map(quoted, words)).encode("utf-8", "surrogateescape")).digest()
        key = (*seed.spawn_key, *np.frombuffer(digest[:16], "<u4").tolist(), occurrence)
        seeds = (np.random.SeedSequence(seed.entropy, spawn_key=(*key, part.begin)) for part in self.parts)
        return [np.random.default_rng(own) for own in seeds]


@dataclass(eq=False)
class Call:
    """A step ready to be applied to loops, with all that transforms may ask for: see `kinds`.

    A transform that wraps others gets the call of the parts behind its own as `step`. In a `trial` the result is thrown
    away, and a wrapped step is applied even where its wrapper does not call it.
    """

    step: Step
    generators: Sequence[np.random.Generator]
    std: Array
    centre: Array
    attacks: Attacks = no_attacks
    index: int = 0
    start: int = 0
    trial: bool = False
    called: bool = False

    @property
    def keeps_length(self) -> bool:
        """Whether a loop keeps its number of frames."""
        return self.step.keeps_length

    def __call__(self, loop: Frames, dims: Array | slice = slice(None)) -> Frames:
        """Apply the step to a loop of all dims, or of these.

        Raises
        ------
        UsageError
            The transform failed, or made what is no loop; names the user's file and the line.
        """
        self.called, (part, *behind), (rng, *others) = True, self.step.parts, self.generators
        inner = replace(self, step=replace(self.step, parts=tuple(behind)), generators=others, called=False)
        inner.std, inner.centre = self.std[dims], self.centre[dims]
        inner.attacks = self.attacks if len(inner.std) == len(self.std) else no_attacks
        given = {**vars(inner), "loop": loop, "rng": rng, "step": inner}  # a Call's fields are named as the inputs
        words, transform = self.step.words, part.transform
        with marked(words, min(part.begin + 1, part.end - 1), part.end), transform.naming_errors():
            with np.errstate(all="ignore"):  # what is not finite is refused
                result = checked_loop(transform.call(given, part.options), loop.shape[1])
            if self.keeps_length and len(result) != len(loop):
                found = f"a loop of {len(loop)} frames has {len(result)} now"
                raise ValueError(f"{found}: declare @transform(keeps_length=False)")
            if len(result) > max(len(loop), MAX_LATENTS):
                raise ValueError(f"a loop has {len(result):,} frames now, at most {MAX_LATENTS:,}: make it shorter")
            if not np.isfinite(result).all():
                raise transform.wrong("makes values that are not finite")
        if self.trial and behind and not inner.called:
            inner(loop)
        return result


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
    parts = [_parse_part(words, 0)]
    while parts[-1].transform.wraps:
        parts.append(_parse_part(words, parts[-1].end))
    return Step(words, tuple(parts))


def _parse_part(words: tuple[str, ...], begin: int) -> Part:
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
            values[option.name] = transform.read_option(option.name, words[number])
    return Part(transform, values, begin, end)


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
    attacks: Attacks = no_attacks,
) -> Iterable[Frames]:
    """Apply steps, in their order, to every loop; what is repeated and does not vary is transformed once.

    Each step has random numbers of its own, which depend on the piece and on the text of the step only. Of equal steps
    each has others.

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

    Yields
    ------
    float64 [frames, dims]

    Raises
    ------
    UsageError
        A transform failed; names the user's file and the line; `detail` marks the arguments.
    """
    for number, step in enumerate(steps):
        occurrence = [before.text for before in steps[:number]].count(step.text)
        loops = _each(loops, Call(step, step.generators(seed, occurrence), std, centre, attacks))
    return loops


def _each(loops: Iterable[Frames], call: Call) -> Iterator[Frames]:
    before = result = None
    for loop in loops:
        if result is None or call.step.varies or loop is not before:
            before, result = loop, call(loop)
            call.index, call.start = call.index + 1, call.start + len(result)
        yield result


def try_steps(
    steps: Sequence[Step], n_frames: int, std: Array, centre: Array, attacks: Attacks = no_attacks
) -> int | None:
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
    loop = centre + std * np.linspace(-1, 1, n_frames)[:, None]
    for step in steps:
        loop = Call(step, step.generators(np.random.SeedSequence(0)), std, centre, attacks, trial=True)(loop)
    known = all(step.keeps_length or not step.varies for step in steps)
    return len(loop) if known else None
