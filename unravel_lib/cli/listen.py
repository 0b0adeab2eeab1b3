"""The page to listen to the sounds in a folder, written after a batch of decoder.py."""

import logging
from collections.abc import Mapping
from pathlib import Path

from unravel_lib.cli.batch import Batch
from unravel_lib.cli.progress import Progress
from unravel_lib.files.checksum import sha256_of
from unravel_lib.models.pocket import POCKET
from unravel_lib.page.cards import Card, find_sounds, make_card
from unravel_lib.page.document import NAME, refuse_other_page, write_page
from unravel_lib.page.provenance import LatentsByHash
from unravel_lib.text import printable

log = logging.getLogger("unravel_lib")


def make_page(
    folder: Path, models: Mapping[str, Path | None], inputs: LatentsByHash, batch: Batch, overwrite: bool = False
) -> None:
    """Draw the pictures of all decoded sounds in a folder, and write the page; what fails is reported.

    Parameters
    ----------
    folder : with the sounds
    models : path of the model file of this run by its SHA-256
    inputs : the latents of this run
    batch : receives the path of the page, and failures
    overwrite : also replace an `index.html` that is no such page
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
    known = {sha256_of(POCKET): None, **models}
    cards: list[Card] = []
    with Progress(sounds, lambda _: 1, "pictures") as bar:
        for sound in bar:
            with batch.picture(sound):
                cards.append(make_card(sound, known, inputs))
    with batch.picture(page):
        write_page(page, cards)
        batch.wrote(page)
        log.info("open %s in a browser to listen", printable(page))
