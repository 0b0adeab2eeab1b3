"""Pictures of a sound and of its latents for the page: time from edge to edge, dark ink on nothing.

Without a ground of their own they suit a light page, and, inverted, a dark one. A column of pixels shows the lowest and
the highest of all values within it, so nothing is left out, however long the sound.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from unravel_lib.files.atomic import atomic_write
from unravel_lib.latents import Latents

Picture = npt.NDArray[np.uint8]  # [height, width, 2 or 4]: grey or colour, and opacity
Range = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # lowest and highest value of each column

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
SEGMENT = 1 << 20  # samples that are read at a time
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
    wave = _strip((low, high), max(1e-3, float(np.max(np.abs([low, high])))), WAVE_HEIGHT)
    decibels = 10 * np.log10(np.maximum(mel, 1e-12))
    ink = np.clip(1 + (decibels - decibels.max()) / RANGE_DB, 0, 1) ** 1.6 if mel.max() > 1e-10 else np.zeros_like(mel)
    rows = np.repeat(ink.T[::-1], MEL_HEIGHT // MELS, axis=0)
    _save(target, _ink(np.vstack([wave, np.zeros((GAP, wave.shape[1])), rows])))


def _analysis(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the lowest and the highest sample of each column, and its largest mel spectrum [columns, MELS]."""
    with soundfile.SoundFile(path) as file:
        samples, rate = file.frames, file.samplerate
        columns = max(1, min(WIDTH, math.ceil(samples / FINEST)))
        edges = np.arange(columns + 1) * samples // columns
        size = 1 << max(5, round(math.log2(WINDOW_SECONDS * rate)))
        window, bank = np.hanning(size + 1)[:-1].astype(np.float32), _mel_bank(size, rate)
        low, high, mel = np.zeros(columns), np.zeros(columns), np.zeros((columns, MELS))
        step = max(1, SEGMENT * columns // max(1, samples))
        for first in range(0, columns, step):
            last = min(columns, first + step)
            start, stop = int(edges[first]), int(edges[last])
            before = min(start, size // 2)
            file.seek(start - before)
            segment = file.read(before + stop - start + size // 2, dtype="float32", always_2d=True)
            mono = np.pad(segment.mean(axis=1), (size // 2 - before, size))  # so that windows are centred
            body = segment[before : before + stop - start]
            for column in range(first, last):
                here, n = int(edges[column]) - start, int(edges[column + 1] - edges[column])
                low[column], high[column] = body[here : here + n].min(), body[here : here + n].max()
                starts = here + np.arange(0, n, HOP)
                windows = np.lib.stride_tricks.sliding_window_view(mono, size)[starts] * window
                mel[column] = (np.abs(np.fft.rfft(windows)) ** 2 @ bank).max(axis=0)
    return low, high, mel


def _mel_bank(size: int, rate: int) -> npt.NDArray[np.float64]:
    """Return triangular filters [size // 2 + 1, MELS], evenly spaced in mel = 2595 log10(1 + f / 700)."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    centres = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(size, 1 / rate)[:, None]
    width = np.maximum(np.diff(centres), rate / size)  # at least a bin, so that no filter is empty
    rise = (frequencies - centres[None, 1:-1]) / width[:-1] + 1
    fall = (centres[None, 1:-1] - frequencies) / width[1:] + 1
    bank: npt.NDArray[np.float64] = np.maximum(np.minimum(rise, fall), 0)
    return bank


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
    ranges = [_columns(latents[dim], columns) for dim in range(dims)]
    picture = _lanes(ranges) if dims <= LANES else _heat_map(ranges)
    if loop_frames is not None and frames / loop_frames <= min(GRID, columns / 4):
        borders = np.arange(loop_frames, frames, loop_frames) * columns // frames
        picture[:, borders, :-1] = 0
        picture[:, borders, -1] = np.maximum(picture[:, borders, -1], round(255 * BORDER))
    _save(target, picture)


def _columns(values: npt.NDArray[np.generic], columns: int) -> Range:
    """Return the lowest and the highest of the values that each column touches."""
    n = len(values)
    starts = np.arange(columns) * n // columns
    array = np.asarray(values, np.float64)
    if n <= columns:
        return array[starts], array[starts]
    return np.minimum.reduceat(array, starts), np.maximum.reduceat(array, starts)


def _lanes(ranges: list[Range]) -> Picture:
    """Draw each dim around the middle of its own values, all on the same scale."""
    middles = [(low.min() + high.max()) / 2 for low, high in ranges]
    reach = max(1e-9, *((high.max() - low.min()) / 2 for low, high in ranges))
    strips = [_strip((r[0] - m, r[1] - m), reach, LANE_HEIGHT) for r, m in zip(ranges, middles, strict=True)]
    return _ink(np.vstack(strips))


def _heat_map(ranges: list[Range]) -> Picture:
    """Draw each dim as a row: of the lowest and the highest value of a column the one that is farther from 0."""
    values = np.array([np.where(-r[0] > r[1], r[0], r[1]) for r in ranges])
    limit = float(np.quantile(np.abs(values), 0.995)) or 1.0
    rows = np.repeat(values, max(2, MAP_HEIGHT // len(ranges)), axis=0)
    colour = np.where(rows[..., None] < 0, NEGATIVE, POSITIVE)
    opacity = _quantised(np.clip(np.abs(rows) / limit, 0, 1))
    return np.concatenate([colour, opacity[..., None]], axis=-1).astype(np.uint8)


def _strip(values: Range, reach: float, height: int) -> npt.NDArray[np.float64]:
    """Return opacities [height, columns] of a line through values from -`reach` (bottom) to `reach` (top)."""
    low, high = values
    joined_low, joined_high = low.copy(), high.copy()  # each column reaches to the one before, so the line has no gaps
    joined_low[1:] = np.minimum(low[1:], high[:-1])
    joined_high[1:] = np.maximum(high[1:], low[:-1])
    usable = (height - 2 * LINE) / 2
    top, bottom = (height / 2 - usable * v / reach for v in (joined_high, joined_low))
    rows = np.arange(height)[:, None] + 0.5
    cover = np.minimum(rows + 0.5, bottom + LINE / 2) - np.maximum(rows - 0.5, top - LINE / 2)  # of each pixel
    opacity: npt.NDArray[np.float64] = np.clip(cover, 0, 1)
    return opacity


def _quantised(opacity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.round(np.round(opacity * LEVELS) * (255 / LEVELS))


def _ink(opacity: npt.NDArray[np.float64]) -> Picture:
    """Return black of the given opacities."""
    return np.stack([np.zeros_like(opacity), _quantised(opacity)], axis=-1).astype(np.uint8)


def _save(target: Path, picture: Picture) -> None:
    with atomic_write(target) as part, open(part, "wb") as file:
        Image.fromarray(np.ascontiguousarray(picture)).save(file, format="PNG")
