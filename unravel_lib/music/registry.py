"""What a pattern is: the contract between the catalogue, a user's own patterns and the script.

A pattern is a decorated function. It asks for what it needs by parameter name:

    loop      float64 [n_frames, dims], the loop (A)
    loop_b    float64 [n_frames, dims], a second, independent loop (B)
    n_loops   how often the musician wants things repeated (`num_loops`)
    std       float64 [dims], how far the source's values spread
    rng       a NumPy random generator of the pattern's own

All arrays are its own to change. Every other parameter is the pattern's option (`--pattern_args name=value`), an int,
float, bool, str or `Literal`, by its annotation or its default. It returns the long array [frames, dims], or yields
pieces of it in order, which are written as they come; `repeat(piece, times)` makes a repetition that takes no memory.
It runs twice, with the same random numbers: once to learn how long the result is, once to write it. `random` and
`np.random` are seeded for it as well; a generator that a user's file makes for itself without a seed is not.
"""

import contextlib
import inspect
import math
import random
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from unravel_lib.errors import UnravelError, UsageError
from unravel_lib.text import did_you_mean, printable

Array = npt.NDArray[np.float64]
Function = Callable[..., Any]
Length = Callable[[int, int, int], int]
EMPTY_PIECES = 100_000  # in a row: a pattern that yields more of them never ends
GIVEN = ("loop", "loop_b", "n_loops", "std", "rng")


@dataclass(frozen=True)
class Material:
    """What one file is made from: loops A and B [n_frames, dims], repetitions, spread [dims], the pattern's seed."""

    loop: Array
    loop_b: Array
    n_loops: int
    std: Array
    seed: np.random.SeedSequence

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Fresh copies of what a pattern asks for, so that two runs of it start alike."""
        fresh = np.random.SeedSequence(self.seed.entropy, spawn_key=self.seed.spawn_key)
        values = {
            "loop": self.loop,
            "loop_b": self.loop_b,
            "n_loops": self.n_loops,
            "std": self.std,
            "rng": np.random.default_rng(fresh),
        }
        return {n: v.copy() if isinstance(v := values[n], np.ndarray) else v for n in names}


@dataclass(frozen=True)
class Pattern:
    """A pattern as the registry knows it.

    `source` is the user's file it comes from, None for the library's own; `length` tells how many frames it makes out
    of a loop of so many frames and dims and so many repetitions, None where only running it tells.
    """

    name: str
    function: Function
    summary: str
    steady: bool
    options: dict[str, inspect.Parameter]
    source: str | None = None
    length: Length | None = None

    @property
    def given(self) -> list[str]:
        """Which of `loop`, `loop_b`, `n_loops`, `std`, `rng` the function asks for."""
        return [name for name in inspect.signature(self.function).parameters if name in GIVEN]

    @property
    def usage(self) -> str:
        """The options as one line of text, with types and defaults; empty where there are none."""
        shown_options = (
            f"{name}={_type_name(p)}" + ("" if p.default is p.empty else f", default {p.default}")
            for name, p in self.options.items()
        )
        return "".join(f" [{text}]" for text in shown_options)

    def read_options(self, texts: Sequence[str]) -> dict[str, Any]:
        """`["levels=3"]` -> `{"levels": 3}`, checked against the function's signature; defaults are filled in.

        Raises
        ------
        UsageError
            Not name=value, an unknown or repeated name, a wrong type, or a value without default is missing.
        """
        values: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals:
                raise UsageError(f"`pattern_args` {printable(text)} is not name=value: write it like levels=3")
            if name not in self.options:
                has = f"it takes {', '.join(self.options)}" if self.options else "it takes none"
                hint = did_you_mean(name, list(self.options))
                raise UsageError(
                    f"`pattern_args` {printable(name)}: pattern {self.name} has no such option, {has}{hint}"
                )
            if name in values:
                raise UsageError(f"`pattern_args` {printable(name)} is given twice: give it once")
            values[name] = _read(self.name, self.options[name], value)
        for name, parameter in self.options.items():
            if name not in values and parameter.default is parameter.empty:
                raise UsageError(f"pattern {self.name} needs `pattern_args` {name}={_type_name(parameter)}")
            values.setdefault(name, parameter.default)
        return values

    def pieces(self, material: Material, options: dict[str, Any]) -> Iterator[Array]:
        """The long array in pieces [frames, dims] or [times, frames, dims], in order, as the function yields them.

        Raises
        ------
        UsageError
            The function failed, gave something that is no such piece, no frames for ever, or not as many as its
            `length` says; names the user's file and the line.
        """
        dims, made, empty = material.loop.shape[1], 0, 0
        promised = self.n_frames(len(material.loop), dims, material.n_loops)
        if self.source is not None:
            seed_global_chance(material.seed)
        with self._blamed():
            result = self.function(**material.given(self.given), **options)
            for piece in [result] if isinstance(result, np.ndarray) else result:
                array = _checked(piece, dims)
                made, empty = made + array.size // dims, 0 if array.size else empty + 1
                if empty == EMPTY_PIECES:
                    raise ValueError(f"{empty:,} pieces in a row have no frames, expected some: does it ever end?")
                if promised is not None and made > promised:
                    break
                yield array
            if promised not in (None, made):
                raise ValueError(f"length gave {promised:,} frames, the pattern made {made:,}: mend its length")

    def n_frames(self, n_frames: int, dims: int, n_loops: int) -> int | None:
        """What `length` says of a loop of so many frames and dims and so many repetitions; None without it.

        Raises
        ------
        UsageError
            It failed, or gave no whole number of frames; names the user's file and the line.
        """
        if self.length is None:
            return None
        with self._blamed():
            total = self.length(n_frames, dims, n_loops)
            if not isinstance(total, (int, np.integer)) or total < 0:
                raise ValueError(f"length gave {total!r:.60}, expected a whole number of frames")
        return int(total)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """What fails in here, in the pattern's own code, becomes one line that names the user's file and the line."""
        try:
            yield
        except (UnravelError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            if self.source is None and not isinstance(error, ValueError):
                raise
            raise UsageError(f"{self._place(error)}: {_reason(error)}") from error

    def _place(self, error: BaseException) -> str:
        if self.source is None:
            return f"pattern {self.name}"
        return (
            f"{printable(self.source)}, line {failed_line(error, self.source) or self.function.__code__.co_firstlineno}"
        )


PATTERNS: dict[str, Pattern] = {}


def seed_global_chance(seed: np.random.SeedSequence) -> None:
    """Seed the generators that Python and NumPy keep for all, which only a user's pattern may turn to."""
    number = int(seed.generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)


