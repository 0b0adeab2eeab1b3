"""What can go wrong, as exceptions with fields; only the command line makes sentences with flags of them."""

import numbers
import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from unravel_lib.text import printable


@dataclass(eq=False, repr=False)
class UnravelError(Exception):
    """Any failure that the user can fix.

    Its fields are facts; `sentence` joins them to one line: "x.npy has 16 dims, expected 8: decode it with the model
    that it was encoded with". No field holds the name of an option in its text. A warning may be one that is logged.

    Attributes
    ----------
    found : str
        What is wrong, as what is said of the path or the option: "has 16 dims". Without either it is a whole clause.
    path : str, PathLike or None
        The file or folder that it is about.
    option : str or None
        The option that it is about, such as "seed": a flag of the scripts, a parameter in Python.
    value : object
        What that option was given; None where that does not help.
    expected : str
        What would have been right: "8".
    remedy : str
        What to do.
    remedy_options : tuple of str
        The options that do it.
    """

    found: str
    _: KW_ONLY
    path: str | os.PathLike[str] | None = None
    option: str | None = None
    value: object = None
    expected: str = ""
    remedy: str = ""
    remedy_options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.sentence()

    @property
    def reason(self) -> tuple[object, ...]:
        """What failures of many files have in common: all fields but the path."""
        return (type(self), self.found, self.option, self.value, self.expected, self.remedy, self.remedy_options)

    def sentence(self, flag: Callable[[str], str] = str) -> str:
        """Return the fields as one line; `flag` returns how an option is written: `seed` or --seed."""
        subject = [] if self.path is None else [printable(self.path)]
        if self.option is not None:
            subject += [flag(self.option)] + ([] if self.value is None else [printable(str(self.value))])
        text = " ".join([*subject, self.found])
        text += f", expected {self.expected}" if self.expected else ""
        options = ", ".join(map(flag, self.remedy_options))
        if self.remedy:
            return f"{text}: {self.remedy}" + (f" ({options})" if options else "")
        return f"{text}: {options}" if options else text


@dataclass(eq=False, repr=False)
class UsageError(UnravelError, ValueError):
    """Options that do not fit each other, the input or the machine; in Python a ValueError too.

    `detail` is printed below the line where it helps: a text with a mark under the wrong word.
    """

    detail: str = ""


class InputError(UnravelError):
    """A sound file, a latents file or a folder that cannot be used as it is."""


class ModelError(UnravelError):
    """A model file that cannot be loaded, trusted or run."""


class OutputError(UnravelError):
    """A result that cannot be written to the requested place."""


def whole_number(option: str, value: object, most: int = 2**31, least: int = 1) -> None:
    """Raise UsageError where an argument is no whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        expected = f"a whole number from {least} to {most:,}"
        raise UsageError("is out of range", option=option, value=repr(value), expected=expected)


def is_number(value: object) -> bool:
    """Return whether a value is a real number, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_seed(seed: object) -> None:
    """Raise UsageError where a seed is none that sidecars and PyTorch take."""
    whole_number("seed", seed, 2**63 - 1, 0)


def check_suffix(path: str | os.PathLike[str], suffix: str) -> None:
    """Raise OutputError where a file that is to be written is not named as what it holds."""
    if not os.fspath(path).lower().endswith(suffix):
        raise OutputError("is no name for such a file", path=path, expected=f"one that ends with {suffix}")
