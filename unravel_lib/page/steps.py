"""How a sound or latents were made, step by step: script, what the sidecars say about it, command."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unravel_lib.page.commands import commands, needed
from unravel_lib.page.provenance import Origin, near, number
from unravel_lib.text import count_text, frames_text, printable

Facts = list[tuple[str, str]]  # names and values

GONE = " (gone, or changed since)"


@dataclass(frozen=True)
class Step:
    """One script on the way from recordings to a sound.

    Attributes
    ----------
    script : its name, "decoder.py"
    facts : what the sidecars say about it
    command : the line that does it again; "" where its input is unknown
    """

    script: str
    facts: Facts
    command: str


def steps(origin: Origin) -> list[Step]:
    """Return the steps in the order in which they were done."""
    lines = commands(origin)
    facts = {"encoder.py": _encoder_facts(origin), "generator.py": [], "decoder.py": []}
    if origin.is_generated:
        facts |= {"encoder.py": [], "generator.py": _generator_facts(origin)}
    if origin.sound is not None:
        facts["decoder.py"] = _decoder_facts(origin)
    return [
        Step(script, _told(named), lines.get(script, ""))
        for script, named in facts.items()
        if _told(named) or script in lines
    ]


def all_facts(origin: Origin) -> Facts:
    """Return what the sidecars say about a sound, from the sound back to the recordings."""
    earlier = _generator_facts(origin) if origin.is_generated else _encoder_facts(origin)
    return _told(_decoder_facts(origin) + earlier)


def transforms(origin: Origin) -> str:
    """Return the transforms of the loops, each in quotes; "" where there are none."""
    steps = origin.option("transform") if origin.is_generated else None
    return " ".join(f'"{step}"' for step in steps or ())


def _told(facts: Facts) -> Facts:
    return [(name, printable(text)) for name, text in facts if text]


def _decoder_facts(origin: Origin) -> Facts:
    facts = origin.facts
    measured = getattr(facts, "measured", None)
    gain, loudness = measured and measured.gain_db, number(getattr(facts, "normalize", None))
    fade = number(getattr(facts, "fade_ms", None))
    return [
        ("decoded by", facts.model or ""),
        ("decoder's seed", str(facts.seed)),
        ("normalised", f"{loudness:g} LUFS, gain {gain} dB" if None not in (gain, loudness) else ""),
        ("conditions", ", ".join(f"{k}={v:g}" for k, v in origin.conditions.items())),
        ("faded", f"{fade:g} ms" if fade else ""),
        ("latents", near(origin.latents_path) + ("" if origin.latents is not None else GONE)),
    ]


def _generator_facts(origin: Origin) -> Facts:
    index = origin.option("file_index")
    return [
        ("distribution", _with_options(origin, "distribution")),
        ("pattern", _with_options(origin, "pattern")),
        ("transforms", transforms(origin)),
        ("loop", _loop_text(origin)),
        ("seed", str(origin.latents_facts.seed)),
        ("file", str(index) if index is not None else ""),
        ("statistics", near(origin.statistics) if origin.statistics else ""),
        ("encodings", _encodings_text(origin)),
        ("needed", needed(origin)),
    ]


def _encoder_facts(origin: Origin) -> Facts:
    latents = origin.latents_facts
    if latents.source is None:
        return []
    recording = origin.recording
    return [
        ("encoded by", latents.model or ""),
        ("encoder's seed", str(latents.seed)),
        ("recording", near(recording) if recording is not None else near(Path(latents.source)) + GONE),
        ("needed", needed(origin)),
    ]


def _with_options(origin: Origin, name: str) -> str:
    if origin.option(name) is None:  # nothing is drawn where all loops are given
        return ""
    given = origin.option(f"{name}_args")
    options = ", ".join(f"{key}={value}" for key, value in given.items()) if isinstance(given, Mapping) else ""
    robust = ", robust statistics" if name == "distribution" and origin.option("iqr") else ""
    return f"{origin.option(name)}{f' ({options})' if options else ''}{robust}"


def _loop_text(origin: Origin) -> str:
    length, times = origin.option("num_latents"), origin.option("num_loops")
    loops = origin.option("input_loop")
    given = ", from " + " and ".join(loop.file for loop in loops) if loops else ""
    return f"{frames_text(length)}{given}, {times} loops" if isinstance(length, int) else ""


def _encodings_text(origin: Origin) -> str:
    found = origin.encodings
    text = origin.latents_facts.source or ""
    recordings = {facts.source for facts in found.values() if facts.source}
    return f"{text}: {count_text(len(found), 'file')} of {count_text(len(recordings), 'recording')}" if found else text
