"""What a distribution, a pattern and a transform are: functions that are chosen by name.

    @distribution
    def uniform(statistics, rng, n_frames): ...

    @pattern
    def morph(loop, loop_b, n_loops, steps: int = 4): ...        # steps is an option

    @transform
    def rot(loop, frames: int): ...                              # "rot 2": so is frames

The names of a function's parameters say which of these inputs it is given:

    distribution -> frames float64 [n_frames, dims]
        statistics   what was measured (see `Statistics`); `location`, `scale` and `active_...` follow `iqr`
        recordings   what is known of the recordings behind it (see `Recordings`); statistics of a table have none
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
        loops        a function of a number, `loops(0)` is A, `loops(1)` B: independent loops, as many as are wanted
        n_loops      how often the pattern repeats things (`num_loops`)
        std          float64 [dims], how far the values of the encodings spread: `statistics.scale`, which follows `iqr`
        rng          a NumPy random generator of the pattern's own

    transform -> the loop as it is played [frames, dims]
        loop, std    as above
        rng          a NumPy random generator of the step's own
        index        which loop of the piece it is, from 0
        start        how many frames this step has returned before, for the earlier loops of the piece; inside another
                     step, how many the outermost one has
        centre       float64 [dims], around which the values of the encodings spread
        attacks      a function of frames: how strongly each is struck, float64 [frames] in dB, or None if unknown
        step         the step behind this one, for transforms that wrap another: `step(loop)` applies it, to some dims
                     `step(loop[:, dims], dims)`

Every other parameter is an option: an int, float, bool, str or `Literal` of str by its annotation or its default. The
options of a transform that wraps another have no defaults: the step begins where its arguments end. A user's function
may change the arrays that it is given. For users' functions `random` and `np.random` are seeded too.
"""

import ast
import contextlib
import inspect
import random
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unravel_lib.errors import UnravelError, UsageError
from unravel_lib.latents import Frames
from unravel_lib.text import did_you_mean, printable

Function = Callable[..., Any]
Options = dict[str, int | float | bool | str]

INPUTS = {
    "distribution": ("statistics", "recordings", "rng", "n_frames", "place", "in_time", "note", "wishes", "target"),
    "pattern": ("loop", "loop_b", "loops", "n_loops", "std", "rng"),
    "transform": ("loop", "index", "start", "std", "centre", "attacks", "rng", "step"),
}
MAX_BYTES = 1 << 30  # of a piece in memory: with 16 dims more than 100 hours
LARGEST = 2**31  # number that an option can be
YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
TYPES: dict[str, tuple[Callable[[str], Any], str]] = {  # of options: how a text is read, and what is expected
    "int": (int, f"a whole number of at most {LARGEST:,}"),
    "float": (float, f"a number of at most {LARGEST:,}"),
    "bool": (lambda text: YES_NO[text.lower()], "yes or no"),
    "str": (str, "a text"),
}


@dataclass(frozen=True)
class Option:
    """An option of a function; `type` is "int", "float", "bool", "str" or the texts to choose from."""

    name: str
    type: str | tuple[str, ...]
    default: Any

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Self:
        """Read a parameter by the text of its annotation, else by its default; raise TypeError for any other type."""
        annotation, default, empty = parameter.annotation, parameter.default, parameter.empty
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        if literal := re.fullmatch(r"(?:\w+\.)*Literal(\[['\"].*\])", text, re.DOTALL):
            return cls(parameter.name, tuple(ast.literal_eval(literal[1])), default)
        kind = text if text in TYPES else "str" if annotation is default is empty else type(default).__name__
        if kind not in TYPES:
            expected = "int, float, bool, str or a Literal of str"
            raise TypeError(f"option {parameter.name} is of type {text}, expected {expected}")
        return cls(parameter.name, kind, default)

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def usage(self) -> str:
        """How it is written: "levels=int"."""
        kind = self.type if isinstance(self.type, str) else "|".join(self.type)
        return f"{self.name}={'yes|no' if kind == 'bool' else kind}"

    def read(self, given: object) -> Any:
        """Read a value or a text that stands for one; raise ValueError, which says what is expected."""
        text = str(given)
        if not isinstance(self.type, str):
            if text not in self.type:
                raise ValueError(", ".join(self.type) + did_you_mean(text, self.type))
            return text
        reads, expected = TYPES[self.type]
        with contextlib.suppress(ValueError, KeyError):
            value = reads(text)
            if isinstance(value, str) or abs(value) <= LARGEST:
                return value
        raise ValueError(expected)


