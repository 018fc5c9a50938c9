"""What all figures share: style, panels and PNG.

Figures are matplotlib's objects, without pyplot: no global state, no display.
"""

import io
import math
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, DARK, GREY = "#2563a8", "#d9822b", "#333333", "#e3e3e3"
DPI = 130
STYLE: Any = {
    "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
    "axes.grid": False, "grid.color": GREY, "legend.frameon": False, "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a label may contain a dollar sign
}


@rc_context(STYLE)
def png(figure: Figure) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white",
                   metadata={"Software": None})
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure. *Units:* inches"""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, width: float, height: float, columns: int,
           sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, at most `columns` in a row; the last row may be shorter.

    *Units:* inches, of one panel.
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = new_figure(width * columns + 1.2, height * rows + 0.5)
    subplots = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey)
    grid: list[Axes] = subplots.ravel().tolist()
    for spare in grid[count:]:
        spare.remove()
    for panel in grid[:count]:  # Shared axes show numbers in the last row only, which may be short.
        panel.tick_params(labelbottom=True)
    return figure, grid[:count]
