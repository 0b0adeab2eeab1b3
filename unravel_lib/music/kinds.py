"""What a distribution, a pattern and a transform are: functions that are chosen by name.

A function takes what it asks for by the names of its parameters:

    distribution -> frames float64 [n_frames, dims]
        statistics   what was measured (see `Statistics`); `location`, `scale` and `active_...` follow `iqr`
        rng          a NumPy random generator, the only source of random numbers: same state, same bytes
        n_frames     how many frames to draw
        place        0 to 1, where in all recordings: evenly spread over the files of a run
        in_time      whether the length of the loop was chosen by a tempo
        note         a function that is called with a line of text: what was done
        wishes       how the loop is to sound: ranks over the loop by name of a descriptor; mostly empty
        target       float64 [frames, dims], latents of another sound whose course is wanted; None where there is none

    pattern -> the piece [frames, dims], or its loops one after the other, each an array or a `Repeat(loop, times)`
        loop         float64 [n_frames, dims], the loop (A)
        loop_b       float64 [n_frames, dims], a second, independent loop (B)
        loops        a function of a number that returns as many independent loops as are wanted: `loops(0)` is A
        n_loops      how often the pattern repeats things (`num_loops`)
        std          float64 [dims], how far the values of the encodings spread
        rng          a NumPy random generator of the pattern's own

    transform -> the loop as it is played [frames, dims]
        loop, std, rng as above
        index        which loop of the piece it is, from 0
        start        which frame of the piece is the first of the loop, from 0
        centre       float64 [dims], around which the values of the encodings spread
        step         the step behind this one, for transforms that wrap another: `step(loop)` applies it, to some dims
                     `step(loop[:, dims], dims)`; `step.keeps_length` says whether it keeps the number of frames

Every other parameter is an option: an int, float, bool, str or `Literal` of str by its annotation or its default. A
user's function may change the arrays that it is given. For users' functions `random` and `np.random` are seeded too.
"""

import contextlib
import inspect
import itertools
import numbers
import random
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from unravel_lib.errors import UnravelError, UsageError, whole_number
from unravel_lib.latents import Frames
from unravel_lib.music.tempo import MAX_LATENTS
from unravel_lib.statistics.measure import FLOAT32_MAX, Array, Statistics
from unravel_lib.text import did_you_mean, printable

Function = Callable[..., Any]
Options = dict[str, int | float | bool | str]
Spread = Literal["always", "with_iqr", "never"]

YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
LARGEST = 2**31  # of whole numbers
TYPES: dict[Any, tuple[type, float, str]] = {  # of options: what fits, its largest value, what is expected
    int: (numbers.Integral, LARGEST, "a whole number"),
    float: (numbers.Real, sys.float_info.max, "a finite number"),
    bool: (bool, 1, "yes or no"),
    str: (str, 0, "a text"),
}
MAX_BYTES = 1 << 30  # of a piece in memory: with 16 dims more than 100 hours
MAX_EMPTY_LOOPS = 100_000  # in a row: a pattern that yields more of them never ends


@dataclass(frozen=True, eq=False)
class Repeat:
    """The same loop [frames, dims] several times in a row, as a pattern may give it."""

    loop: Frames
    times: int


@dataclass(frozen=True)
class Option:
    """An option of a function; `type` is int, float, bool, str or the texts to choose from."""

    name: str
    type: Any
    default: Any

    @classmethod
    def of(cls, parameter: inspect.Parameter, names: Mapping[str, Any]) -> Self:
        """Read a parameter of a function whose module has these names; raise TypeError for any other type."""
        kind, default = parameter.annotation, parameter.default
        if isinstance(kind, str):
            with contextlib.suppress(NameError, AttributeError, TypeError, SyntaxError):
                kind = eval(kind, {**vars(typing), "typing": typing, **names})
        if kind is parameter.empty or (isinstance(kind, str) and default is not parameter.empty):
            kind = str if default is parameter.empty else type(default)  # a text is imported for type checkers only
        choices = typing.get_args(kind)
        if typing.get_origin(kind) is Literal and all(isinstance(choice, str) for choice in choices):
            return cls(parameter.name, choices, default)
        if kind not in TYPES:
            name = "None" if default is None else getattr(kind, "__name__", kind)
            expected = "int, float, bool, str or a Literal of str"
            raise TypeError(f"option {parameter.name} is of type {name}, expected {expected}")
        return cls(parameter.name, kind, default)

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def usage(self) -> str:
        """How it is written: "levels=int"."""
        kind = "|".join(self.type) if isinstance(self.type, tuple) else self.type.__name__
        return f"{self.name}={'yes|no' if kind == 'bool' else kind}"

    def read(self, text: str) -> Any:
        """Read a text as a value; it stays a text where it is none, which `Entry.checked` refuses."""
        if self.type is bool:
            return YES_NO.get(text.lower(), text)
        with contextlib.suppress(ValueError):
            return self.type(text) if self.type in TYPES else text
        return text