@dataclass(frozen=True, eq=False)
class Entry:
    """A function that is chosen by name.

    Attributes
    ----------
    kind : "distribution", "pattern" or "transform"
    name : str
    function : callable
    inputs : tuple of str
        Which of the inputs of its kind it takes.
    options : mapping of Option by name
    source : str or None
        The file that it comes from; None for the library's own.
    """

    kind: str
    name: str
    function: Function
    inputs: tuple[str, ...]
    options: Mapping[str, Option]
    source: str | None

    @classmethod
    def of(cls, kind: str, function: Function) -> Self:
        """Make an entry of a function, with its name; in names of the library - replaces _.

        Raises
        ------
        TypeError
            The signature is not supported: variable arguments, or an option of another type.
        """
        plain = inspect.unwrap(function)
        source = None if plain.__module__.startswith("unravel_lib.") else plain.__code__.co_filename
        name = plain.__name__ if source else plain.__name__.replace("_", "-")
        parameters = inspect.signature(plain).parameters
        for parameter in parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"{kind} {name}: {parameter} cannot be given by name")
        inputs = tuple(key for key in parameters if key in INPUTS[kind])
        options = {key: Option.of(parameter) for key, parameter in parameters.items() if key not in inputs}
        return cls(kind, name, function, inputs, options, source)

    @property
    def wraps(self) -> bool:
        """Whether another step follows the arguments of a transform."""
        return "step" in self.inputs

    @property
    def arguments(self) -> str:
        """What follows the name of a transform: " ONSETS STEPS [ROTATION]"."""
        names = (f" {o.name.upper()}" if o.is_required else f" [{o.name.upper()}]" for o in self.options.values())
        return "".join(names) + (" STEP" if self.wraps else "")

    @property
    def summary(self) -> str:
        """What it does: the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "(no description)").splitlines()[0]

    def listed(self, name: str) -> tuple[str, str]:
        """How it stands in a list: its name there, and what it does: "... [levels=int, default 2]"."""
        if self.kind == "transform":
            return name + self.arguments, self.summary
        options = self.options.values()
        usages = (f" [{o.usage}{'' if o.is_required else f', default {o.default}'}]" for o in options)
        return name, self.summary + "".join(usages)

    def read_options(self, texts: Sequence[str]) -> Options:
        """Read `["levels=3"]` as `{"levels": 3}`, the last one of each name; see `complete`."""
        for text in texts:
            if "=" not in text:
                remedy = f"write {printable(text)}=VALUE"
                raise UsageError("is not name=value", option=f"{self.kind}_args", value=text, remedy=remedy)
        return self.complete(dict(text.split("=", 1) for text in texts))

    def complete(self, given: Mapping[str, object]) -> Options:
        """Read options, values or texts, and fill in the defaults of the others.

        Raises
        ------
        UsageError
            An unknown option, one of another type, or one without default is missing.
        """
        for name in given:
            if name not in self.options:
                takes = f"it takes {', '.join(self.options) or 'none'}{did_you_mean(name, list(self.options))}"
                raise self.wrong(f"has no option {printable(name)}", remedy=takes)
        for name, option in self.options.items():
            if name not in given and option.is_required:
                raise self.wrong(f"needs {option.usage}", remedy_options=(f"{self.kind}_args",))
        values = {name: option.default for name, option in self.options.items()}
        chosen = {name: value for name, value in given.items() if value is not values[name]}
        return values | {name: self.read_option(name, value) for name, value in chosen.items()}

    def read_option(self, name: str, given: object) -> Any:
        """Read one option; raise UsageError where its value does not fit."""
        try:
            return self.options[name].read(given)
        except ValueError as error:
            raise self.wrong(f"has {name}={printable(str(given))}", expected=str(error)) from error

    def wrong(self, found: str, **fields: Any) -> UsageError:
        """Make an error that says what is wrong with the entry."""
        return UsageError(found, option=self.kind, value=self.name, **fields)

    def naming_errors(self) -> contextlib.AbstractContextManager[None]:
        """Return the context of `naming_errors` for errors of the function."""
        first_line = inspect.unwrap(self.function).__code__.co_firstlineno
        return naming_errors(f"{self.kind} {self.name}", self.source, first_line)

    def call(self, given: Mapping[str, Any], options: Options, seed: np.random.SeedSequence | None = None) -> Any:
        """Call the function with its inputs, `rng` from a `seed` if given; arrays are copied, as it may change them."""
        if seed is not None:
            given = {**given, "rng": np.random.default_rng(seed)}
            if self.source is not None:
                seed_global_generators(seed)
        inputs = {name: given[name] for name in self.inputs}
        copies = {name: value.copy() for name, value in inputs.items() if isinstance(value, np.ndarray)}
        return self.function(**{**inputs, **copies}, **options)


@contextlib.contextmanager
def naming_errors(what: str, source: str | None, first_line: int = 1) -> Iterator[None]:
    """Turn an error raised inside into a UsageError: a ValueError of the library's, any error of a user's `source`.

    The UsageError names `what`; for a user's code instead the file and the last of its lines that was running, else
    `first_line`. Errors of the project's own, MemoryError and other errors of the library's functions pass unchanged.
    """
    try:
        yield
    except (UnravelError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        text = printable(" ".join(str(error).split()))
        if source is None:
            if type(error) is not ValueError:
                raise
            raise UsageError(f"{what}: {text}") from error
        trace = traceback.walk_tb(error.__traceback__)
        lines = [first_line, *(line for frame, line in trace if frame.f_code.co_filename == source)]
        if isinstance(error, SyntaxError) and error.filename == source:
            lines, text = [error.lineno or 1], error.msg
        named = text if type(error) is ValueError and text else f"{type(error).__name__}: {text}".rstrip(": ")
        raise UsageError(f"line {lines[-1]}: {named}", path=source) from error


def seed_global_generators(seed: np.random.bit_generator.ISeedSequence) -> None:
    """Seed the generators of `random` and `np.random`, which only a user's code may use."""
    number = int(seed.generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)


def checked_loop(item: Any, dims: int) -> Frames:
    """Return a copy of one loop as float64; raise ValueError where it is not [frames, dims] of real numbers."""
    array = np.asarray(item)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"a loop holds {array.dtype} values, expected real numbers")
    if array.ndim != 2 or array.shape[1] != dims:
        raise ValueError(f"a loop has shape {array.shape}, expected (frames, {dims})")
    return array.astype(np.float64)  # a copy: whose function it is may change it and give it again


def check_range(minimum: int, maximum: float = np.inf, **given: float) -> None:
    """Raise ValueError where an option is too small or too large: `check_range(1, 12, levels=levels)`."""
    for name, value in given.items():
        if not minimum <= value <= maximum:
            expected = f"{minimum} at least" if maximum == np.inf else f"{minimum} to {maximum:,}"
            raise ValueError(f"{name}={value:.10g} is out of range, expected {expected}")
