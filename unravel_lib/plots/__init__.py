"""Pictures, with the only modules that import matplotlib.

figure : a figure in one style, written whole, with the same bytes for the same values
results : the contact sheet of a run: its files over time
statistics : how values are distributed, how dims correlate, what each dim weighs
"""

from unravel_lib.plots.results import draw_results
from unravel_lib.plots.statistics import draw_correlation, draw_distribution, draw_variance

__all__ = ["draw_correlation", "draw_distribution", "draw_results", "draw_variance"]
