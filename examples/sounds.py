"""Render the sounds of the README and of docs/tutorial.md, and the latent audio that latent_nn.pd plays.

Two sounds per pattern and one per distribution are made here, from bundled recordings; the others are results of the
commands of these pages. Run it by `make figures`. Same recordings, same model, same libraries: same sounds. It prints
their paths.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import unravel_lib as unravel  # noqa: E402
from unravel_lib.latents import Frames  # noqa: E402
from unravel_lib.music.distributions import DISTRIBUTIONS  # noqa: E402
from unravel_lib.statistics.measure import Statistics  # noqa: E402

SOUNDS = ROOT / "examples" / "sounds"
RECORDINGS = ROOT / "examples" / "audio"
NUMBERED = ("loop_compus", "guit_e_slide")  # the sources of pattern-1.mp3 and pattern-2.mp3
SIZES = {
    "loop": (11, 16),
    "fibo": (13, 6),
    "orale": (11, 1),
    "blender": (5, 1),
    "swapper": (11, 2),
    "form": (11, 4),
    "morph": (11, 4),
}  # k, r: 8 to 12 s
SEEDS = (42, 43)  # of loops A and B
FRAMES, LOOPS = 35, 4  # of the sounds of distributions: a period of loop_compus, 1.6 s
MATERIAL = ("guit_harmonics", "elec_chime", "ambi_choir", "bass_woodsy_c")  # for mosaic, whose target is loop_compus
PEAK = 0.7
FADE_SECONDS = 0.02
SMALL = 0.85  # of MP3, from 0, the best, to 1
FIVE = ("loop_compus", "guit_harmonics", "elec_chime", "ambi_choir", "bass_woodsy_c")
PAGES = {  # what the commands of a page make: the sounds that stand in a row in each file, all of a page at one level
    "README.md": {
        "recording": ["examples/audio/loop_compus.flac"],
        "piece": ["walk/generated/first/sound/*.wav"],
    },
    "docs/tutorial.md": {
        "tutorial/recordings": [f"tutorial/recordings/{name}.flac" for name in FIVE],
        "tutorial/heard": [f"tutorial/heard/{name}--*.wav" for name in FIVE],
        "tutorial/first": ["tutorial/first/sound/*_0001--*.wav"],
        **{
            f"tutorial/{run}": [f"tutorial/{run}/sound/*.wav"]
            for run in ("beat", "rhythm", "rest", "louder", "same", "part2", "part3", "part4", "piece")
        },
    },
}
SCRIPTS = ("encoder.py", "generator.py", "decoder.py", "inspector.py")


def piece(statistics: Statistics, pattern: str) -> Frames:
    """Draw two loops and arrange them, [frames, dims]."""
    length, n_loops = SIZES[pattern]
    loop, loop_b = (unravel.draw("retrace", statistics, length, seed=seed) for seed in SEEDS)
    return unravel.arrange(pattern, loop, n_loops=n_loops, loop_b=loop_b, std=statistics.scale)


def write_sound(path: Path, sound: np.ndarray, rate: int, gain: float) -> None:
    """Write sound [channels, samples] as a small MP3, faded in and out."""
    fade = np.linspace(0, 1, int(FADE_SECONDS * rate))
    sound = gain * sound
    sound[:, : len(fade)] *= fade
    sound[:, -len(fade) :] *= fade[::-1]
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sound.T, rate, format="MP3", bitrate_mode="VARIABLE", compression_level=SMALL)
    print(path)


def render_library() -> None:
    """Render patterns, distributions and latent audio."""
    model = unravel.load_model()
    encoded = {name: unravel.encode(model, RECORDINGS / f"{name}.flac") for name in {*NUMBERED, *MATERIAL}}

    def write(name: str, frames: Frames) -> None:
        sound = unravel.decode(model, frames.T)
        write_sound(SOUNDS / f"{name}.mp3", sound, int(model.sample_rate), PEAK / np.abs(sound).max())

    for number, name in enumerate(NUMBERED, 1):
        statistics = unravel.measure([encoded[name]])
        for pattern in SIZES:
            write(f"{pattern}-{number}", piece(statistics, pattern))
    statistics, material = (unravel.measure([encoded[name] for name in names]) for names in (NUMBERED[:1], MATERIAL))
    for distribution in DISTRIBUTIONS:
        is_mosaic = distribution == "mosaic"
        target = encoded[NUMBERED[0]].T[: 2 * FRAMES] if is_mosaic else None
        known, n_frames, n_loops = (material, 2 * FRAMES, LOOPS // 2) if is_mosaic else (statistics, FRAMES, LOOPS)
        loop = unravel.draw(distribution, known, n_frames, seed=SEEDS[0], target=target)
        write(distribution, unravel.arrange("loop", loop, n_loops=n_loops))
    frames = piece(statistics, "swapper")
    path = SOUNDS / "latent_audio.wav"
    unravel.write_latent_audio(path, frames, model.sample_rate, model.compression, "FLOAT")
    print(path)


def render_results(page: str, folder: Path) -> None:
    """Render what the commands of a page have made in a folder."""
    for name, places in PAGES[page].items():
        found = [path for place in places for path in sorted(folder.glob(place))]
        sounds = [soundfile.read(path, always_2d=True) for path in found]
        row = np.concatenate([sound.mean(axis=1) for sound, _ in sounds])[np.newaxis]
        write_sound(SOUNDS / f"{name}.mp3", row, sounds[0][1], PEAK)


def run_page(page: str, folder: Path) -> None:
    """Run the commands of a page in a folder that looks like the repository."""
    for name in (*SCRIPTS, "unravel_lib", "examples"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    python = folder / ".bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = os.environ | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    blocks = re.findall(
        r"(?<!<!-- not run -->\n)^```sh\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )
    for commands in blocks:
        subprocess.run(["sh", "-ec", commands], cwd=folder, env=environment, check=True, capture_output=True)


def main() -> None:
    """Render all of them."""
    render_library()
    with TemporaryDirectory() as folder:
        for page in PAGES:
            run_page(page, Path(folder))
            render_results(page, Path(folder))


if __name__ == "__main__":
    main()
