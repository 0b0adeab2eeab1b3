"""Pictures of results and of statistics; nothing else imports matplotlib.

Figures have a canvas of their own, without pyplot. A PNG holds nothing that changes from day to day: same values, same
bytes.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from unravel_lib.files.atomic import atomic_write
from unravel_lib.latents import Frames
from unravel_lib.music.patterns import Piece
from unravel_lib.statistics.measure import MEDIAN, NORMAL_IQR, PERCENTS, Q1, Q3, Array, Statistics, marginals
from unravel_lib.text import frames_text, printable

DPI = 100
STYLE = {"text.parse_math": False, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
BLUE, ORANGE, DARK, GREY, PALE = "#4c78a8", "#e8853d", "#1b2a41", "#6f747c", "#e5e5e5"
DIVERGING = "RdBu_r"  # distinct for every common kind of colour blindness
MAX_TITLE = 500  # letters
SAMPLED = 1999  # frames of a file that its loudness is of: a prime, so that it has no factor in common with a loop

# Of results, in inches
LEFT, WIDE, LOOP_WIDE, BAR_WIDE = 0.75, 8.8, 1.5, 0.12  # dims, a whole file, one loop, the bar of colours
ABOVE, BELOW, GAP = 1.25, 0.65, 0.32  # title and seconds, frames, the line with a file's name
STRIP = 0.3  # of the loudness under a file
NAME: dict[str, Any] = {"loc": "left", "y": 1.0, "pad": 4, "fontsize": 8}  # of a file or a loop, over its frames
SHEET = 14.0  # that many files share
MIN_HEIGHT, MAX_HEIGHT = 0.6, 5.5  # of one file
CLEAR = 0.16  # of a dim from which on a line separates it from the next
MAX_BORDERS = 160  # lines that are drawn between loops
ONE_COLOUR_SHARE = 0.995  # of the values lie within the colours; outliers have the colours of the ends

BINS = 96  # of the histogram that a violin is smoothed from
FAR_OUT = 3.0  # IQR beyond the quartiles: Tukey, "Exploratory Data Analysis" (1977)
MAX_NUMBERS = 24  # dims whose values beyond the picture are written out
MAX_CELLS = 8  # dims whose correlation is written into its cell
MAX_SHARES, MAX_CUT_OFF = 64, 8  # shares of variance drawn one by one, and how many of those are of cut-off dims
MIN_BARS = 12  # bars that there is space for: two would be as wide as the picture


@contextmanager
def saved_figure(path: Path, width: float, height: float, title: str, facts: str = "") -> Iterator[Figure]:
    """Yield a figure in one style, whatever the user's matplotlib settings are; saved to `path` at the end.

    `width` and `height` are in inches. The title, and under it a line of facts, are cut where they are too long.
    """
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks become boxes, which the reader sees
        figure = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(figure)
        for text, size, colour, down in ((title, 11, "black", 0.28), (facts, 9, GREY, 0.5)):
            line = figure.text(0.5 / width, 1 - down / height, text, fontsize=size, color=colour, va="center")
            fit(line, width - 0.7)
        yield figure
        with atomic_write(path) as part, open(part, "wb") as file:
            figure.savefig(file, format="png", metadata={"Software": None})


def fit(line: Text, width: float) -> None:
    """Make a text printable, and cut it to so many inches."""
    full = printable(line.get_text())[:MAX_TITLE]
    line.set_text(full)
    while len(full) > 1 and line.get_window_extent().width > width * DPI:
        full = full[: int(0.9 * len(full))]
        line.set_text(f"{full}...")


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def parts(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return where at most `most` equal parts of `n` begin."""
    return np.arange(min(n, most)) * n // min(n, most)


def dim_ticks(dims: int, most: int = 24) -> range:
    """Return at most `most` dims to put numbers at."""
    return range(0, dims, math.ceil(dims / most))


