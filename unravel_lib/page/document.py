"""What the page tells of each decoded sound, and the page as one file: a template with style and script inside."""

import base64
import hashlib
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import jinja2
import soundfile

from unravel_lib.audio import EXTENSIONS
from unravel_lib.audio.blocks import to_channels
from unravel_lib.audio.read import open_audio
from unravel_lib.errors import InputError, OutputError, UnravelError
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.find import open_input, sha256_of
from unravel_lib.files.output import EMBEDDINGS
from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, SoundSidecar, read_sidecar
from unravel_lib.history import again_line, is_there, steps, transforms
from unravel_lib.latents import Latents
from unravel_lib.latents.files import read_latents
from unravel_lib.latents.formats import content_key
from unravel_lib.page import pictures
from unravel_lib.tempo import format_bpm
from unravel_lib.text import count_text, duration_text, frames_text, printable

NAME = "index.html"
FOLDER = "index_files"  # beside the page
FLAC_CHANNELS = 8  # at most
SOUND = "sound"  # a folder of many projects: the one above it tells more
MARK = b'<meta name="generator" content="UnRAVEl">'  # in every page
TELLING = ("distribution", "pattern", "transforms", "seed", "recording", "run")  # facts that tell sounds apart


@dataclass(frozen=True)
class Card:
    """One decoded sound on the page.

    Attributes
    ----------
    sidecar : of the sound
    name : file name; title : the shorter name that people use
    kind : "generated", "recorded" or "latents"
    time : when it was written, in seconds since 1970
    tempo : in BPM, "" where there is none
    loop_frames : length of a loop; None where it is unknown or changes
    run, transforms : of generated latents, the folder of the run and the transforms, each in quotes; else ""
    facts : names and values to list
    commands : lines that make the sound again
    again : of generated latents, the line to which flags can be added, for another version; else ""
    url, source_url : of the sound, and of the recording it was encoded from, relative to the page
    sound_picture, latents_picture : URLs; "" where there is none
    latents_text : what the picture of the latents shows
    """

    sidecar: SoundSidecar
    name: str
    title: str
    kind: str
    time: float
    tempo: str
    loop_frames: int | None
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


def make_card(sound: Path) -> Card | None:
    """Collect what the page tells of a sound, None if decoder.py did not make it; draw pictures that are older than it.

    Raises
    ------
    InputError
        The sound or its sidecar is damaged.
    OutputError
        A picture cannot be written.
    """
    sidecar = read_sidecar(sound)
    if not isinstance(sidecar, SoundSidecar):
        return None
    made, latents_path = steps(sound, sidecar), Path(sidecar.source or "")
    generated = sidecar.latents if isinstance(sidecar.latents, GeneratedSidecar) else None
    recording = _recording(sidecar.latents)
    tempo, loop_frames = _tempo(generated)
    beside = os.path.join(sound.parent, FOLDER, sound.stem)
    sound_picture, latents_picture, copy = (Path(beside + end) for end in (".png", "--latents.png", "--recording.flac"))
    if _is_old(sound_picture, sound):
        pictures.draw_sound(sound_picture, sound)
    if _is_old(latents_picture, sound) and (latents := _latents(sidecar)) is not None:
        pictures.draw_latents(latents_picture, latents, loop_frames)
    if recording is not None and (_is_old(copy, recording) or _is_old(copy, sound)):
        _copy_recording(recording, copy)
    loops = f", loops of {loop_frames}" if loop_frames else ""
    return Card(
        sidecar=sidecar,
        name=printable(sound.name),
        title=printable((recording or latents_path).stem.removesuffix(EMBEDDINGS).removesuffix("_hold")),
        kind="generated" if generated else "recorded" if recording else "latents",
        time=sound.stat().st_mtime,
        tempo=tempo,
        loop_frames=loop_frames,
        run=printable(latents_path.parent.name) if generated else "",
        transforms=printable(transforms(generated)) if generated else "",
        facts=[fact for step in reversed(made[-2:]) for fact in step.facts],
        commands=[step.command for step in made if step.command],
        again=again_line(sound) if generated else "",
        url=_url(sound, sound),
        source_url="" if recording is None else _url(copy, sound),
        sound_picture=_url(sound_picture, sound),
        latents_picture="" if _is_old(latents_picture, sound) else _url(latents_picture, sound),
        latents_text=f"{count_text(sidecar.dims or 0, 'dim')}, {frames_text(sidecar.frames or 0)}{loops}",
    )


def _recording(latents: Sidecar | None) -> Path | None:
    """Return the recording that was encoded, if it is still there and the same."""
    if not isinstance(latents, EncodingSidecar) or not is_there(latents.source):
        return None
    path = Path(latents.source or "")
    return path if path.suffix.lower() in EXTENSIONS and sha256_of(path) == latents.source_sha256 else None


def _latents(sidecar: SoundSidecar) -> Latents | None:
    """Return the latents that were decoded; None if they are gone or others now."""
    if is_there(sidecar.source):
        with suppress(UnravelError):
            latents = read_latents(sidecar.source or "", sidecar.compression)
            return latents if content_key(latents) == sidecar.source_sha256 else None
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
    frames = 60 * generated.sample_rate / generated.compression * generated.beats / generated.bpm
    return format_bpm(Fraction(generated.bpm)), max(1, round(frames))


def write_page(target: Path, cards: Sequence[Card]) -> None:
    """Write the page; everything that comes from names and sidecars is escaped.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(duration=duration_text, decibels=decibels, dbfs=dbfs, csp_hash=_csp_hash)
    folder = target.absolute().parent
    text = environment.get_template(NAME).render(
        folder=folder.name if folder.name != SOUND else f"{folder.parent.name}/{SOUND}",
        cards=cards,
        differences=differences(cards),
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
    text = b""
    with suppress(InputError), open_input(target) as file:
        text = file.read()
    if os.path.lexists(target) and MARK not in text:
        remedy = "move it away, or replace it"
        raise OutputError("is not a page of decoder.py", path=target, remedy=remedy, remedy_options=("overwrite",))


def decibels(value: float) -> str:
    """Format decibels with one decimal and a true minus."""
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def dbfs(peak: float | None) -> str:
    """Format a peak, where 1 is full scale, in decibels."""
    return f"{decibels(20 * math.log10(peak))} dBFS" if peak else "none"


def _csp_hash(text: str) -> str:
    """Return the hash by which a browser knows the style and the script of the page from any other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
