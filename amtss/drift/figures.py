"""The pictures of a drift check; each has a panel per language."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from amtss import fonts
from amtss.drift.drift import Compared
from amtss.plot import BLUE, ORANGE, STYLE, panels

MOST = 20
"""Labels in a picture: those whose shares have changed most."""


@rc_context(STYLE)
def labels(compared: Mapping[str, Compared], chosen: Sequence[str]) -> Figure:
    """Shares of labels in the answers, before and now."""
    names, family, _ = fonts.drawn(chosen)
    figure, grid = panels(len(compared), 2.1, 0.9 + 0.24 * len(chosen), 4, sharey=True)
    at = np.arange(len(chosen))
    for axes, (code, language) in zip(grid, compared.items(), strict=True):
        for index, (side, color) in enumerate((("before", BLUE), ("now", ORANGE))):
            axes.barh(at + 0.4 * index - 0.2,
                      [100 * language.shares[label][index] for label in chosen],
                      height=0.38, color=color, label=side)
        axes.set_yticks(at, names, fontfamily=family)
        axes.set_title(f"{code}  ({len(language.now):,} texts)")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    grid[0].invert_yaxis()
    return _finished(figure, grid, "share of the texts, %")


def most_changed(compared: Mapping[str, Compared]) -> list[str]:
    """The labels whose shares have changed most in any language, in the student's order."""
    def change(label: str) -> float:
        return max(abs(now - before) for before, now in
                   (language.shares[label] for language in compared.values()))

    all_labels = list(next(iter(compared.values())).shares)
    chosen = set(sorted(all_labels, key=change, reverse=True)[:MOST])
    return [label for label in all_labels if label in chosen]


@rc_context(STYLE)
def confidence(compared: Mapping[str, Compared]) -> Figure:
    """Share of the texts below each confidence."""
    figure, grid = panels(len(compared), 2.1, 1.6, 4, sharey=True)
    for axes, (code, language) in zip(grid, compared.items(), strict=True):
        _curves(axes, code, language.before.confidence, language.now.confidence)
    return _finished(figure, grid, "confidence", "texts with less, %")


@rc_context(STYLE)
def length(compared: Mapping[str, Compared]) -> Figure:
    """Share of the texts below each length."""
    figure, grid = panels(len(compared), 2.1, 1.6, 4, sharey=True)
    for axes, (code, language) in zip(grid, compared.items(), strict=True):
        _curves(axes, code, language.before.length, language.now.length)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _finished(figure, grid, "tokens", "texts with fewer, %")


def _curves(axes: Axes, code: str, before: NDArray[np.float64] | NDArray[np.int64],
            now: NDArray[np.float64] | NDArray[np.int64]) -> None:
    for side, color, found in (("before", BLUE, before), ("now", ORANGE, now)):
        shares = np.linspace(0, 100, min(len(found), 200) + 1)
        axes.plot(np.quantile(found, shares / 100), shares, color=color, lw=1.4, label=side)
    axes.set_title(code)
    axes.grid()


def _finished(figure: Figure, grid: Sequence[Axes], x: str, y: str = "") -> Figure:
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
    return figure
