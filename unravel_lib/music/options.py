"""Options of a function, read from `name=value` texts by its signature: int, float, bool, str or a Literal of str."""

import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Literal

from unravel_lib.errors import UsageError
from unravel_lib.text import did_you_mean, printable

Options = dict[str, int | float | bool | str]
Parameters = Mapping[str, inspect.Parameter]
LARGEST = 2**31  # of whole numbers
YES, NO = ("yes", "true", "1"), ("no", "false", "0")


def choices_or_type(parameter: inspect.Parameter) -> tuple[str, ...] | type:
    """Return the values that a parameter takes, by its annotation, else by its default, else str.

    Returns
    -------
    tuple of str or type
        The strings to choose from, or int, float, bool or str.

    Raises
    ------
    TypeError
        No text can be read as such a value.
    """
    kind = parameter.annotation
    if kind is parameter.empty:
        kind = type(parameter.default) if parameter.default is not parameter.empty else str
    if typing.get_origin(kind) is Literal and all(isinstance(c, str) for c in typing.get_args(kind)):
        return typing.get_args(kind)
    if kind in (int, float, bool, str):
        return typing.cast(type, kind)
    name = "None" if kind is NoneType else getattr(kind, "__name__", kind)
    raise TypeError(f"option {parameter.name} is of type {name}, expected int, float, bool, str or a Literal of str")


def usage(parameters: Parameters) -> str:
    """Describe options in one line: " [levels=int, default 2]"; empty where there are none."""
    texts = (
        f"{name}={_type_name(p)}" + ("" if p.default is p.empty else f", default {p.default}")
        for name, p in parameters.items()
    )
    return "".join(f" [{text}]" for text in texts)


def read_options(texts: Sequence[str], parameters: Parameters, kind: str, owner: str) -> Options:
    """Read `["levels=3"]` as `{"levels": 3}`; defaults are filled in.

    Parameters
    ----------
    texts : sequence of str
        `name=value` each.
    parameters : mapping of inspect.Parameter by name
        The options of the function.
    kind, owner : str
        For errors: "pattern" and its name.

    Raises
    ------
    UsageError
        Not name=value, an unknown or repeated name, a wrong type, or a value without default is missing.
    """
    values: Options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`{kind}_args` {printable(text)} is not name=value: write it like levels=3")
        if name not in parameters:
            has = f"it takes {', '.join(parameters)}" if parameters else "it takes none"
            hint = did_you_mean(name, list(parameters))
            raise UsageError(f"`{kind}_args` {printable(name)}: {kind} {owner} has no such option, {has}{hint}")
        if name in values:
            raise UsageError(f"`{kind}_args` {printable(name)} is given twice: give it once")
        try:
            values[name] = read_value(parameters[name], value)
        except ValueError as error:
            given = f"`{kind}_args` {name}={printable(value)}"
            raise UsageError(f"{given}: {kind} {owner} takes {error}") from error
    for name, parameter in parameters.items():
        if name not in values and parameter.default is parameter.empty:
            raise UsageError(f"{kind} {owner} needs `{kind}_args` {name}={_type_name(parameter)}")
        values.setdefault(name, parameter.default)
    return values


def _type_name(parameter: inspect.Parameter) -> str:
    kind = choices_or_type(parameter)
    return "|".join(kind) if isinstance(kind, tuple) else "yes|no" if kind is bool else kind.__name__


def read_value(parameter: inspect.Parameter, text: str) -> int | float | bool | str:
    """Read the value of one option.

    Raises
    ------
    ValueError
        The text is no such value; the message says what is: "a whole number".
    """
    kind = choices_or_type(parameter)
    if isinstance(kind, tuple):
        if text in kind:
            return text
        raise ValueError(f"{', '.join(kind)}{did_you_mean(text, kind)}")
    if kind is bool:
        if text.lower() in YES + NO:
            return text.lower() in YES
        raise ValueError("yes or no")
    try:
        value: int | float | str = kind(text)
    except ValueError:
        raise ValueError("a whole number" if kind is int else "a number") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"a whole number of at most {LARGEST:,}")
    return value
