"""The lists that generator.py prints: distributions and patterns, with their options."""

from collections.abc import Sequence

from unravel_lib.cli.messages import with_flags
from unravel_lib.music.distributions import DISTRIBUTIONS
from unravel_lib.music.patterns import PATTERNS


def show_distributions(chosen: str) -> None:
    """Print all distributions, and those of the user's file that `chosen` names, if any."""
    _show("distributions", DISTRIBUTIONS.listing(chosen))


def show_patterns(chosen: str) -> None:
    """Print all patterns, and those of the user's file that `chosen` names, if any."""
    _show("patterns", PATTERNS.listing(chosen))


def _show(title: str, entries: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in entries)
    print(f"{title}:", *(f"  {name:<{width}}  {with_flags(text)}" for name, text in entries), sep="\n")
