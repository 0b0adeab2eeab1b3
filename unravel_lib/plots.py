"""Pictures of latents: how values are distributed, how dims correlate, how they change over time.

The only module that imports matplotlib. It draws on its own canvas, without pyplot, from a bounded number of frames,
and leaves out of the PNG whatever changes from day to day: same values, same bytes.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unravel_lib.files.atomic import atomic_write
from unravel_lib.latents.blocks import Sampler
from unravel_lib.statistics.summary import Array, Statistics
from unravel_lib.text import frames_text, printable

DPI = 100
MAX_LINES = 8  # dims drawn as lines; more become a heat map
MAX_FRAMES = 20_000  # frames that a distribution is drawn from
BINS = 96  # of the histogram that a violin is smoothed from
STRIP, GAP = 0.8, 0.14  # inches per line, and between two of them
MAX_TITLE = 110
MAX_SHARES, MAX_CUT_OFF = 64, 8  # shares of variance drawn one by one, and how many of those are of cut-off dims
BLUE, DARK, GREY, PALE, ORANGE = "#4c78a8", "#1b2a41", "#8a8f98", "#e5e5e5", "#d55e00"
DIVERGING = "RdBu_r"  # distinct for every common kind of colour blindness


@contextmanager
def _figure(path: Path, width: float, height: float, title: str) -> Iterator[Figure]:
    """Yield a figure in one style, whatever the user's matplotlib settings are; saved to `path` at the end."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks become boxes, which the reader sees
        matplotlib.rcdefaults()
        matplotlib.rc("text", parse_math=False)
        matplotlib.rc("font", size=9)
        matplotlib.rc("axes.spines", top=False, right=False)
        figure = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(figure)
        text = printable(title)
        text = text if len(text) <= MAX_TITLE else f"{text[: MAX_TITLE - 3]}..."
        figure.text(0.5 / width, 1 - 0.3 / height, text, fontsize=11, ha="left", va="center")
        yield figure
        with atomic_write(path) as part, open(part, "wb") as file:
            figure.savefig(file, format="png", metadata={"Software": None})


def _axes(figure: Figure, left: float, right: float, bottom: float = 0.6, top: float = 0.65) -> Axes:
    """Add axes whose margins to the figure's edges are given in inches; a negative `right` is the axes' width."""
    width, height = figure.get_size_inches()
    wide = -right if right < 0 else width - left - right
    return figure.add_axes((left / width, bottom / height, wide / width, (height - bottom - top) / height))


def draw_distribution(path: Path, statistics: Statistics) -> None:
    """Draw where the values of each dim lie: a violin of their density with a box of their quartiles.

    The whiskers reach to the last values within 1.5 IQR of the box. Without the latents themselves (statistics read
    from a CSV) there are boxes only.
    """
    dims = statistics.dims
    with _figure(path, _width(dims), 5, f"Values per dim, {frames_text(statistics.frames)}") as figure:
        axes = _axes(figure, 0.8, 0.3)
        if statistics.encodings:
            sample = statistics.sample(MAX_FRAMES)
            densities = [_density(column) for column in sample.T]
            violins: dict[str, Any] = axes.violin(densities, np.arange(dims), widths=0.9, showextrema=False)
            for body in violins["bodies"]:
                body.set(facecolor=BLUE, edgecolor="none", alpha=0.45)
        reach = np.maximum(statistics.lower, statistics.minimum), np.minimum(statistics.upper, statistics.maximum)
        _boxes(axes, statistics.q1, statistics.median, statistics.q3, *reach)
        _label_dims(axes, dims)
        axes.set_ylabel("value")
        axes.grid(axis="y", color=PALE)
        axes.set_axisbelow(True)