def draw_results(
    path: Path,
    title: str,
    facts: str,
    files: Mapping[str, Piece],
    frame_seconds: float,
    loudness: Callable[[Frames], Array | None] = lambda frames: None,
) -> None:
    """Draw the files of a run over time, one under the other on the same scales of time, colour and loudness.

    Each is a heat map, with its first and its last loop enlarged beside it.

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
        How loud each is, in dB. Where it says None, how far each drawn frame is from the one before is drawn instead.
    """
    pieces = list(files.values())
    dims, longest = pieces[0].frames.shape[1], max(len(piece.frames) for piece in pieces)
    places = [parts(len(piece.frames), SAMPLED) for piece in pieces]
    sampled = [piece.frames[at] for piece, at in zip(pieces, places, strict=True)]
    limit = float(np.quantile(np.abs(np.concatenate(sampled)), ONE_COLOUR_SHARE)) or 1.0
    label, heights = "loudness", loudness(np.concatenate(sampled))
    if heights is None:
        steps = [np.diff(frames, axis=0, prepend=frames[:1]) for frames in sampled]
        label, heights = "motion", np.linalg.norm(np.concatenate(steps), axis=1)
    curves = np.split(heights, np.cumsum([*map(len, places)])[:-1])
    has_loops = any(len(piece.starts) > 1 for piece in pieces)
    height = max(MIN_HEIGHT, min(SHEET / len(files), MAX_HEIGHT, max(2.0, 1 + 0.2 * dims)))
    total = ABOVE + len(files) * (height + STRIP + GAP) - GAP + BELOW
    right = LEFT + WIDE + 0.2 + (2 * (LOOP_WIDE + 0.3) if has_loops else 0.0)
    with saved_figure(path, right + BAR_WIDE + 0.6, total, title, facts) as figure:
        for row, (name, piece) in enumerate(files.items()):
            bottom = total - ABOVE - row * (height + STRIP + GAP) - height
            axes = place(figure, LEFT, bottom, WIDE, height)
            image = _heat_map(axes, piece.frames, WIDE * len(piece.frames) / longest, height, limit)
            for frame in borders(piece):
                axes.axvline(frame, color="black", linewidth=0.5, alpha=0.5)
            axes.set(yticks=dim_ticks(dims, max(2, int(height * 5))), ylabel="dim", xlim=(0, longest))
            axes.tick_params(labelbottom=False, bottom=False)
            fit(axes.set_title(name if len(files) > 1 else "", **NAME, color=DARK), WIDE)
            if row == 0:
                _seconds(axes, 1 + 0.22 / height, frame_seconds)
            if has_loops:
                _first_and_last(figure, bottom, height, piece, limit)
            strip = place(figure, LEFT, bottom - STRIP, WIDE, STRIP)
            strip.fill_between(places[row], curves[row], heights.min(), step="mid", color=GREY, linewidth=0)
            strip.set(xlim=(0, longest), ylim=(heights.min(), heights.max() + 1e-9), yticks=[])
            strip.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
            strip.xaxis.set_major_locator(MaxNLocator(9, integer=True))
            strip.xaxis.set_major_formatter("{x:,.0f}")
            strip.tick_params(labelbottom=row == len(files) - 1)
        strip.set_xlabel(_notes(pieces), loc="left")
        bar = place(figure, right, total - ABOVE - min(height, 3.0), BAR_WIDE, min(height, 3.0))
        figure.colorbar(image, cax=bar, extend="both").outline.set_visible(False)


def borders(piece: Piece, most: int = MAX_BORDERS) -> Sequence[int]:
    """Return the frames at which loops begin, but for the first.

    Where these are more than `most`, those at which another loop begins than the one before; where these are too, none.
    """
    starts = piece.starts[1:].tolist()
    if len(starts) > most:
        neighbours = pairwise(np.split(piece.frames, starts))
        starts = [start for start, loops in zip(starts, neighbours, strict=True) if not np.array_equal(*loops)]
    return starts if len(starts) <= most else []


def _first_and_last(figure: Figure, bottom: float, height: float, piece: Piece, limit: float) -> None:
    """Draw the first and the last loop of a file beside it."""
    loops = np.split(piece.frames, piece.starts[1:])
    for number, (name, loop) in enumerate((("first", loops[0]), ("last", loops[-1]))):
        axes = place(figure, LEFT + WIDE + 0.3 + number * (LOOP_WIDE + 0.2), bottom, LOOP_WIDE, height)
        _heat_map(axes, loop, LOOP_WIDE, height, limit)
        axes.set(xticks=[], yticks=[])
        fit(axes.set_title(f"{name} loop: {frames_text(len(loop))}", **NAME, color=GREY), LOOP_WIDE + 0.15)


def _heat_map(axes: Axes, frames: Frames, width: float, height: float, limit: float) -> AxesImage:
    """Draw dims from top to bottom, frames from left to right, values as colours around white for 0.

    A dim is two lines of the picture: the highest value of the frames in a column, under it the lowest. Where there
    are fewer pixels than values, neighbours share one: no spike is lost.
    """
    (n_frames, dims), n_lines = frames.shape, int(height * DPI) // 2
    across, down = parts(n_frames, max(1, int(width * DPI))), parts(dims, n_lines)
    lines = np.empty((2 * len(down), len(across)))
    lines[0::2] = np.maximum.reduceat(np.maximum.reduceat(frames, across), down, axis=1).T
    lines[1::2] = np.minimum.reduceat(np.minimum.reduceat(frames, across), down, axis=1).T
    image = axes.imshow(
        lines, DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest",
        extent=(0, n_frames, dims - 0.5, -0.5),
    )  # fmt: skip
    if height / dims >= CLEAR:
        axes.hlines(np.arange(1, dims) - 0.5, 0, n_frames, color="white", linewidth=1.5)
    axes.spines[:].set_visible(False)
    return image


