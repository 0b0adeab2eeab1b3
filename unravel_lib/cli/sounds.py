"""Latents decoded to sounds, as decoder.py and generator.py do it; their levels, and their page."""

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unravel_lib.audio import LOWEST_TARGET
from unravel_lib.cli.batch import Batch, work_through
from unravel_lib.cli.terminal import Progress
from unravel_lib.errors import InputError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import Source, find_files
from unravel_lib.files.sidecar import Sidecar, SoundSidecar
from unravel_lib.latents.files import ENCODE, EXTENSIONS, Inputs
from unravel_lib.text import cell_text, count_text, duration_text, printable, table

if TYPE_CHECKING:
    from unravel_lib.cli.batch import Submit
    from unravel_lib.models.codec import CodecOptions, Outcome
    from unravel_lib.models.model import Model

MAX_ROWS = 40  # sounds that are listed one by one; of more the `QUIETEST`, and those with marks
QUIETEST = 10
SLACK = 0.2  # LU; sounds that miss `normalize` by more are counted

log = logging.getLogger("unravel_lib")


def find_targets(
    roots: Sequence[Path], output: Path, batch: Batch, inputs: Inputs | None = None, base: Path | None = None
) -> dict[Source, Path]:
    """Return the sound of each latents file under the roots, of those of this shard; `inputs` keeps what is read.

    In a folder, a .wav counts only if it is latent audio.
    """
    inputs, named = inputs or Inputs(), set(roots)
    found = find_files(roots, EXTENSIONS, output, batch.failed, base, ENCODE)
    latents = [source for source in found if source.path in named or inputs.is_latents(source.path)]
    if found and not latents:
        raise InputError("holds .wav files, but no latents", path=roots[0], remedy="make some with encoder.py")
    sources = [source.of_run() if inputs.is_generated(source.path) else source for source in latents]
    return batch.targets(sources, output, ".wav")


def decode(
    batch: Batch,
    targets: Mapping[Source, Path],
    inputs: Inputs,
    model: "Model",
    options: "CodecOptions",
    submit: "Submit | None" = None,
) -> None:
    """Decode latents files, with progress, and log the levels of the sounds; the rest as of `work_through`."""
    from unravel_lib.models.codec import check_fit, decode_file

    fitting: dict[Source, Path] = {}
    for source, target in targets.items():  # all are checked before the model runs on anything
        with batch.check(source.path):
            check_fit(model, inputs.read(source.path, model.compression, keep=submit is None))
            fitting[source] = target
    model.condition_values(options.conditions or {})  # refuses unknown names
    before = batch.done - batch.skipped

    def work(source: Source, *rest: Any) -> "Outcome":
        return decode_file(model, inputs.read(source.path, model.compression), *rest)

    sounds = work_through(batch, fitting, work, options, submit)
    if batch.done - batch.skipped > before:
        folder = next(iter(targets.values())).parent
        log_levels(sounds, options.normalize, folder / batch.shard.named("levels.csv"))


def log_levels(sounds: Mapping[Path, Sidecar | None], normalize: float | None, all_levels: Path | None = None) -> None:
    """Log length, loudness and peak of finished sounds, as their sidecars state them.

    Of very many those are listed that may need a look, and all are written to the table `all_levels`. Sounds whose
    sidecars state no level are left out.
    """
    levels = {
        path: facts for path, facts in sounds.items() if isinstance(facts, SoundSidecar) and facts.peak is not None
    }
    if not levels:
        return
    metered = {path: facts.loudness for path, facts in levels.items() if facts.loudness is not None}
    shown = [*levels]
    if len(levels) > MAX_ROWS:
        odd = [path for path in levels if path not in metered or levels[path].marks]
        quietest = sorted(metered.keys() - odd, key=lambda path: (metered[path], path))[:QUIETEST]
        shown = sorted([*odd, *quietest], key=lambda path: metered.get(path, -math.inf))
    head = [f"{'length':>8}", f"{'LUFS':>6}", f"{'peak dBFS':>9}", "sound"]
    log.info("%s", table([head, *(_row(path, levels[path]) for path in shown)]))
    if len(levels) > MAX_ROWS:
        span = f"{min(metered.values()):.1f} to {max(metered.values()):.1f} LUFS" if metered else "all silent"
        what = "above: the quietest, and those that are silent, static or clipped"
        log.info("%s: %s; %s", count_text(len(levels), "sound"), span, what)
        if all_levels is not None:
            _write_levels(all_levels, levels)
            log.info("the levels of all: %s", printable(all_levels))
    if normalize is None:
        return
    missed = [path for path, loudness in metered.items() if loudness < normalize - SLACK]
    if missed:
        reached = math.floor(10 * min(metered[path] for path in missed)) / 10
        remedy = f" (all reach --normalize {reached})" if reached >= LOWEST_TARGET else ""
        text = "%d of %s could not reach %g LUFS: peaks stay 1 dB below full scale, and --max_gain is %g dB%s"
        log.info(text, len(missed), count_text(len(levels), "sound"), normalize, levels[missed[0]].max_gain, remedy)


def _write_levels(target: Path, levels: Mapping[Path, SoundSidecar]) -> None:
    rows = [
        [cell_text(printable(path.name)), round(facts.seconds, 3), facts.loudness, facts.peak, " ".join(facts.marks)]
        for path, facts in levels.items()
    ]
    with atomic_write(target) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sound", "seconds", "lufs", "peak", "marks"], *rows])


def _row(path: Path, facts: SoundSidecar) -> list[str]:
    loudness, peak = facts.loudness, facts.peak or 0
    silent = "silent" if facts.silent else "?"  # below 8 kHz loudness is not measured
    return [
        f"{duration_text(facts.seconds):>8}",
        f"{silent if loudness is None else f'{loudness:.1f}':>6}",
        "".join([f"{f'{20 * math.log10(peak):.1f}' if peak else '-':>9}", *(f" {mark}" for mark in facts.marks)]),
        printable(path.name),
    ]


def make_page(folder: Path, batch: Batch, overwrite: bool = False) -> None:
    """Draw the pictures of all decoded sounds in a folder, and write the page; what fails is reported.

    `overwrite` also replaces an `index.html` that is no such page.
    """
    from unravel_lib.page.document import NAME, Card, make_card, refuse_other_page, write_page

    sounds = sorted(folder.glob("[!.]*.wav"))
    if not sounds:
        return
    page = folder / NAME
    with batch.check(page, "page"):
        if not overwrite:
            refuse_other_page(page)
        cards: list[Card] = []
        with Progress(sounds, "pictures") as bar:
            for sound in bar:
                with batch.check(sound, "card"):
                    cards += filter(None, [make_card(sound)])
        if cards:
            write_page(page, cards)
            log.info("open %s in a browser to listen", printable(page))
