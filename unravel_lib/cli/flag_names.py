"""Names of options in the library's messages, turned into the flags that set them."""

import re
from collections.abc import Iterable

_names = {"debug", "sample_rate"}  # sample_rate: the inspector, which lacks it, names it for the other scripts


def register(names: Iterable[str]) -> None:
    """Make these options known as flags of the script that runs."""
    _names.update(names)


def with_flags(text: str) -> str:
    """The text with every option that stands in backticks as its flag: `seed` -> --seed."""
    return re.sub(r"`([a-z_]+)`", lambda found: f"--{found[1]}" if found[1] in _names else found[0], text)
