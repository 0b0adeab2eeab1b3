"""What the page tells of each decoded sound: facts, pictures, where it came from, how to make it again."""

import os
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import soundfile

from unravel_lib.audio import EXTENSIONS
from unravel_lib.audio.blocks import to_channels
from unravel_lib.audio.level import LOWEST_RATE
from unravel_lib.audio.read import open_audio
from unravel_lib.errors import InputError, UnravelError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import sha256_of
from unravel_lib.files.output import EMBEDDINGS
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, SoundSidecar, read_sidecar
from unravel_lib.history import again_line, is_there, steps, transforms
from unravel_lib.latents import Latents
from unravel_lib.latents.files import read_latents
from unravel_lib.latents.npy import content_key
from unravel_lib.music.tempo import exact_bpm, format_bpm
from unravel_lib.page import pictures
from unravel_lib.text import count_text, frames_text, printable

FOLDER = "index_files"  # beside the page
COPY = "--recording.flac"
FLAC_CHANNELS = 8  # at most


@dataclass(frozen=True)
class Card:
    """One decoded sound on the page.

    Attributes
    ----------
    name : file name; title : the shorter name that people use
    kind : "generated", "recorded" or "latents"
    time : when it was written, in seconds since 1970
    seconds, loudness, peak, marks : of the sound; loudness in LUFS, None for silence and where it is not
        metered, at low sample rates
    metered : whether it is
    tempo : in BPM, "" where there is none
    run, transforms : of generated latents, the folder of the run and the transforms, each in quotes; else ""
    facts : names and values to list
    commands : lines that make the sound again
    again : of generated latents, the line to which flags can be added, for another version; else ""
    url, source_url : of the sound, and of the recording it was encoded from, relative to the page
    sound_picture, latents_picture : URLs; "" where there is none
    latents_text : what the picture of the latents shows
    loop_frames : length of a loop; None where it is unknown or changes
    """

    name: str
    title: str
    kind: str
    time: float
    seconds: float
    loudness: float | None
    metered: bool
    peak: float
    marks: list[str]
    tempo: str
    run: str
    transforms: str
    facts: list[tuple[str, str]]
    commands: list[str]
    again: str
    url: str
    source_url: str
    sound_picture: str
    latents_picture: str
    latents_text: str
    loop_frames: int | None


def find_sounds(folder: Path) -> list[Path]:
    """List the decoded sounds in a folder, by their sidecars; also those with a damaged one, which `make_card` says."""
    return [path for path in sorted(folder.glob("[!.]*.wav")) if _is_sound(path)]


def _is_sound(path: Path) -> bool:
    try:
        return isinstance(read_sidecar(path), SoundSidecar)
    except InputError:
        return True


def make_card(sound: Path) -> Card:
    """Collect what the page tells of a sound; pictures that are missing or older than it are drawn.

    Raises
    ------
    InputError
        The sound is no decoded sound, or cannot be read.
    OutputError
        A picture cannot be written.
    """
    facts = read_sidecar(sound)
    if not isinstance(facts, SoundSidecar):
        raise InputError("is no sound of decoder.py", path=sound)
    made, latents_path = steps(sound, facts), Path(facts.source or "")
    generated = facts.latents if isinstance(facts.latents, GeneratedSidecar) else None
    recording = _recording(facts.latents)
    info, peak = soundfile.info(sound), facts.peak or 0.0
    tempo, loop_frames = _tempo(generated)
    files = sound.parent / FOLDER
    sound_picture, latents_picture, copy = (files / f"{sound.stem}{end}" for end in (".png", "--latents.png", COPY))
    if _is_old(sound_picture, sound):
        pictures.draw_sound(sound_picture, sound)
    if _is_old(latents_picture, sound) and (latents := _latents(facts)) is not None:
        pictures.draw_latents(latents_picture, latents, loop_frames)
    if recording is not None and (_is_old(copy, recording) or _is_old(copy, sound)):
        _copy_recording(recording, copy)
    loops = f", loops of {loop_frames}" if loop_frames else ""
    return Card(
        name=printable(sound.name),
        title=printable((recording or latents_path).stem.removesuffix(EMBEDDINGS).removesuffix("_hold")),
        kind="generated" if generated else "recorded" if recording else "latents",
        time=sound.stat().st_mtime,
        seconds=info.frames / info.samplerate,
        loudness=facts.loudness,
        metered=facts.peak is not None and info.samplerate >= LOWEST_RATE,
        peak=peak,
        marks=facts.marks,
        tempo=tempo,
        run=printable(latents_path.parent.name) if generated else "",
        transforms=printable(transforms(generated)) if generated else "",
        facts=[fact for step in reversed(made[-2:]) for fact in step.facts],
        commands=[step.command for step in made if step.command],
        again=again_line(sound) if generated else "",
        url=_url(sound, sound),
        source_url="" if recording is None else _url(copy, sound),
        sound_picture=_url(sound_picture, sound),
        latents_picture="" if _is_old(latents_picture, sound) else _url(latents_picture, sound),
        latents_text=f"{count_text(facts.dims or 0, 'dim')}, {frames_text(facts.frames or 0)}{loops}",
        loop_frames=loop_frames,
    )


def _recording(latents: Sidecar | None) -> Path | None:
    """Return the recording that was encoded, if it is still there and the same."""
    if not isinstance(latents, EncodingSidecar) or not is_there(latents.source):
        return None
    path = Path(latents.source or "")
    return path if path.suffix.lower() in EXTENSIONS and sha256_of(path) == latents.source_sha256 else None


def _latents(facts: SoundSidecar) -> Latents | None:
    """Return the latents that were decoded; None if they are gone or others now."""
    if is_there(facts.source):
        with suppress(UnravelError):
            latents = read_latents(facts.source or "", facts.compression)
            return latents if content_key(latents) == facts.source_sha256 else None
    return None


def _url(path: Path, sound: Path) -> str:
    """Return the URL of a file, seen from the page beside the sound."""
    return quote(os.fsencode(path.relative_to(sound.parent).as_posix()))


def _is_old(result: Path, source: Path) -> bool:
    return not result.is_file() or result.stat().st_mtime < source.stat().st_mtime


def _copy_recording(recording: Path, target: Path) -> None:
    """Write a recording as FLAC, which browsers play and which may lie beside the page."""
    with open_audio(recording) as sound, atomic_write(target) as part:
        channels = min(sound.channels, FLAC_CHANNELS)
        with soundfile.SoundFile(part, "w", sound.sample_rate, channels, "PCM_16", format="FLAC") as file:
            for block in sound.blocks() if channels == sound.channels else to_channels(sound.blocks(), 1):
                file.write(block.T)


def _tempo(generated: GeneratedSidecar | None) -> tuple[str, int | None]:
    """Return the tempo in BPM and the length of a loop; "" and None where they are unknown, or loops change theirs."""
    if generated is None or not (generated.bpm and generated.sample_rate and generated.compression):
        return "", None
    frames_per_beat = exact_bpm(1, generated.sample_rate, generated.compression) / Fraction(generated.bpm)
    return format_bpm(Fraction(generated.bpm)), max(1, round(generated.beats * frames_per_beat))
