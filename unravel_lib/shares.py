"""The picture of how much each dim of a variational RAVE matters."""

from pathlib import Path

import numpy as np

from unravel_lib import plots
from unravel_lib.facts import Facts

MOST_DIMS = 64  # dims drawn one by one
BESIDE = 8  # dims that were cut off, drawn beside the kept ones
WIDTH = 9.0  # inches
LONGEST_NAME = 80


def draw(path: Path, facts: Facts) -> None:
    """Draw the share of variance per dim as bars, those that the export kept in colour, the first cut-off ones grey."""
    heights = 100 * np.array(facts.variance_shares or [])
    kept = min(facts.dims or len(heights), len(heights))
    drawn = min(len(heights), kept + BESIDE, MOST_DIMS)
    name = facts.name if len(facts.name) <= LONGEST_NAME else f"{facts.name[: LONGEST_NAME - 3]}..."
    with plots._figure(path, WIDTH, 4, name) as figure:
        axes = plots._axes(figure, 0.8, 0.3)
        for dims, colour, what in (
            (slice(0, kept), plots.BLUE, "kept"),
            (slice(kept, len(heights)), plots.GREY, "cut off"),
        ):
            label = f"{len(heights[dims])} dims {what}: {heights[dims].sum():.1f} % of the variance"
            shown = np.arange(len(heights))[dims]
            shown = shown[shown < drawn]
            if len(heights[dims]):
                axes.bar(shown, heights[shown], color=colour, label=label)
        axes.legend(frameon=False)
        axes.set(xlabel="dim", ylabel="share of variance in %", xlim=(-0.7, drawn - 0.3), xticks=plots._ticks(drawn))