@overload
def pattern(function: Function) -> Function: ...
@overload
def pattern(*, steady: bool = ..., length: Length | None = ...) -> Callable[[Function], Function]: ...
def pattern(
    function: Function | None = None, *, steady: bool = True, length: Length | None = None
) -> Function | Callable[[Function], Function]:
    """Make a function a pattern: `@pattern`, or `@pattern(steady=False)` where the beat is not the loop's length.

    With `length` (see `Pattern`) a pattern that takes long need not run to learn how long its result is. The
    library's own are registered by their name, those of a user's file as `FILE.py:name`.

    Raises
    ------
    TypeError
        The signature cannot be served: variable arguments, or an option of a type that no text can be read as.
    """
    if function is None:
        return lambda f: _register(f, steady, length)
    return _register(function, steady, length)


def _register(function: Function, steady: bool, length: Length | None) -> Function:
    options = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"pattern {function.__name__}: {parameter} cannot be given by name")
        if name not in GIVEN:
            _choices_or_type(parameter)
            options[name] = parameter
    own = function.__module__.startswith("unravel_lib.")
    source = None if own else function.__code__.co_filename
    name = function.__name__ if own else f"{source}:{function.__name__}"
    summary = (inspect.getdoc(function) or "(no description)").splitlines()[0]
    PATTERNS[name] = Pattern(function.__name__, function, summary, steady, options, source, length)
    return function


def _choices_or_type(parameter: inspect.Parameter) -> tuple[str, ...] | type:
    """What values a pattern's option takes: the strings to choose from, or int, float, bool or str."""
    kind = parameter.annotation
    if kind is parameter.empty:
        kind = type(parameter.default) if parameter.default is not parameter.empty else str
    if typing.get_origin(kind) is Literal and all(isinstance(c, str) for c in typing.get_args(kind)):
        return typing.get_args(kind)
    if kind in (int, float, bool, str):
        return typing.cast(type, kind)
    name = "None" if kind is NoneType else getattr(kind, "__name__", kind)
    raise TypeError(f"option {parameter.name} is of type {name}, expected int, float, bool, str or a Literal of str")


def _type_name(parameter: inspect.Parameter) -> str:
    kind = _choices_or_type(parameter)
    return "|".join(kind) if isinstance(kind, tuple) else "yes|no" if kind is bool else kind.__name__


def _read(pattern_name: str, parameter: inspect.Parameter, text: str) -> Any:
    kind = _choices_or_type(parameter)
    where = f"`pattern_args` {parameter.name}={printable(text)}: pattern {pattern_name} takes"
    if isinstance(kind, tuple):
        if text in kind:
            return text
        raise UsageError(f"{where} {parameter.name} = {', '.join(kind)}{did_you_mean(text, kind)}")
    if kind is bool:
        if text.lower() in ("yes", "true", "1", "no", "false", "0"):
            return text.lower() in ("yes", "true", "1")
        raise UsageError(f"{where} yes or no")
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{where} {'a whole number' if kind is int else 'a number'}") from None
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{where} a finite number")
    return value


def _checked(piece: Any, dims: int) -> Array:
    array = np.asarray(piece)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"a piece holds {array.dtype} values, expected real numbers")
    if array.ndim not in (2, 3) or array.shape[-1] != dims:
        raise ValueError(f"a piece has shape {array.shape}, expected (frames, {dims})")
    return typing.cast(Array, array)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if type(error) is ValueError and text else f"{type(error).__name__}: {text}".rstrip(": ")


def failed_line(error: BaseException, source: str) -> int | None:
    """The line of a user's file at which an error arose; None where none of its lines was running."""
    if isinstance(error, SyntaxError) and error.filename == source:
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == source:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
