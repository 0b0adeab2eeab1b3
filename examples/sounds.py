"""Render two sounds per pattern for the README, and the latent audio that latent_nn.pd plays, from bundled recordings.

Run it by `make figures`. Same recordings, same model, same libraries: same sounds. It prints their paths.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import unravel_lib as unravel  # noqa: E402
from unravel_lib.latents import Frames  # noqa: E402
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
PEAK = 0.7
FADE_SECONDS = 0.02
SMALL = 0.8  # of MP3, from 0, the best, to 1


def piece(statistics: Statistics, pattern: str) -> Frames:
    """Draw two loops and arrange them, [frames, dims]."""
    length, n_loops = SIZES[pattern]
    loop, loop_b = (unravel.draw("retrace", statistics, length, seed=seed) for seed in SEEDS)
    return unravel.arrange(pattern, loop, n_loops=n_loops, loop_b=loop_b, std=statistics.scale)


def write_sound(path: Path, sound: np.ndarray, rate: int) -> None:
    """Write sound [channels, samples] as a small MP3, faded in and out."""
    fade = np.linspace(0, 1, int(FADE_SECONDS * rate))
    sound = PEAK * sound / np.abs(sound).max()
    sound[:, : len(fade)] *= fade
    sound[:, -len(fade) :] *= fade[::-1]
    soundfile.write(path, sound.T, rate, format="MP3", bitrate_mode="VARIABLE", compression_level=SMALL)
    print(path)


def main() -> None:
    """Render all of them."""
    SOUNDS.mkdir(exist_ok=True)
    model = unravel.load_model()
    for number, name in enumerate(NUMBERED, 1):
        statistics = unravel.measure([unravel.encode(model, RECORDINGS / f"{name}.flac")])
        for pattern in SIZES:
            sound = unravel.decode(model, piece(statistics, pattern).T)
            write_sound(SOUNDS / f"{pattern}-{number}.mp3", sound, int(model.sample_rate))
        if number == 1:
            frames = piece(statistics, "swapper")
            path = SOUNDS / "latent_audio.wav"
            unravel.write_latent_audio(path, frames, model.sample_rate, model.compression, "FLOAT")
            print(path)


if __name__ == "__main__":
    main()