@dataclass(frozen=True, eq=False)
class Entry:
    """A function that is chosen by name.

    Attributes
    ----------
    name : str
    function : callable
    inputs : tuple of str
        Which of the inputs of its kind it takes.
    options : mapping of Option by name
    source : str or None
        The file that it comes from; None for the library's own.
    """

    kind: ClassVar[str]
    offered: ClassVar[tuple[str, ...]]

    name: str
    function: Function
    inputs: tuple[str, ...]
    options: Mapping[str, Option]
    source: str | None

    @classmethod
    def of(cls, function: Function, name: str | None = None, **declared: Any) -> Self:
        """Make an entry of a function, by its own name or another; `declared` are the further attributes of its kind.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of another type.
        ValueError
            The name cannot be part of a file name.
        """
        plain = inspect.unwrap(function)
        name = name or plain.__name__
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"{cls.kind} {name!r:.60}: expected a name of letters, digits, _ and -")
        parameters = inspect.signature(plain).parameters
        for parameter in parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{cls.kind} {name}: {parameter} cannot be given by name")
        inputs = tuple(key for key in parameters if key in cls.offered)
        options = {key: Option.of(p, plain.__globals__) for key, p in parameters.items() if key not in inputs}
        source = None if plain.__module__.startswith("unravel_lib.") else plain.__code__.co_filename
        return cls(name, function, inputs, options, source, **declared)

    @property
    def summary(self) -> str:
        """What it does: the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "(no description)").splitlines()[0]

    def listed(self, name: str) -> tuple[str, str]:
        """How it stands in a list: its name there, and what it does: "... [levels=int, default 2]"."""
        options = self.options.values()
        usages = (f" [{o.usage}{'' if o.is_required else f', default {o.default}'}]" for o in options)
        return name, self.summary + "".join(usages)

    def read_options(self, texts: Sequence[str]) -> Options:
        """Read `["levels=3"]` as `{"levels": 3}`; see `complete`."""
        given: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals:
                raise UsageError("is not name=value", option=f"{self.kind}_args", value=text, remedy="write levels=3")
            if name in given:
                raise UsageError("is given twice", option=f"{self.kind}_args", value=name, remedy="give it once")
            given[name] = self.options[name].read(value) if name in self.options else value
        return self.complete(given)

    def complete(self, given: Mapping[str, Any]) -> Options:
        """Check options, and fill in the defaults of the others.

        Raises
        ------
        UsageError
            An unknown option, one of another type, or one without default is missing.
        """
        for name in given:
            if name not in self.options:
                takes = f"it takes {', '.join(self.options) or 'none'}{did_you_mean(name, list(self.options))}"
                raise self.wrong(f"has no option {printable(name)}", remedy=takes)
        values = {}
        for name, option in self.options.items():
            value = given.get(name, option.default)
            if value is inspect.Parameter.empty:
                raise self.wrong(f"needs {option.usage}", remedy_options=(f"{self.kind}_args",))
            values[name] = value if value is option.default else self.checked(option, value)
        return values

    def checked(self, option: Option, value: Any) -> Any:
        """Return the value of an option as it is; raise UsageError where it does not fit."""
        if isinstance(option.type, tuple):
            fits, expected = value in option.type, ", ".join(option.type) + did_you_mean(str(value), option.type)
        else:
            wanted, most, expected = TYPES[option.type]
            fits = isinstance(value, wanted) and (option.type is bool or not isinstance(value, bool))
            if fits and option.type is not str and not abs(value) <= most:
                fits, expected = False, f"{expected} of at most {most:,}" if option.type is int else expected
        if not fits:
            raise self.wrong(f"has {option.name}={printable(str(value))}", expected=expected)
        return value

    def wrong(self, found: str, **fields: Any) -> UsageError:
        """Make an error that says what is wrong with the entry."""
        return UsageError(found, option=self.kind, value=self.name, **fields)

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Turn what fails in the entry's own code into a UsageError that names it, or the user's file and line."""
        try:
            yield
        except (UnravelError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if self.source is not None:
                raise failure_in_file(error, self.source, self.function) from error
            if type(error) is ValueError:
                raise UsageError(f"{self.kind} {self.name}: {printable(str(error))}") from error
            raise

    def call(self, given: Mapping[str, Any], options: Options) -> Any:
        """Call the function with its inputs; arrays are copied for a user's, which may change them."""
        inputs = {name: given[name] for name in self.inputs}
        if self.source is not None:
            inputs = {name: v.copy() if isinstance(v, np.ndarray) else v for name, v in inputs.items()}
        return self.function(**inputs, **options)


def failure_in_file(error: BaseException, source: str, function: Function | None = None) -> UsageError:
    """Name the line of a user's file at which an error arose; that of the function where none of it was running."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == source]
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename == source:
        lines, text = [error.lineno or 1], error.msg
    text = printable(" ".join(text.split()))
    named = f"{type(error).__name__}: {text}".rstrip(": ")
    first = inspect.unwrap(function).__code__.co_firstlineno if function else 1
    found = f"line {[first, *lines][-1]}: {text if type(error) is ValueError and text else named}"
    return UsageError(found, path=source)


def seed_global_generators(seed: np.random.bit_generator.ISeedSequence) -> None:
    """Seed the generators of `random` and `np.random`, which only a user's code may use."""
    number = int(seed.generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)


def checked_statistics(statistics: object) -> Statistics:
    """Return statistics that are given; raise UsageError where these are none."""
    if not isinstance(statistics, Statistics):
        found = f"is of type {type(statistics).__name__}"
        raise UsageError(found, option="statistics", expected="what measure returns")
    return statistics


def checked_loop(item: Any, dims: int) -> Frames:
    """Return a copy of one loop as float64; raise ValueError where it is not [frames, dims] of real numbers."""
    array = np.asarray(item)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"a loop holds {array.dtype} values, expected real numbers")
    if array.ndim != 2 or array.shape[1] != dims:
        raise ValueError(f"a loop has shape {array.shape}, expected (frames, {dims})")
    return array.astype(np.float64)  # a copy: whose function it is may change it and give it again