def draw_correlation(path: Path, statistics: Statistics) -> None:
    """Draw how the dims correlate: their correlation matrix as a heat map from -1 to 1."""
    dims = statistics.dims
    kind = "Robust correlation (from Spearman's ranks)" if statistics.iqr else "Correlation"
    side = min(9.0, max(4.5, 3.5 + 0.25 * dims))
    with _figure(path, side + 1.6, side + 1.25, f"{kind} between dims") as figure:
        axes = _axes(figure, 0.7, -side)
        image = axes.imshow(statistics.active_correlation, DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        ticks = _ticks(dims)
        axes.set(xticks=ticks, yticks=ticks, xlabel="dim", ylabel="dim")
        axes.spines[:].set_visible(False)
        if dims <= MAX_LINES:
            for (row, column), value in np.ndenumerate(statistics.active_correlation):
                ink = "white" if abs(value) > 0.6 else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
        bar = figure.colorbar(image, cax=_axes(figure, 0.7 + side + 0.2, -0.2), ticks=[-1, -0.5, 0, 0.5, 1])
        bar.outline.set_visible(False)


def draw_values(path: Path, title: str, sampler: Sampler) -> None:
    """Draw a file's values over time, as lines up to 8 dims and as a heat map above, beside a box plot of each dim.

    Parameters
    ----------
    path : Path
        The PNG.
    title : str
        Any text; cut where it is too long.
    sampler : Sampler
        Frames of the file.
    """
    frames, dims = sampler.frames, sampler.frames.shape[1]
    boxes = min(8.0, 1.6 + 0.17 * dims)
    height = 5 if dims > MAX_LINES else 1.25 + max(3.75, STRIP * dims)
    with _figure(path, 9.6 + boxes + 1.0, height, title) as figure:
        axes = _heat_map(figure, sampler) if dims > MAX_LINES else _lines(figure, sampler)
        some = f", {len(frames):,} of {sampler.n_frames:,} drawn" if len(frames) < sampler.n_frames else ""
        axes.set_xlabel(f"frame{some}")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        beside = _axes(figure, 11.1, 0.3)
        q1, median, q3 = np.quantile(frames, (0.25, 0.5, 0.75), axis=0)
        reach = 1.5 * (q3 - q1)
        low = np.min(frames, axis=0, where=frames >= q1 - reach, initial=np.inf)
        high = np.max(frames, axis=0, where=frames <= q3 + reach, initial=-np.inf)
        _boxes(beside, q1, median, q3, low, high)
        _label_dims(beside, dims)
        beside.set_ylabel("value")


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
    heights = 100 * np.array(shares)
    kept = min(kept, len(heights))
    drawn = min(len(heights), kept + MAX_CUT_OFF, MAX_SHARES)
    with _figure(path, 9, 4, title if len(title) <= 80 else f"{title[:77]}...") as figure:
        axes = _axes(figure, 0.8, 0.3)
        for dims, colour, what in ((range(kept), BLUE, "kept"), (range(kept, len(heights)), GREY, "cut off")):
            if dims:
                total = heights[dims.start : dims.stop].sum()
                bars = [dim for dim in dims if dim < drawn]
                label = f"{len(dims)} dims {what}: {total:.1f} % of the variance"
                axes.bar(bars, heights[bars], color=colour, label=label)
        axes.legend(frameon=False)
        axes.set(xlabel="dim", ylabel="share of variance in %", xlim=(-0.7, drawn - 0.3), xticks=_ticks(drawn))


def _lines(figure: Figure, sampler: Sampler) -> Axes:
    """Draw one strip per dim, one under the other, all on the same scale; returns the lowest."""
    frames, dims = sampler.frames, sampler.frames.shape[1]
    edges = np.append(sampler.positions, sampler.n_frames)
    low, high = frames.min(), frames.max()
    margin = 0.1 * (high - low) or 0.5
    strip = (figure.get_figheight() - 1.25) / dims
    for dim, values in enumerate(frames.T):
        axes = _axes(figure, 0.8, -9.4, 0.6 + (dims - 1 - dim) * strip, 0.65 + dim * strip + GAP)
        axes.step(edges, np.append(values, values[-1]), where="post", color=BLUE, linewidth=0.8)
        axes.set(xlim=(0, sampler.n_frames), ylim=(low - margin, high + margin), ylabel=f"dim {dim}")
        axes.yaxis.set_major_locator(MaxNLocator(8 if dims == 1 else 3))
        axes.grid(axis="y", color=PALE)
        if dim < dims - 1:
            axes.tick_params(bottom=False, labelbottom=False)
            axes.spines["bottom"].set_visible(False)
    return axes


def _heat_map(figure: Figure, sampler: Sampler) -> Axes:
    """Draw dims from top to bottom, frames from left to right, values as colours around white for 0."""
    frames, dims = sampler.frames, sampler.frames.shape[1]
    axes = _axes(figure, 0.8, -8.8)
    limit = float(np.quantile(np.abs(frames), 0.995)) or 1.0
    image = axes.imshow(
        frames.T,
        DIVERGING,
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        extent=(0, sampler.n_frames, dims - 0.5, -0.5),
    )
    axes.set(yticks=_ticks(dims), ylabel="dim")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, cax=_axes(figure, 9.75, -0.15), extend="both")
    bar.outline.set_visible(False)
    return axes


def _boxes(axes: Axes, q1: Array, median: Array, q3: Array, low: Array, high: Array) -> None:
    """Draw box plots of all dims in three calls; `Axes.bxp` makes five artists per dim, which is slow at 128 dims."""
    x = np.arange(len(q1))
    half = 0.18 if len(q1) <= 32 else 0.3
    axes.use_sticky_edges = False  # a bar of height 0 would put the edge of the picture on itself
    axes.vlines(x, low, high, color=GREY, linewidth=1)
    axes.bar(x, q3 - q1, 2 * half, q1, color="white", edgecolor=DARK, linewidth=0.8, zorder=2.5)
    axes.hlines(median, x - half, x + half, color=ORANGE, linewidth=1.8, zorder=3)


def _density(values: Array) -> dict[str, Any]:
    """Compute a violin's outline as `Axes.violin` takes it: a histogram smoothed by a Gaussian.

    Of Scott's width, standard deviation times n ** -1/5 ("Multivariate Density Estimation", 1992).
    """
    low, high, spread = values.min(), values.max(), values.std()
    middle = {"mean": values.mean(), "median": values.mean(), "min": low, "max": high}
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a constant dim: a thin line
        return {"coords": np.array([low, high]), "vals": np.array([1.0, 1.0]), **middle}
    width = spread * len(values) ** -0.2
    edges = np.linspace(low - 2 * width, high + 2 * width, BINS + 1)
    counts, _ = np.histogram(values, edges)
    step = edges[1] - edges[0]
    sigma = width / step
    offsets = np.arange(-BINS // 2, BINS // 2 + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="same")[:BINS]
    return {"coords": edges[:-1] + step / 2, "vals": smooth, **middle}


def _width(dims: int) -> float:
    return min(24.0, max(8.0, 2 + 0.5 * dims))


def _ticks(dims: int) -> list[int]:
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if dims / s <= 24)
    return list(range(0, dims, step))


def _label_dims(axes: Axes, dims: int) -> None:
    axes.set(xticks=_ticks(dims), xlim=(-0.7, dims - 0.3), xlabel="dim")
