"""What the page tells of each decoded sound: facts, pictures, where it came from, how to make it again."""

import os
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import soundfile

from unravel_lib.audio.level import LOWEST_RATE, Level, Meter
from unravel_lib.audio.read import open_audio
from unravel_lib.audio.resample import to_channels
from unravel_lib.errors import InputError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.naming import EMBEDDINGS
from unravel_lib.files.sidecar import SoundSidecar, read_sidecar
from unravel_lib.music.tempo import exact_bpm, format_bpm
from unravel_lib.page import pictures
from unravel_lib.page.commands import commands
from unravel_lib.page.provenance import LatentsByHash, Models, Origin, decoded_sound
from unravel_lib.page.steps import all_facts, transforms
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
    seconds, loudness, peak, clipped : of the sound; loudness in LUFS, None for silence and where it is not
        metered, at low sample rates
    metered : whether it is
    tempo : in BPM, "" where there is none
    run, transforms : of generated latents, the folder of the run and the transforms, each in quotes; else ""
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
    metered: bool
    peak: float
    clipped: bool
    tempo: str
    run: str
    transforms: str
    facts: list[tuple[str, str]]
    commands: list[str]
    url: str
    source_url: str
    sound_picture: str
    latents_picture: str
    latents_text: str
    loop_frames: int | None


def find_sounds(folder: Path) -> list[Path]:
    """List the decoded sounds in a folder, by their sidecars; also those with a damaged one, which `make_card` says."""
    return [path for path in sorted(folder.glob("[!.]*.wav")) if decoded_sound(path) is not None or _is_damaged(path)]


def _is_damaged(path: Path) -> bool:
    try:
        read_sidecar(path)
    except InputError:
        return True
    return False


def make_card(sound: Path, models: Models, inputs: LatentsByHash | None = None) -> Card:
    """Collect what the page tells of a sound; pictures that are missing or older than it are drawn.

    Parameters
    ----------
    sound : its path
    models : the model files that this run knows
    inputs : latents that this run knows, for sounds whose latents are not where they were

    Raises
    ------
    InputError
        The sound is no decoded sound, or cannot be read.
    OutputError
        A picture cannot be written.
    """
    facts = read_sidecar(sound)
    assert isinstance(facts, SoundSidecar)  # see `find_sounds`
    origin = Origin(sound, facts, models, inputs or LatentsByHash())
    level, info = _level(sound, facts), soundfile.info(sound)
    stem = f"{FOLDER}/{sound.stem}"
    tempo, loop_frames = "", None
    with suppress(TypeError, ValueError, ArithmeticError):  # nonsense in a sidecar
        tempo, loop_frames = _tempo(origin)
    is_generated, recording = origin.is_generated, origin.recording
    sound_picture, latents_picture = f"{stem}.png", f"{stem}--latents.png"
    if _is_old(sound.parent / sound_picture, sound):
        pictures.draw_sound(sound.parent / sound_picture, sound)
    if _is_old(sound.parent / latents_picture, sound):
        if origin.latents is None:
            latents_picture = ""
        else:
            pictures.draw_latents(sound.parent / latents_picture, origin.latents, loop_frames)
    source = ""
    if recording is not None:
        source = f"{stem}--recording.flac"
        if _is_old(sound.parent / source, recording) or _is_old(sound.parent / source, sound):
            _copy_recording(recording, sound.parent / source)
    loops = f", loops of {loop_frames}" if loop_frames else ""
    return Card(
        name=printable(sound.name),
        title=_title(origin),
        kind="generated" if is_generated else "recorded" if recording else "latents",
        seconds=info.frames / info.samplerate,
        loudness=level.loudness,
        metered=info.samplerate >= LOWEST_RATE,
        peak=level.peak,
        clipped=level.peak > 1 and facts.subtype != "FLOAT",
        tempo=tempo,
        run=printable(origin.latents_path.parent.name) if is_generated else "",
        transforms=printable(transforms(origin)),
        facts=all_facts(origin),
        commands=list(commands(origin).values()),
        url=quote(os.fsencode(sound.name)),
        source_url=quote(os.fsencode(source)),
        sound_picture=quote(os.fsencode(sound_picture)),
        latents_picture=quote(os.fsencode(latents_picture)),
        latents_text=f"{count_text(facts.dims or 0, 'dim')}, {frames_text(facts.frames or 0)}{loops}",
        loop_frames=loop_frames,
    )


def _level(sound: Path, facts: SoundSidecar) -> Level:
    """Return what the sidecar states; else measure the sound."""
    if facts.measured is not None:
        return Level(facts.measured.loudness, facts.measured.peak)
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
    facts = origin.latents_facts
    if not origin.is_generated or not facts.sample_rate or not facts.compression:
        return "", None
    frames_per_minute = exact_bpm(1, facts.sample_rate, facts.compression)
    bpm, beats = origin.option("bpm"), origin.option("beats")
    return (format_bpm(Fraction(bpm)), round(beats * frames_per_minute / Fraction(bpm))) if bpm else ("", None)


def _title(origin: Origin) -> str:
    """Return the name of the recording, or of the generated latents without what all of them have in common."""
    path = origin.recording or origin.latents_path
    return printable(path.stem.removesuffix(EMBEDDINGS).removesuffix("_hold"))
