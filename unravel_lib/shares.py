"""The picture of how much each dim of a variational RAVE matters."""

from pathlib import Path

import numpy as np

from unravel_lib import plots
from unravel_lib.facts import Facts

MOST_DIMS = 64  # dims drawn one by one; the rest is named in the title


def draw(path: Path, facts: Facts) -> None:
    """Draw the share of variance per dim as bars, those that the export kept in colour, the others pale."""
    shares = facts.variance_shares or []
    kept = min(facts.dims or len(shares), len(shares))
    drawn = min(len(shares), max(kept + 4, 16), MOST_DIMS)
    width = max(6.0, 1.5 + 0.22 * drawn)
    title = (
        f"{facts.name}: share of variance per dim, {kept} of {len(shares)} dims kept ({100 * sum(shares[:kept]):.1f} %)"
    )
    with plots._figure(path, width, 4, title) as figure:
        axes = plots._axes(figure, 0.8, 0.3)
        heights = 100 * np.array(shares[:drawn])
        axes.bar(np.arange(drawn), heights, color=[plots.BLUE if dim < kept else plots.GREY for dim in range(drawn)])
        axes.set_xlim(-0.7, drawn - 0.3)
        axes.set(xlabel="dim", ylabel="share of variance in %")
