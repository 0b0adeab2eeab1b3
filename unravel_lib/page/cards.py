"""What the page tells of each decoded sound: facts, pictures, where it came from, how to make it again."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import soundfile

from unravel_lib.audio.level import Level, Meter
from unravel_lib.audio.read import open_audio
from unravel_lib.audio.resample import to_channels
from unravel_lib.audio.write import SUBTYPES
from unravel_lib.errors import UnravelError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.naming import EMBEDDINGS
from unravel_lib.files.sidecar import Sidecar, read_sidecar
from unravel_lib.music.patterns import PATTERNS
from unravel_lib.music.tempo import exact_bpm, format_bpm
from unravel_lib.page import pictures
from unravel_lib.page.provenance import Models, Origin, near
from unravel_lib.text import count_text, frames_text, printable

FOLDER = "index_files"  # beside the page
BLOCK_SAMPLES = 1 << 17
FLAC_CHANNELS = 8  # at most


@dataclass(frozen=True)
class Card:
    """One decoded sound on the page.

    Attributes
    ----------
    name : file name; title : the shorter name that people use
    kind : "generated", "recorded" or "latents"
    seconds, loudness, peak, clipped : of the sound; loudness in LUFS, None for silence
    tempo : in BPM, "" where there is none
    facts : names and values to list
    commands : lines that make the sound again
    url, source_url : of the sound, and of the recording it was encoded from, relative to the page
    sound_picture, latents_picture : URLs; "" where there is none
    latents_text : what the picture of the latents shows
    loop_frames : length of a loop; None where it is unknown or changes
    """

    name: str
    title: str
    kind: str
    seconds: float
    loudness: float | None
    peak: float
    clipped: bool
    tempo: str
    facts: list[tuple[str, str]]
    commands: list[str]
    url: str
    source_url: str
    sound_picture: str
    latents_picture: str
    latents_text: str
    loop_frames: int | None


def find_sounds(folder: Path) -> list[Path]:
    """List the decoded sounds in a folder: those that have the sidecar of one."""
    return [path for path in sorted(folder.glob("[!.]*.wav")) if _decoded(path) is not None]


def _decoded(path: Path) -> Sidecar | None:
    with suppress(UnravelError):
        facts = read_sidecar(path) if path.is_file() else None
        if facts is not None and facts.source and facts.options.get("subtype") in SUBTYPES:
            return facts
    return None


def make_card(sound: Path, models: Models) -> Card:
    """Collect what the page tells of a sound; pictures that are missing or older than it are drawn.

    Raises
    ------
    InputError
        The sound is no decoded sound, or cannot be read.
    OutputError
        A picture cannot be written.
    """
    facts = read_sidecar(sound) or Sidecar()
    origin = Origin(sound, facts, models)
    level, info = _level(sound, facts), soundfile.info(sound)
    stem = f"{FOLDER}/{sound.stem}"
    tempo, loop_frames = _tempo(origin)
    is_generated, recording = origin.is_generated, origin.recording
    sound_picture, latents_picture = f"{stem}.png", f"{stem}--latents.png"
    if _is_old(sound.parent / sound_picture, sound):
        pictures.draw_sound(sound.parent / sound_picture, sound)
    if origin.latents is None:
        latents_picture = ""
    elif _is_old(sound.parent / latents_picture, sound):
        pictures.draw_latents(sound.parent / latents_picture, origin.latents, loop_frames)
    source = ""
    if recording is not None:
        source = f"{stem}--recording.flac"
        if _is_old(sound.parent / source, recording):
            _copy_recording(recording, sound.parent / source)
    loops = f", loops of {loop_frames}" if loop_frames else ""
    return Card(
        name=printable(sound.name),
        title=_title(origin),
        kind="generated" if is_generated else "recorded" if recording else "latents",
        seconds=info.frames / info.samplerate,
        loudness=level.loudness,
        peak=level.peak,
        clipped=level.peak > 1 and facts.options.get("subtype") != "FLOAT",
        tempo=tempo,
        facts=[(name, printable(text)) for name, text in _facts(origin) if text],
        commands=origin.commands(),
        url=quote(os.fsencode(sound.name)),
        source_url=quote(os.fsencode(source)),
        sound_picture=quote(os.fsencode(sound_picture)),
        latents_picture=quote(os.fsencode(latents_picture)),
        latents_text=f"{count_text(facts.dims or 0, 'dim')}, {frames_text(facts.frames or 0)}{loops}",
        loop_frames=loop_frames,
    )


def _level(sound: Path, facts: Sidecar) -> Level:
    """Return what the sidecar states; else measure the sound."""
    measured = facts.measured or {}
    if isinstance(measured.get("peak"), int | float):
        return Level(measured.get("loudness"), float(measured["peak"] or 0))
    with soundfile.SoundFile(sound) as file:
        meter = Meter(file.samplerate, file.channels)
        for block in file.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
            meter.add(block.T)
    return meter.level


def _is_old(result: Path, source: Path) -> bool:
    return not result.is_file() or result.stat().st_mtime < source.stat().st_mtime


def _copy_recording(recording: Path, target: Path) -> None:
    """Write a recording as FLAC, which browsers play and which may lie beside the page."""
    with open_audio(recording) as sound, atomic_write(target) as part:
        channels = min(sound.channels, FLAC_CHANNELS)
        with soundfile.SoundFile(part, "w", sound.sample_rate, channels, "PCM_16", format="FLAC") as file:
            for block in sound.blocks() if channels == sound.channels else to_channels(sound.blocks(), 1):
                file.write(block.T)


def _tempo(origin: Origin) -> tuple[str, int | None]:
    """Return the tempo in BPM and the length of a loop; "" and None where they are unknown, or loops change theirs."""
    facts, length = origin.latents_facts, origin.option("num_latents")
    if not origin.is_generated or not facts.sample_rate or not facts.compression:
        return "", None
    frames_per_minute = exact_bpm(1, facts.sample_rate, facts.compression)
    if "bpm" in facts.options:  # None: the length of loops changes
        bpm, beats = origin.option("bpm"), origin.option("beats") or 1
        return (format_bpm(Fraction(bpm)), round(beats * frames_per_minute / Fraction(bpm))) if bpm else ("", None)
    with suppress(UnravelError):  # version 1.0, or a pattern of the user's own
        if PATTERNS.find(str(origin.option("pattern"))).steady:
            return format_bpm(frames_per_minute / length), length
    return "", None


def _title(origin: Origin) -> str:
    """Return the name of the recording, or of the generated latents without what all of them have in common."""
    path = origin.recording or origin.latents_path
    return printable(path.stem.removesuffix(EMBEDDINGS).removesuffix("_hold"))


def _facts(origin: Origin) -> list[tuple[str, str]]:
    """Return what the sidecars say about the sound, from the sound back to the recordings; "" for what they do not."""
    facts, latents = origin.facts, origin.latents_facts
    gain = (facts.measured or {}).get("gain_db")
    listed = [
        ("decoded by", facts.model or ""),
        ("decoder's seed", str(facts.seed)),
        ("normalised", f"{facts.options['normalize']:g} LUFS, gain {gain} dB" if gain is not None else ""),
        ("conditions", ", ".join(f"{k}={v:g}" for k, v in (facts.options.get("conditions") or {}).items())),
        ("faded", f"{facts.options['fade_ms']:g} ms" if facts.options.get("fade_ms") else ""),
        ("latents", near(origin.latents_path) + ("" if origin.latents is not None else " (gone, or changed since)")),
    ]
    if origin.is_generated:
        index = origin.option("file_index")
        listed += [
            ("distribution", _with_options(origin, "distribution")),
            ("pattern", _with_options(origin, "pattern")),
            ("transforms", _joined(origin.option("transform"))),
            ("loop", _loop_text(origin)),
            ("seed", str(latents.seed)),
            ("file", str(index) if index is not None else ""),
            ("statistics", near(origin.statistics) if origin.statistics else ""),
            ("encodings", _encodings_text(origin)),
        ]
    elif latents.source:
        listed += [
            ("encoded by", latents.model or ""),
            ("encoder's seed", str(latents.seed)),
            ("recording", near(Path(latents.source)) + ("" if origin.recording else " (gone, or changed since)")),
        ]
    return listed


def _with_options(origin: Origin, name: str) -> str:
    if origin.option(name) is None:  # nothing is drawn where all loops are given
        return ""
    given = origin.option(f"{name}_args")
    options = ", ".join(f"{key}={value}" for key, value in given.items()) if isinstance(given, Mapping) else ""
    robust = ", robust statistics" if name == "distribution" and origin.option("iqr") else ""
    return f"{origin.option(name)}{f' ({options})' if options else ''}{robust}"


def _loop_text(origin: Origin) -> str:
    length, times = origin.option("num_latents"), origin.option("num_loops")
    loops = origin.option("input_loop") or []
    given = ", from " + " and ".join(loop["file"] for loop in loops) if loops else ""
    return f"{frames_text(length)}{given}, {times} loops" if isinstance(length, int) else ""


def _encodings_text(origin: Origin) -> str:
    found = origin.encodings
    text = origin.latents_facts.source or ""
    recordings = {facts.source for facts in found.values() if facts.source}
    return f"{text}: {count_text(len(found), 'file')} of {count_text(len(recordings), 'recording')}" if found else text


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
