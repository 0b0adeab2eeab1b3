"""Pictures of a sound and of its latents for the page: time from edge to edge, dark ink on nothing.

Without a ground of their own they suit a light page, and, inverted, a dark one. A column of pixels shows the lowest and
the highest of all values within it, so nothing is left out, however long the sound.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from unravel_lib.audio.descriptors import mel_bands
from unravel_lib.files.atomic import atomic_write
from unravel_lib.latents import Latents

Picture = npt.NDArray[np.uint8]  # [height, width, 2 or 4]: grey or colour, and opacity
Array = npt.NDArray[np.float64]

WIDTH = 1440  # columns at most
WAVE_HEIGHT, MEL_HEIGHT, GAP = 80, 144, 8  # pixels
LANE_HEIGHT, LANES = 36, 8  # of each dim, and how many dims are drawn as lanes; more become a heat map
MAP_HEIGHT = 256  # of a heat map, about
LINE = 2  # pixels
FINEST = 64  # samples in a column at least
HOP = 512  # samples between two windows of a spectrum at most
WINDOW_SECONDS = 0.046
MELS = 72
RANGE_DB = 75.0  # below the loudest: no ink
LEVELS = 31  # of opacity; more would make the files larger and look the same
BORDER, GRID = 0.3, 400  # opacity of the borders of loops, and how many are drawn at most
POSITIVE, NEGATIVE = (178, 74, 28), (36, 96, 160)  # of a heat map


def draw_sound(target: Path, sound: Path) -> None:
    """Draw the waveform of a WAV and, under it, its mel spectrogram.

    Raises
    ------
    OutputError
        The picture cannot be written.
    """
    low, high, mel = _analysis(sound)
    wave = _strip(low, high, max(1e-3, float(np.max(np.abs([low, high])))), WAVE_HEIGHT)
    decibels = 10 * np.log10(np.maximum(mel, 1e-12))
    ink = np.clip(1 + (decibels - decibels.max()) / RANGE_DB, 0, 1) ** 1.6 if mel.max() > 1e-10 else np.zeros_like(mel)
    rows = np.repeat(ink.T[::-1], MEL_HEIGHT // MELS, axis=0)
    _save(target, _ink(np.vstack([wave, np.zeros((GAP, wave.shape[1])), rows])))


def _analysis(path: Path) -> tuple[Array, Array, Array]:
    """Return the lowest and the highest sample of each column, and its largest mel spectrum [columns, MELS]."""
    with soundfile.SoundFile(path) as file:
        columns = max(1, min(WIDTH, math.ceil(file.frames / FINEST)))
        edges = np.arange(columns + 1) * file.frames // columns
        size = 1 << max(5, round(math.log2(WINDOW_SECONDS * file.samplerate)))
        window = np.hanning(size + 1)[:-1].astype(np.float32)
        bank = mel_bands(np.fft.rfftfreq(size, 1 / file.samplerate), MELS, 0.0, file.samplerate / 2)
        low, high, mel = np.zeros(columns), np.zeros(columns), np.zeros((columns, MELS))
        for column, (start, stop) in enumerate(pairwise(edges.tolist())):
            before = min(start, size // 2)  # so that windows are centred
            file.seek(start - before)
            samples = file.read(before + stop - start + size // 2, dtype="float32", always_2d=True)
            inside = samples[before : before + stop - start]
            low[column], high[column] = inside.min(), inside.max()
            mono = np.pad(samples.mean(axis=1), (size // 2 - before, size))
            windows = np.lib.stride_tricks.sliding_window_view(mono, size)[: stop - start : HOP] * window
            mel[column] = (np.abs(np.fft.rfft(windows)) ** 2 @ bank).max(axis=0)
    return low, high, mel


def draw_latents(target: Path, latents: Latents, loop_frames: int | None) -> None:
    """Draw latents [dims, frames] as lanes, one under the other, or above 8 dims as a heat map.

    Parameters
    ----------
    target : Path
        The PNG.
    latents : array [dims, frames]
    loop_frames : int or None
        Length of a loop, whose borders are drawn where there is room for them.

    Raises
    ------
    OutputError
        The picture cannot be written.
    """
    dims, frames = latents.shape
    columns = min(WIDTH, frames) if dims > LANES else WIDTH
    starts = np.arange(columns) * frames // columns
    low, high = (np.asarray(of.reduceat(latents, starts, axis=1), np.float64) for of in (np.minimum, np.maximum))
    picture = _lanes(low, high) if dims <= LANES else _heat_map(low, high)
    if loop_frames is not None and frames / loop_frames <= min(GRID, columns / 4):
        borders = np.arange(loop_frames, frames, loop_frames) * columns // frames
        picture[:, borders, :-1] = 0
        picture[:, borders, -1] = np.maximum(picture[:, borders, -1], round(255 * BORDER))
    _save(target, picture)


def _lanes(low: Array, high: Array) -> Picture:
    """Draw each dim around the middle of its own values, all on the same scale."""
    lowest, highest = low.min(axis=1, keepdims=True), high.max(axis=1, keepdims=True)
    middle, reach = (lowest + highest) / 2, max(1e-9, float((highest - lowest).max()) / 2)
    lanes = zip(low - middle, high - middle, strict=True)
    return _ink(np.vstack([_strip(*lane, reach, LANE_HEIGHT) for lane in lanes]))


def _heat_map(low: Array, high: Array) -> Picture:
    """Draw each dim as a row: of the lowest and the highest value of a column the one that is farther from 0."""
    values = np.where(-low > high, low, high)
    limit = float(np.quantile(np.abs(values), 0.995)) or 1.0
    rows = np.repeat(values, max(2, MAP_HEIGHT // len(values)), axis=0)
    colour = np.where(rows[..., None] < 0, NEGATIVE, POSITIVE)
    opacity = _quantised(np.clip(np.abs(rows) / limit, 0, 1))
    return np.concatenate([colour, opacity[..., None]], axis=-1).astype(np.uint8)


def _strip(low: Array, high: Array, reach: float, height: int) -> Array:
    """Return opacities [height, columns] of a line through values from -`reach` (bottom) to `reach` (top)."""
    before = np.maximum(np.arange(len(low)) - 1, 0)  # each column reaches to the one before, so the line has no gaps
    low, high = np.minimum(low, high[before]), np.maximum(high, low[before])
    usable = (height - 2 * LINE) / 2
    top, bottom = (height / 2 - usable * v / reach for v in (high, low))
    rows = np.arange(height)[:, None] + 0.5
    cover = np.minimum(rows + 0.5, bottom + LINE / 2) - np.maximum(rows - 0.5, top - LINE / 2)  # of each pixel
    opacity: Array = np.clip(cover, 0, 1)
    return opacity


def _quantised(opacity: Array) -> Array:
    return np.round(np.round(opacity * LEVELS) * (255 / LEVELS))


def _ink(opacity: Array) -> Picture:
    """Return black of the given opacities."""
    return np.stack([np.zeros_like(opacity), _quantised(opacity)], axis=-1).astype(np.uint8)


def _save(target: Path, picture: Picture) -> None:
    with atomic_write(target) as part, open(part, "wb") as file:
        Image.fromarray(np.ascontiguousarray(picture)).save(file, format="PNG")
