"""The contact sheet of a run: each file as a heat map over time, with its first and its last loop enlarged."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from unravel_lib.latents import Frames
from unravel_lib.music.patterns import Piece
from unravel_lib.plots.figure import DARK, DIVERGING, DPI, GREY, SAMPLED, dim_ticks, fit, place, sample, saved_figure
from unravel_lib.statistics.measure import Array
from unravel_lib.text import frames_text

COLUMNS, LOOP_COLUMNS = 880, 150  # pixels of a whole file, and of one loop
LEFT, WIDE, LOOP_WIDE, BAR_WIDE = 0.75, COLUMNS / DPI, LOOP_COLUMNS / DPI, 0.12  # inches
ABOVE, BELOW, GAP = 1.25, 0.65, 0.32  # inches: title and seconds, frames, the line with a file's name
STRIP = 0.3  # inches of the loudness under a file
SHEET = 14.0  # inches that many files share
MIN_HEIGHT, MAX_HEIGHT = 0.6, 5.5  # inches of one file
CLEAR = 16  # pixels of a dim from which on a line separates it from the next
MAX_BORDERS = 160  # lines that are drawn between loops
ONE_COLOUR_SHARE = 0.995  # of the values lie within the colours; outliers have the colours of the ends


def draw_results(
    path: Path,
    title: str,
    facts: str,
    files: Mapping[str, Piece],
    frame_seconds: float,
    loudness: Callable[[Frames], Array | None] = lambda frames: None,
) -> None:
    """Draw the files of a run over time, one under the other on the same scales of time, colour and loudness.

    Parameters
    ----------
    path : Path
        The PNG.
    title, facts : str
        Any text for two lines; cut where it is too long.
    files : mapping of str to Piece
        What is shown under which name; at least one.
    frame_seconds : float
        Seconds that a frame lasts.
    loudness : function of frames [n, dims]
        How loud each is, in dB. Where it says None, how far each is from the one before is drawn instead.
    """
    pieces = list(files.values())
    dims, longest = pieces[0].frames.shape[1], max(len(piece.frames) for piece in pieces)
    height = max(MIN_HEIGHT, min(SHEET / len(files), MAX_HEIGHT, max(2.0, 1 + 0.2 * dims)))
    enlarged = any(len(piece.starts) > 1 for piece in pieces)
    loops = 2 * (LOOP_WIDE + 0.3) if enlarged else 0.0
    width = LEFT + WIDE + loops + 0.2 + BAR_WIDE + 0.6
    total = ABOVE + len(files) * (height + STRIP + GAP) - GAP + BELOW
    limit = float(np.quantile(np.abs(np.concatenate([sample(one.frames) for one in pieces])), ONE_COLOUR_SHARE)) or 1.0
    lines = [borders(piece) for piece in pieces]
    label, curves = _curves(pieces, loudness)
    lowest, highest = min(float(y.min()) for _, y in curves), max(float(y.max()) for _, y in curves)
    with saved_figure(path, width, total, title, facts) as figure:
        for row, (name, piece) in enumerate(files.items()):
            bottom = total - ABOVE - row * (height + STRIP + GAP) - height
            axes = place(figure, LEFT, bottom, WIDE, height)
            image = _heat_map(axes, piece.frames, COLUMNS, WIDE * len(piece.frames) / longest, height, limit)
            for frame in lines[row]:
                axes.axvline(float(frame), color="black", linewidth=0.5, alpha=0.5)
            axes.set(yticks=dim_ticks(dims, max(2, int(height * 5))), ylabel="dim", xlim=(0, longest))
            axes.tick_params(labelbottom=False, bottom=False)
            strip = place(figure, LEFT, bottom - STRIP, WIDE, STRIP)
            strip.fill_between(*curves[row], lowest, step="mid", color=GREY, linewidth=0)
            strip.set(xlim=(0, longest), ylim=(lowest, highest + 1e-9), yticks=[])
            strip.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
            strip.xaxis.set_major_locator(MaxNLocator(9, integer=True))
            strip.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            _label(axes, name if len(files) > 1 else "", DARK, WIDE)
            if row == 0:
                _seconds(figure, bottom + height, longest * frame_seconds)
            strip.tick_params(labelbottom=row == len(files) - 1)
            if enlarged:
                _first_and_last(figure, bottom, height, piece, limit)
        strip.set_xlabel(_frames_label(pieces, max(map(len, lines))), loc="left")
        bar = place(figure, LEFT + WIDE + loops + 0.2, total - ABOVE - min(height, 3.0), BAR_WIDE, min(height, 3.0))
        figure.colorbar(image, cax=bar, extend="both").outline.set_visible(False)


def _curves(
    pieces: Sequence[Piece], loudness: Callable[[Frames], Array | None]
) -> tuple[str, list[tuple[npt.NDArray[np.int64], Array]]]:
    """Return what the strips show, and the places and values of each: at most SAMPLED of its frames, evenly spaced."""
    places = [np.arange(n) * len(piece.frames) // n for piece in pieces if (n := min(SAMPLED, len(piece.frames)))]
    heard = [loudness(piece.frames[at]) for piece, at in zip(pieces, places, strict=True)]
    curves = [(at, y) for at, y in zip(places, heard, strict=True) if y is not None]
    if len(curves) == len(pieces):
        return "loudness", curves
    moved = [
        np.linalg.norm(piece.frames[at] - piece.frames[np.maximum(at - 1, 0)], axis=1)
        for piece, at in zip(pieces, places, strict=True)
    ]
    return "motion", [*zip(places, moved, strict=True)]


def borders(piece: Piece, most: int = MAX_BORDERS) -> Sequence[int]:
    """Return the frames at which loops begin, but for the first.

    Where these are more than `most`, those at which another loop begins than the one before; where these are too, none.
    """
    if len(piece.starts) - 1 <= most:
        return [*map(int, piece.starts[1:])]
    before, found = piece.frames[: piece.starts[1]], []
    for start, end in itertools.pairwise([*piece.starts[1:].tolist(), len(piece.frames)]):
        loop = piece.frames[start:end]
        if not np.array_equal(loop, before):
            found.append(start)
            if len(found) > most:
                return []
        before = loop
    return found


def _first_and_last(figure: Figure, bottom: float, height: float, piece: Piece, limit: float) -> None:
    """Draw the first and the last loop of a file beside it."""
    first, last = piece.frames[: piece.starts[1] if len(piece.starts) > 1 else None], piece.frames[piece.starts[-1] :]
    for number, (name, loop) in enumerate((("first", first), ("last", last))):
        left = LEFT + WIDE + 0.3 + number * (LOOP_WIDE + 0.2)
        axes = place(figure, left, bottom, LOOP_WIDE, height)
        _heat_map(axes, loop, LOOP_COLUMNS, LOOP_WIDE, height, limit)
        axes.set(xticks=[], yticks=[])
        _label(axes, f"{name} loop: {frames_text(len(loop))}", GREY, LOOP_WIDE + 0.15)


def pooled(frames: Frames, columns: int) -> tuple[Frames, Frames]:
    """Return the lowest and the highest value of each dim in equal parts of an array: no spike is lost.

    Two arrays [columns, dims]; one column per frame where there are fewer frames.
    """
    columns = min(columns, len(frames))
    edges = np.arange(columns) * len(frames) // columns
    return np.minimum.reduceat(frames, edges), np.maximum.reduceat(frames, edges)


def _heat_map(axes: Axes, frames: Frames, columns: int, width: float, height: float, limit: float) -> AxesImage:
    """Draw dims from top to bottom, frames from left to right, values as colours around white for 0.

    A dim is two lines of the picture: the highest value of the frames in a column, under it the lowest. Where there
    are fewer pixels than values, neighbours share one.
    """
    low, high = pooled(frames, columns)
    n_columns, dims = high.shape
    columns = max(1, math.ceil(n_columns / max(1, int(width * DPI))))  # that share a column of pixels
    rows = max(1, math.ceil(2 * dims / int(height * DPI)))  # dims that share a line
    across, down = np.arange(0, n_columns, columns), np.arange(0, dims, rows)
    lines: Frames = np.empty((2 * len(down), len(across)))
    lines[0::2] = np.maximum.reduceat(np.maximum.reduceat(high, across, axis=0), down, axis=1).T
    lines[1::2] = np.minimum.reduceat(np.minimum.reduceat(low, across, axis=0), down, axis=1).T
    end = len(across) * columns * len(frames) / n_columns
    extent = (0, end, len(down) * rows - 0.5, -0.5)
    image = axes.imshow(
        lines, DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest", extent=extent
    )
    axes.set_ylim(dims - 0.5, -0.5)
    if height * DPI / dims >= CLEAR:
        axes.hlines(np.arange(1, dims) - 0.5, 0, len(frames), color="white", linewidth=1.5)
    axes.spines[:].set_visible(False)
    return image


def _label(axes: Axes, text: str, colour: str, width: float) -> None:
    """Write a line of text over axes, at most so many inches of it."""
    line = axes.annotate(text, (0, 1), (0, 4), "axes fraction", textcoords="offset points", fontsize=8, color=colour)
    fit(line, width)


def _seconds(figure: Figure, bottom: float, seconds: float) -> None:
    """Draw the axis of seconds above the first file, over the line with its name."""
    axes = place(figure, LEFT, bottom + 0.22, WIDE, 0.05)
    axes.set(xlim=(0, seconds), yticks=[])
    axes.annotate("seconds", (1, 1), (8, 2), "axes fraction", textcoords="offset points")
    axes.xaxis.tick_top()
    axes.xaxis.set_major_locator(MaxNLocator(9))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.spines["top"].set(visible=True, color=GREY)


def _frames_label(pieces: Sequence[Piece], n_lines: int) -> str:
    """Say what a column of pixels shows, and what lines mean."""
    parts = ["frames"]
    most = max(len(piece.frames) for piece in pieces) / COLUMNS
    if most > 1:
        parts.append(
            f"a column of pixels is {most:,.1f} of them: for each dim the highest value above, the lowest below"
        )
    n_loops = max(len(piece.starts) for piece in pieces)
    if n_lines:
        parts.append("lines: a loop begins" if n_lines == n_loops - 1 else "lines: another loop begins")
    elif n_loops > 1:
        parts.append(f"{n_loops:,} loops, too many for lines between them")
    return "   |   ".join(parts)
