"""Recordings and latents to measure with."""

from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
RATE, COMPRESSION = 44100, 2048
SHORT_FILES, SHORT_SECONDS = 165, 324  # many short recordings, as in a folder of samples


def bundled() -> np.ndarray:
    """Return all bundled recordings in a row, stereo [samples, 2] at 44.1 kHz."""
    sounds = []
    for path in sorted((ROOT / "examples" / "audio").glob("*.flac")):
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate == RATE:
            sounds.append(np.repeat(x, 2, axis=1)[:, :2])
    return np.concatenate(sounds)


def short_recordings(folder: Path) -> Path:
    """Write recordings of 0.1 to 15 s, cut out of the bundled ones."""
    folder.mkdir()
    sound, rng = bundled(), np.random.default_rng(0)
    lengths = rng.lognormal(0, 1, SHORT_FILES)
    for i, seconds in enumerate(lengths * SHORT_SECONDS / lengths.sum()):
        n = int(seconds * RATE)
        start = int(rng.integers(0, max(1, len(sound) - n)))
        soundfile.write(folder / f"{i:03}.flac", sound[start : start + n], RATE)
    return folder


def long_recording(path: Path, minutes: int) -> Path:
    """Write the bundled recordings in a row, repeated to `minutes`, stereo."""
    sound, left = bundled(), minutes * 60 * RATE
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        while left:
            file.write(sound[:left])
            left -= min(left, len(sound))
    return path
