"""A figure in one style, on a canvas of its own, without pyplot.

The PNG holds nothing that changes from day to day: same values, same bytes.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from unravel_lib.files.atomic import atomic_write
from unravel_lib.latents import Frames
from unravel_lib.text import printable

DPI = 100
SAMPLED = 1999  # frames of a file that quantiles are of: a prime, so that it has no factor in common with a loop
MAX_TITLE = 500  # letters
BLUE, ORANGE, DARK, GREY, PALE = "#4c78a8", "#e8853d", "#1b2a41", "#6f747c", "#e5e5e5"
DIVERGING = "RdBu_r"  # distinct for every common kind of colour blindness
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@contextmanager
def saved_figure(path: Path, width: float, height: float, title: str, facts: str = "") -> Iterator[Figure]:
    """Yield a figure in one style, whatever the user's matplotlib settings are; saved to `path` at the end.

    `width` and `height` are in inches. The title, and under it a line of facts, are cut where they are too long.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks become boxes, which the reader sees
        matplotlib.rcdefaults()
        matplotlib.rc("text", parse_math=False)
        matplotlib.rc("font", size=9)
        matplotlib.rc("axes.spines", top=False, right=False)
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


def sample(frames: Frames) -> Frames:
    """Return at most SAMPLED of the frames [n, dims], evenly spaced."""
    kept = min(SAMPLED, len(frames))
    return frames[np.arange(kept) * len(frames) // kept]


def dim_ticks(dims: int, most: int = 24) -> list[int]:
    """Return at most `most` dims to put numbers at."""
    step = next(step for step in STEPS if dims / step <= most or step == STEPS[-1])
    return list(range(0, dims, step))