def _seconds(axes: Axes, height: float, frame_seconds: float) -> None:
    """Draw an axis of seconds above axes of frames."""
    axis = axes.secondary_xaxis(height, (partial(np.multiply, frame_seconds), partial(np.multiply, 1 / frame_seconds)))
    axis.set_xlabel("seconds", loc="right")
    axis.xaxis.set_major_formatter("{x:,.6g}")
    axis.spines["top"].set_color(GREY)


def _notes(pieces: Sequence[Piece]) -> str:
    """Say what a column of pixels shows, and what lines mean."""
    notes = ["frames"]
    each = max(len(piece.frames) for piece in pieces) / (WIDE * DPI)
    if each > 1:
        shown = "for each dim the highest value above, the lowest below"
        notes.append(f"a column of pixels is {each:,.1f} of them: {shown}")
    if any(borders(piece) for piece in pieces):
        is_all = max(len(piece.starts) for piece in pieces) <= MAX_BORDERS + 1
        notes.append("lines: a loop begins" if is_all else "lines: another loop begins")
    return "   |   ".join(notes)


@dataclass(frozen=True)
class Half:
    """The left or the right halves of violins: `side` is -1 or 1, quantiles are [len(PERCENTS), dims]."""

    name: str
    side: int
    colour: str
    n_frames: int
    quantiles: Array

    @property
    def view(self) -> tuple[Array, Array]:
        """Lowest and highest value [dims] that a picture shows: all but what is far out, at most 1 % at each end."""
        q1, q3 = self.quantiles[Q1], self.quantiles[Q3]
        reach = FAR_OUT * (q3 - q1)
        low = np.min(self.quantiles, axis=0, where=self.quantiles >= q1 - reach, initial=np.inf)
        high = np.max(self.quantiles, axis=0, where=self.quantiles <= q3 + reach, initial=-np.inf)
        return np.minimum(low, self.quantiles[PERCENTS.index(1)]), np.maximum(high, self.quantiles[PERCENTS.index(99)])


def draw_distribution(path: Path, statistics: Statistics, generated: Sequence[Frames] = ()) -> None:
    """Draw where the values of each dim lie: a violin of their density from the lowest value to the highest.

    The left half is what was recorded, the right half what was generated. Values that are far out are marked at the
    edge of the picture, so that they do not squash all others.
    """
    halves = [Half("recorded", -1, BLUE, statistics.frames, statistics.quantiles)]
    if generated:
        quantiles, _ = marginals([frames.T for frames in generated])
        halves.append(Half("generated", 1, ORANGE, sum(map(len, generated)), quantiles))
    dims = statistics.dims
    width = min(24.0, max(8.0, 2 + 0.5 * dims))
    facts = ", ".join(f"{half.name}: {frames_text(half.n_frames)}" for half in halves)
    views = [half.view for half in halves]
    bottom, top = min(low.min() for low, _ in views), max(high.max() for _, high in views)
    margin = 0.08 * (top - bottom) or 0.5
    with saved_figure(path, width, 5.2, "Values of each dim", facts) as figure:
        axes = place(figure, 0.8, 0.6, width - 1.1, 3.75)
        axes.set(xticks=dim_ticks(dims), xlim=(-0.7, dims - 0.3), ylim=(bottom - margin, top + margin))
        axes.set(xlabel="dim; a dark line is the median, thin lines are the quartiles", ylabel="value")
        axes.grid(axis="y", color=PALE)
        axes.set_axisbelow(True)
        for half in halves:
            _half_violins(axes, half)
            _mark_far_out(axes, half)
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def _half_violins(axes: Axes, half: Half) -> None:
    """Draw all dims: their densities, quartiles and medians."""
    for dim, (low, high) in enumerate(zip(*half.view, strict=True)):
        at, density = density_of(half.quantiles[:, dim], half.n_frames, low, high)
        label = half.name if dim == 0 else ""
        edge = dim + 0.45 * half.side * density
        axes.fill_betweenx(at, dim, edge, color=half.colour, alpha=0.5, linewidth=0, label=label)
    x = np.arange(half.quantiles.shape[1])
    for row in (Q1, Q3):
        axes.hlines(half.quantiles[row], x, x + half.side * 0.2, color=half.colour, linewidth=1.0)
    axes.hlines(half.quantiles[MEDIAN], x, x + half.side * 0.33, color=DARK, linewidth=1.6)