@dataclass(frozen=True, eq=False)
class Distribution(Entry):
    """A distribution, as it is registered.

    Attributes
    ----------
    needs_frames : bool
        Whether it takes frames of the encodings, which statistics read from a table do not have.
    spreads_by_iqr : "always", "with_iqr" or "never"
        When the spread of what it draws is the IQR: always, with `iqr`, as `scale` is, or never.
    """

    kind = "distribution"
    offered = ("statistics", "rng", "n_frames", "place", "in_time", "note", "wishes", "target")

    needs_frames: bool = False
    spreads_by_iqr: Spread = "with_iqr"

    def draw(
        self,
        statistics: Statistics,
        rng: np.random.Generator,
        n_frames: int,
        options: Options,
        place: float = 0.0,
        in_time: bool = False,
        note: Callable[[str], None] = lambda text: None,
        wishes: Mapping[str, Array] | None = None,
        target: Frames | None = None,
    ) -> Frames:
        """Draw frames: float64 [n_frames, dims], finite and within float32.

        Parameters
        ----------
        statistics : Statistics
            What was measured; `statistics.iqr` chooses between the classic and the robust statistics.
        rng : numpy.random.Generator
            The only source of random numbers.
        n_frames : int
            At least 1.
        options : dict
            Options of the distribution.
        place, in_time, note, wishes, target
            See above.

        Raises
        ------
        UsageError
            It cannot be used with these statistics, its function failed, or drew values that latents cannot have.
        """
        checked_statistics(statistics)
        whole_number("n_frames", n_frames, MAX_BYTES // (8 * statistics.dims))
        if self.needs_frames and not statistics.encodings:
            found = "takes frames of encodings, not a table"
            raise self.wrong(found, remedy="give the encodings", remedy_options=("input",))
        if self.source is not None:
            seed_global_generators(rng.bit_generator.seed_seq)
        with self.naming_errors():
            given: dict[str, Any] = {"statistics": statistics, "rng": rng, "n_frames": n_frames}
            given |= {"place": place, "in_time": in_time, "note": note, "wishes": wishes or {}, "target": target}
            drawn = self.call(given, options)
            frames = checked_loop(drawn, statistics.dims)
            if len(frames) != n_frames:
                raise ValueError(f"drew {len(frames)} frames, expected {n_frames}")
            largest = float(np.abs(frames).max())
            if not largest <= FLOAT32_MAX:  # which the encodings nearly reach, and a draw may go beyond them
                advice = "take copula, which stays within the measured values, or encodings with smaller ones"
                raise ValueError(f"drew values up to {largest:.2g}, in latents {FLOAT32_MAX:.2g} at most: {advice}")
        return frames

    def frozen_dims(self, statistics: Statistics) -> list[int]:
        """List the dims that vary in the encodings and will be constant in what is drawn.

        Silence, most of whose frames are equal, makes the IQR 0; a distribution that spreads by the IQR then gives
        the same value in every frame.
        """
        by_iqr = self.spreads_by_iqr == "always" or (statistics.iqr and self.spreads_by_iqr == "with_iqr")
        return np.flatnonzero((statistics.robust_std == 0) & (statistics.std > 0)).tolist() if by_iqr else []


@dataclass(frozen=True, eq=False)
class Pattern(Entry):
    """A pattern, as it is registered.

    `steady` says whether every loop keeps its length, so that its tempo applies; `takes` how many independent loops
    the pattern takes with these options, where it asks for `loops`.
    """

    kind = "pattern"
    offered = ("loop", "loop_b", "loops", "n_loops", "std", "rng")

    steady: bool = True
    takes: Callable[[Options], int] | None = None

    def loops_taken(self, options: Options) -> int:
        """Return how many independent loops a piece is made from."""
        return self.takes(options) if self.takes is not None else 1 + ("loop_b" in self.inputs)

    def loops(self, options: Options, seed: np.random.SeedSequence, **inputs: Any) -> Iterator[Frames]:
        """Run the pattern: yield the piece as the function does, loop by loop, each [frames, dims].

        Parameters
        ----------
        options : dict
            Options of the pattern.
        seed : numpy.random.SeedSequence
            Of its random numbers.
        **inputs
            `loops`, `n_loops`, `std`.

        Raises
        ------
        UsageError
            The function failed, gave something that is no loop, or too many empty loops; names the user's file and the
            line.
        """
        dims, empty = len(inputs["std"]), 0
        for which, name in enumerate(("loop", "loop_b")):
            if name in self.inputs:
                inputs[name] = inputs["loops"](which)
        if self.source is not None:
            seed_global_generators(seed)
        with self.naming_errors():
            made = self.call({**inputs, "rng": np.random.default_rng(seed)}, options)
            for item in [made] if isinstance(made, (np.ndarray, Repeat)) else made:
                loop, times = (item.loop, item.times) if isinstance(item, Repeat) else (item, 1)
                loop = checked_loop(loop, dims)
                if not isinstance(times, (int, np.integer)) or times < 0:
                    raise ValueError(f"a loop is repeated {times!r:.60} times, expected a whole number")
                empty = 0 if len(loop) * times else empty + 1
                if empty == MAX_EMPTY_LOOPS:
                    raise ValueError(f"{empty:,} loops in a row have no frames, expected some: does it ever end?")
                yield from itertools.repeat(loop, int(times) if len(loop) else 0)


@dataclass(frozen=True, eq=False)
class Transform(Entry):
    """A transform, as it is registered; `keeps_length` says whether a loop keeps its number of frames."""

    kind = "transform"
    offered = ("loop", "index", "start", "std", "centre", "rng", "step")

    keeps_length: bool = True

    @property
    def wraps(self) -> bool:
        """Whether another step follows its arguments."""
        return "step" in self.inputs

    @property
    def varies(self) -> bool:
        """Whether the same loop may become another one each time."""
        return not {"index", "start", "rng"}.isdisjoint(self.inputs)

    @property
    def arguments(self) -> str:
        """What follows the name: " ONSETS STEPS [ROTATION]"."""
        names = (f" {o.name.upper()}" if o.is_required else f" [{o.name.upper()}]" for o in self.options.values())
        return "".join(names) + (" STEP" if self.wraps else "")

    def listed(self, name: str) -> tuple[str, str]:
        """How it stands in a list: with its arguments, and what it does."""
        return name + self.arguments, self.summary

    def apply(self, given: Mapping[str, Any], options: Options) -> Frames:
        """Transform one loop.

        Raises
        ------
        UsageError
            The function failed, or returned something that is no loop; names the user's file and the line.
        """
        loop: Frames = given["loop"]
        with self.naming_errors(), np.errstate(all="ignore"):  # what is not finite is refused
            result = checked_loop(self.call(given, options), loop.shape[1])
            kept = self.keeps_length and (not self.wraps or given["step"].keeps_length)
            if kept and len(result) != len(loop):
                raise ValueError(
                    f"a loop of {len(loop)} frames has {len(result)} now: declare @transform(keeps_length=False)"
                )
            if len(result) > max(len(loop), MAX_LATENTS):
                raise ValueError(f"a loop has {len(result):,} frames now, at most {MAX_LATENTS:,}: make it shorter")
        return result
