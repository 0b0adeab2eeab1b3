"""The page as one file: the template filled with cards, with the style and the script inside."""

import base64
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from unravel_lib.errors import InputError, OutputError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import open_input
from unravel_lib.page.cards import Card

NAME = "index.html"
SOUND = "sound"  # a folder of many projects: the one above it tells more
MARK = b'<meta name="generator" content="UnRAVEl">'  # in every page
FOLDED_ABOVE = 40  # sounds: with more, the page is too long to look through
TELLING = ("distribution", "pattern", "transforms", "seed", "recording", "run")  # facts that tell sounds apart
HERE = Path(__file__).parent


def write_page(target: Path, cards: Sequence[Card]) -> None:
    """Write the page; everything that comes from names and sidecars is escaped.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(clock=clock, decibels=decibels, dbfs=dbfs)
    folder = target.absolute().parent
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    text = environment.get_template(NAME).render(
        folder=folder.name if folder.name != SOUND else f"{folder.parent.name}/{SOUND}",
        cards=cards,
        differences=differences(cards),
        folded_above=FOLDED_ABOVE,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    with atomic_write(target) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def differences(cards: Sequence[Card]) -> dict[str, list[str]]:
    """Return what tells each sound, by name, from others of the same title.

    >>> from types import SimpleNamespace as Made
    >>> made = [Made(name=f"{seed}.wav", title="loop", run="a", facts=[("seed", seed)]) for seed in "78"]
    >>> differences(made)
    {'7.wav': ['seed 7'], '8.wav': ['seed 8']}
    """
    alike: dict[str, list[dict[str, str]]] = {}
    for card in cards:
        alike.setdefault(card.title, []).append({**dict(card.facts), "run": card.run, "name": card.name})
    told = {}
    for facts in alike.values():
        differ = [key for key in TELLING if len({each.get(key) for each in facts}) > 1]
        for each in facts:
            told[each["name"]] = [f"{key} {each[key]}" for key in differ if each.get(key)]
    return told


def refuse_other_page(target: Path) -> None:
    """Raise OutputError if there is an `index.html` that `write_page` has not written."""
    if not os.path.lexists(target):
        return
    try:
        with open_input(target) as file:
            text = file.read()
    except InputError:
        text = b""
    if MARK not in text:
        raise OutputError(
            "is not a page of decoder.py",
            path=target,
            remedy="move it away, or replace it",
            remedy_options=("overwrite",),
        )


def clock(seconds: float) -> str:
    """Format a length: "2.4 s", "1:05.0", "1:02:03"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def decibels(value: float) -> str:
    """Format decibels with one decimal and a true minus."""
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def dbfs(peak: float) -> str:
    """Format a peak, where 1 is full scale, in decibels."""
    return f"{decibels(20 * math.log10(peak))} dBFS" if peak > 0 else "none"


def _hash(text: str) -> str:
    """Return the hash by which a browser knows the style and the script of the page from any other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