def density_of(quantiles: Array, n_frames: int, low: float, high: float) -> tuple[Array, Array]:
    """Return a violin's outline from `low` to `high`: places and densities, the largest of which is 1.

    A histogram between the quantiles smoothed by a Gaussian of Silverman's width, 0.9 n ** -1/5 times the spread
    ("Density Estimation", 1986), mirrored at both ends so that nothing lies outside.
    """
    edges = np.linspace(low, high, BINS + 1)
    step = edges[1] - edges[0]
    if step <= 1e-9 * max(abs(low), abs(high)):  # a constant dim: its lines are enough
        return edges, np.zeros(BINS + 1)
    counts = np.diff(np.interp(edges, quantiles, np.array(PERCENTS) / 100))
    spread = (quantiles[Q3] - quantiles[Q1]) / NORMAL_IQR or (high - low) / 6
    smooth: Array = gaussian_filter1d(counts, 0.9 * spread * n_frames**-0.2 / step, mode="reflect")
    return edges, np.interp(edges, edges[:-1] + step / 2, smooth / smooth.max())


def _mark_far_out(axes: Axes, half: Half) -> None:
    """Mark at the edge of the picture where a dim has values beyond it, with the farthest one."""
    bottom, top = axes.get_ylim()
    align = "left" if half.side > 0 else "right"
    for farthest, edge, marker, up in ((half.quantiles[0], bottom, "v", 5), (half.quantiles[-1], top, "^", -11)):
        for dim in np.flatnonzero((farthest < bottom) | (farthest > top)):
            x = dim + 0.15 * half.side
            axes.plot(x, edge, marker=marker, color=half.colour, markersize=5, clip_on=False, zorder=4)
            if len(farthest) <= MAX_NUMBERS:
                away, text = (3 * half.side, up), f"{farthest[dim]:.3g}"
                axes.annotate(text, (x, edge), away, textcoords="offset points", fontsize=7, color=GREY, ha=align)


def draw_correlation(path: Path, statistics: Statistics) -> None:
    """Draw how the dims correlate: their correlation matrix as a heat map from -1 to 1."""
    dims, correlation = statistics.dims, statistics.active_correlation
    kind = "Robust correlation (from Spearman's ranks)" if statistics.iqr else "Correlation"
    side = min(9.0, max(4.5, 3.5 + 0.25 * dims))
    facts = f"of {statistics.frames:,} recorded frames"
    with saved_figure(path, side + 1.6, side + 1.25, f"{kind} between dims", facts) as figure:
        axes = place(figure, 0.7, 0.6, side, side)
        image = axes.imshow(correlation, DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        axes.set(xticks=dim_ticks(dims), yticks=dim_ticks(dims), xlabel="dim", ylabel="dim")
        axes.spines[:].set_visible(False)
        for (row, column), value in np.ndenumerate(correlation) if dims <= MAX_CELLS else ():
            ink = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
        bar = figure.colorbar(image, cax=place(figure, side + 0.9, 0.6, 0.2, side), ticks=[-1, -0.5, 0, 0.5, 1])
        bar.outline.set_visible(False)


def draw_variance(path: Path, title: str, shares: Sequence[float], kept: int) -> None:
    """Draw the weight of each dim of a model: its share of the variance, 0..1, as a bar.

    Parameters
    ----------
    path : Path
        The PNG.
    title : str
        Any text; cut where it is too long.
    shares : sequence of float
        Share of each dim, the largest first.
    kept : int
        Dims that the export has, which are in colour; a few of those that it cut off follow in grey.
    """
    heights, dims = 100 * np.array(shares), np.arange(len(shares))
    shown = min(len(dims), kept + MAX_CUT_OFF, MAX_SHARES)
    with saved_figure(path, 9, 4, title) as figure:
        axes = place(figure, 0.8, 0.6, 7.9, 2.75)
        for chosen, colour, what in ((dims < kept, BLUE, "kept"), (dims >= kept, GREY, "cut off")):
            if chosen.any():
                label = f"{chosen.sum()} dims {what}: {heights[chosen].sum():.1f} % of the variance"
                axes.bar(dims[chosen], heights[chosen], color=colour, label=label)
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        axes.set(xlabel="dim", ylabel="share of variance in %", xticks=dim_ticks(shown))
        axes.set_xlim(-0.7, max(shown, MIN_BARS) - 0.5)
