"""What inspector.py says about results: how sounds and latents were made, step by step, with commands for a shell."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unravel_lib.cli.messages import input_error_line
from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import Sidecar
from unravel_lib.latents.files import read_latents
from unravel_lib.latents.npy import content_key
from unravel_lib.models.pocket import POCKET
from unravel_lib.page.provenance import Models, Origin, decoded_sound
from unravel_lib.page.steps import Step, steps
from unravel_lib.text import count_text, printable

MAX_TOLD = 8  # results; recordings behind them are read to the end

log = logging.getLogger("unravel_lib")


def tell(results: Sequence[Path]) -> list[dict[str, Any]]:
    """Log how the first results were made; return the same for JSON: path, and steps of script, facts and command.

    Results that have no sidecar are left out.
    """
    models: Models = {sha256_of(POCKET): None}
    made = {}
    for path in results[:MAX_TOLD]:
        try:
            made[path] = steps(_origin(path, models))
        except Exception as error:  # nonsense in one sidecar: the others are told
            log.debug("traceback of the failure below", exc_info=True)
            log.error("%s", input_error_line(path, error))
    made = {path: done for path, done in made.items() if done}
    for path, done in made.items():
        log.info("\nhow %s was made:\n%s", printable(path), "\n".join(map(_text, done)))
    if made and len(results) > MAX_TOLD:
        log.info("\nand %s more: `input` tells how one of them was made", count_text(len(results) - MAX_TOLD, "file"))
    return [
        {
            "path": str(path),
            "steps": [{"script": s.script, "facts": dict(s.facts), "command": s.command or None} for s in done],
        }
        for path, done in made.items()
    ]


def _origin(path: Path, models: Models) -> Origin:
    sound = decoded_sound(path)
    if sound is not None:
        return Origin(path, sound, models)
    return Origin(None, Sidecar(source=str(path), source_sha256=content_key(read_latents(path))), models)


def _text(step: Step) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in step.facts)
    lines = [f"  {step.script}{': ' if facts else ''}{facts}"]
    return "\n".join(lines + ([f"    {printable(step.command)}"] if step.command else []))
