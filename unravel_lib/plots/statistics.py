"""Pictures of statistics: how values are distributed, how dims correlate, what each dim weighs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from unravel_lib.latents import Frames
from unravel_lib.plots.figure import BLUE, DARK, DIVERGING, GREY, ORANGE, PALE, dim_ticks, place, sample, saved_figure
from unravel_lib.statistics.measure import NORMAL_IQR, PERCENTS, Q1, Q3, Array, Statistics
from unravel_lib.text import frames_text

BINS = 96  # of the histogram that a violin is smoothed from
FAR_OUT = 3.0  # IQR beyond the quartiles: Tukey, "Exploratory Data Analysis" (1977)
P1, MEDIAN, P99 = PERCENTS.index(1), PERCENTS.index(50), PERCENTS.index(99)
MAX_NUMBERS = 24  # dims whose values beyond the picture are written out
MAX_CELLS = 8  # dims whose correlation is written into its cell
MAX_SHARES, MAX_CUT_OFF = 64, 8  # shares of variance drawn one by one, and how many of those are of cut-off dims
MIN_BARS = 12  # bars that there is space for: two would be as wide as the picture


@dataclass(frozen=True)
class Values:
    """Quantiles [len(PERCENTS), dims] of some frames, under a name."""

    name: str
    n_frames: int
    quantiles: Array

    @property
    def view(self) -> tuple[Array, Array]:
        """Lowest and highest value [dims] that a picture shows: all but what is far out, at most 1 % at each end."""
        q1, q3 = self.quantiles[Q1], self.quantiles[Q3]
        reach = FAR_OUT * (q3 - q1)
        low = np.min(self.quantiles, axis=0, where=self.quantiles >= q1 - reach, initial=np.inf)
        high = np.max(self.quantiles, axis=0, where=self.quantiles <= q3 + reach, initial=-np.inf)
        return np.minimum(low, self.quantiles[P1]), np.maximum(high, self.quantiles[P99])


def draw_distribution(path: Path, statistics: Statistics, generated: Sequence[Frames] = ()) -> None:
    """Draw where the values of each dim lie: a violin of their density from the lowest value to the highest.

    The left half is what was recorded, the right half what was generated. Values that are far out are marked at the
    edge of the picture, so that they do not squash all others.
    """
    both = [Values("recorded", statistics.frames, statistics.quantiles)]
    if generated:
        both.append(_values_of(generated))
    dims = statistics.dims
    width = min(24.0, max(8.0, 2 + 0.5 * dims))
    facts = ", ".join(f"{one.name}: {frames_text(one.n_frames)}" for one in both)
    with saved_figure(path, width, 5.2, "Values of each dim", facts) as figure:
        axes = place(figure, 0.8, 0.6, width - 1.1, 3.75)
        for values, side, colour in zip(both, (-1, 1), (BLUE, ORANGE), strict=False):
            _half_violins(axes, values, side, colour)
        views = [values.view for values in both]
        bottom, top = min(low.min() for low, _ in views), max(high.max() for _, high in views)
        margin = 0.08 * (top - bottom) or 0.5
        axes.set(xticks=dim_ticks(dims), xlim=(-0.7, dims - 0.3), ylim=(bottom - margin, top + margin))
        for values, side, colour in zip(both, (-1, 1), (BLUE, ORANGE), strict=False):
            _mark_far_out(axes, values, side, colour)
        axes.set(xlabel="dim; a dark line is the median, thin lines are the quartiles", ylabel="value")
        axes.grid(axis="y", color=PALE)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def _values_of(generated: Sequence[Frames]) -> Values:
    """Measure some frames of what was generated; the lowest and the highest value are those of all frames."""
    quantiles = np.quantile(np.concatenate([sample(frames) for frames in generated]), np.array(PERCENTS) / 100, axis=0)
    quantiles[0] = np.min([frames.min(axis=0) for frames in generated], axis=0)
    quantiles[-1] = np.max([frames.max(axis=0) for frames in generated], axis=0)
    return Values("generated", sum(map(len, generated)), quantiles)


def _half_violins(axes: Axes, values: Values, side: int, colour: str) -> None:
    """Draw all dims; `side` is -1 for left halves, 1 for right ones."""
    outlines = []
    for dim, (low, high) in enumerate(zip(*values.view, strict=True)):
        at, density = _density(values.quantiles[:, dim], values.n_frames, low, high)
        edge = np.concatenate([np.full(len(at), dim), dim + side * 0.45 * density[::-1]])
        outlines.append(np.column_stack([edge, np.concatenate([at, at[::-1]])]))
    violins = PolyCollection(outlines, facecolor=colour, alpha=0.5, linewidth=0, label=values.name)
    axes.add_collection(violins, autolim=False)
    x = np.arange(values.quantiles.shape[1])
    for place_, reach, colour_, line in ((Q1, 0.2, colour, 1.0), (Q3, 0.2, colour, 1.0), (MEDIAN, 0.33, DARK, 1.6)):
        axes.hlines(values.quantiles[place_], x, x + side * reach, color=colour_, linewidth=line)


def _density(quantiles: Array, n_frames: int, low: float, high: float) -> tuple[Array, Array]:
    """Return a violin's outline from `low` to `high`: places and densities, the largest of which is 1.

    A histogram between the quantiles smoothed by a Gaussian of Silverman's width, 0.9 n ** -1/5 times the spread
    ("Density Estimation", 1986), mirrored at both ends so that nothing lies outside.
    """
    edges = np.linspace(low, high, BINS + 1)
    step = edges[1] - edges[0]
    if step <= 1e-9 * max(abs(low), abs(high)):  # a constant dim: its lines are enough
        return np.array([low, high]), np.zeros(2)
    counts = np.diff(np.interp(edges, quantiles, np.array(PERCENTS) / 100))
    spread = (quantiles[Q3] - quantiles[Q1]) / NORMAL_IQR or (high - low) / 6
    sigma = 0.9 * spread * n_frames**-0.2 / step
    reach = math.ceil(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    smooth = np.convolve(np.pad(counts, reach, "symmetric"), kernel / kernel.sum(), "valid")
    middles = edges[:-1] + step / 2
    at = np.concatenate([[low], middles, [high]])
    density = np.concatenate([smooth[:1], smooth, smooth[-1:]])
    return at, density / density.max()


def _mark_far_out(axes: Axes, values: Values, side: int, colour: str) -> None:
    """Mark at the edge of the picture where a dim has values beyond it, with the farthest one."""
    bottom, top = axes.get_ylim()
    dims = values.quantiles.shape[1]
    for farthest, edge, marker, is_beyond in (
        (values.quantiles[0], bottom, "v", values.quantiles[0] < bottom),
        (values.quantiles[-1], top, "^", values.quantiles[-1] > top),
    ):
        for dim in np.flatnonzero(is_beyond):
            x = dim + 0.15 * side
            axes.plot(x, edge, marker=marker, color=colour, markersize=5, clip_on=False, zorder=4)
            if dims <= MAX_NUMBERS:
                away, align = (3 * side, 5 if edge == bottom else -11), "left" if side > 0 else "right"
                style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": GREY, "ha": align}
                axes.annotate(f"{farthest[dim]:.3g}", (x, edge), away, **style)


def draw_correlation(path: Path, statistics: Statistics) -> None:
    """Draw how the dims correlate: their correlation matrix as a heat map from -1 to 1."""
    dims = statistics.dims
    kind = "Robust correlation (from Spearman's ranks)" if statistics.iqr else "Correlation"
    side = min(9.0, max(4.5, 3.5 + 0.25 * dims))
    title, facts = f"{kind} between dims", f"of {statistics.frames:,} recorded frames"
    with saved_figure(path, side + 1.6, side + 1.25, title, facts) as figure:
        axes = place(figure, 0.7, 0.6, side, side)
        image = axes.imshow(statistics.active_correlation, DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        ticks = dim_ticks(dims)
        axes.set(xticks=ticks, yticks=ticks, xlabel="dim", ylabel="dim")
        axes.spines[:].set_visible(False)
        if dims <= MAX_CELLS:
            for (row, column), value in np.ndenumerate(statistics.active_correlation):
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
    heights = 100 * np.array(shares)
    kept = min(kept, len(heights))
    drawn = min(len(heights), kept + MAX_CUT_OFF, MAX_SHARES)
    with saved_figure(path, 9, 4, title) as figure:
        axes = place(figure, 0.8, 0.6, 7.9, 2.75)
        patches = []
        for dims, colour, what in ((range(kept), BLUE, "kept"), (range(kept, len(heights)), GREY, "cut off")):
            if dims:
                total = heights[dims.start : dims.stop].sum()
                bars = [dim for dim in dims if dim < drawn]
                axes.bar(bars, heights[bars], color=colour)
                label = f"{len(dims)} dims {what}: {total:.1f} % of the variance"
                patches.append(Patch(color=colour, label=label))  # of its own, as there may be no bar
        axes.legend(handles=patches, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        axes.set(xlabel="dim", ylabel="share of variance in %", xticks=dim_ticks(drawn))
        axes.set_xlim(-0.7, max(drawn, MIN_BARS) - 0.3)
