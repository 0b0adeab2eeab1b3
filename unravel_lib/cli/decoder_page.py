"""The page to listen to the sounds in a folder, written after a batch of decoder.py."""

import logging
from pathlib import Path

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.progress import Progress
from unravel_lib.page.cards import Card, find_sounds, make_card
from unravel_lib.page.document import NAME, refuse_other_page, write_page
from unravel_lib.text import printable

log = logging.getLogger("unravel_lib")


def make_page(folder: Path, batch: Batch, overwrite: bool = False) -> None:
    """Draw the pictures of all decoded sounds in a folder, and write the page; what fails is reported.

    `overwrite` also replaces an `index.html` that is no such page.
    """
    sounds = find_sounds(folder)
    if not sounds:
        return
    page, lost = folder / NAME, batch.lost_pictures
    with batch.picture(page):
        if not overwrite:
            refuse_other_page(page)
    if batch.lost_pictures > lost:
        return
    cards: list[Card] = []
    with Progress(sounds, lambda _: 1, "pictures") as bar:
        for sound in bar:
            with batch.picture(sound):
                cards.append(make_card(sound))
    with batch.picture(page):
        write_page(page, cards)
        batch.wrote(page)
        log.info("open %s in a browser to listen", printable(page))
