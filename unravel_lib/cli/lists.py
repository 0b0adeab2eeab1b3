"""The lists that generator.py prints: distributions, patterns and transforms, with their options."""

from collections.abc import Sequence

from unravel_lib.cli.messages import with_flags
from unravel_lib.music.catalogue import DISTRIBUTIONS, PATTERNS, TRANSFORMS
from unravel_lib.music.steps import split_words


def show_distributions(chosen: str) -> None:
    """Print all distributions, and those of the user's file that `chosen` names, if any."""
    _show("distributions", DISTRIBUTIONS.listing(chosen))


def show_patterns(chosen: str) -> None:
    """Print all patterns, and those of the user's file that `chosen` names, if any."""
    _show("patterns", PATTERNS.listing(chosen))


def show_transforms(chosen: Sequence[str]) -> None:
    """Print all transforms, and those of the user's file that the first step with one names, if any."""
    files = [word for step in chosen for word in split_words(step) if ".py" in word]
    _show("transforms", TRANSFORMS.listing(files[0] if files else ""))


def _show(title: str, entries: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in entries)
    print(f"{title}:", *(f"  {name:<{width}}  {with_flags(text)}" for name, text in entries), sep="\n")
