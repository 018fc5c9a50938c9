"""The figures of a run. Each function takes plain numbers and returns a matplotlib Figure.

Every language has its own panel or row: twenty lines in one plot cannot be told apart.

Shapes: L languages, E epochs, C labels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from amtss import fonts
from amtss.plot import BLUE, DARK, GREY, ORANGE, STYLE, new_figure, panels
from amtss.report.accuracy import AVERAGE, BASELINE, MIXTURE, STUDENT

Epoch = Mapping[str, Any]
"""A line of `history.jsonl`."""
MAX_NUMBERED = 24
"""A heat map with more columns than this has no numbers in its cells."""


@rc_context(STYLE)
def learning_curves(student: Sequence[Epoch], baseline: Sequence[Epoch],
                    languages: Sequence[str]) -> Figure:
    """Validation accuracy per epoch, a panel per language, the teachers' accuracy dashed.

    `baseline` is empty in an onboarding.
    """
    figure, all_axes = panels(len(languages) + 1, 2.4, 1.9, 4)
    for axes, code in zip(all_axes, (AVERAGE, *languages), strict=True):
        averaged = languages if code == AVERAGE else (code,)
        epochs = [row["epoch"] for row in student]
        own = _means(student, averaged)
        axes.plot(epochs, own + _means(student, averaged, "margin"), "--", color=DARK, lw=1,
                  label=f"{MIXTURE} (Equation 4)")
        if baseline:
            axes.plot([row["epoch"] for row in baseline], _means(baseline, averaged), "s-", ms=3,
                      lw=1.2, color=ORANGE, label=BASELINE)
        axes.plot(epochs, own, "o-", ms=3, lw=1.6, color=BLUE, label=STUDENT)
        axes.set_title(code)
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("validation accuracy, %", fontsize=9)
    return figure


@rc_context(STYLE)
def margins(history: Sequence[Epoch], languages: Sequence[str]) -> Figure:
    """Margins and their ranks after each epoch; framed: the epoch trained on the language."""
    width = min(0.46 * max(5, len(history)), 7.5)
    figure = new_figure(2 * width + 1.6, 0.32 * len(languages) + 1.0)
    left, right = figure.subplots(1, 2, sharey=True)
    points = _matrix(history, "margin", languages)
    limit = max(1.0, float(np.abs(points).max()))
    bar = _heat(left, points, "RdBu_r", (-limit, limit), "{:.1f}")
    figure.colorbar(bar, ax=left, label="points", pad=0.02)
    _heat(right, _matrix(history, "rank", languages) + 1, "Blues_r", (1, max(2, len(languages))),
          "{:.0f}")
    for axes, title in ((left, "Margin: teachers by W minus student"),
                        (right, "Rank of the margin, 1 (dark) = largest")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_yticks(range(len(languages)), languages)
        _number(axes, [row["epoch"] for row in history])
        for column, row in enumerate(history):
            for code in set(row["selected"]) & set(languages):
                axes.add_patch(Rectangle(
                    (column - 0.44, languages.index(code) - 0.44), 0.88, 0.88, fill=False,
                    edgecolor="black", linewidth=min(1.4, 24 / len(history))))
    return figure


@rc_context(STYLE)
def weights(epoch: Epoch, languages: Sequence[str]) -> Figure:
    """W, teachers by languages; hatched: the teacher does not score the language."""
    names = list(epoch["weights"])
    values = np.array([[epoch["weights"][name].get(code, np.nan) for code in languages]
                       for name in names])
    figure = new_figure(0.46 * len(languages) + 2.4, 0.34 * len(names) + 0.8)
    axes = figure.subplots()
    figure.colorbar(_heat(axes, values, "Blues", (0, 1), "{:.2f}"), label="weight", pad=0.02)
    axes.set_xticks(range(len(languages)), languages)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("language")
    return figure


@rc_context(STYLE)
def confusion(counts: NDArray[np.int64], labels: Sequence[str], language: str) -> Figure:
    """Test rows by actual and predicted label, shaded by their share of the actual label's rows.

    Args:
        counts: rows are actual labels. *Shape:* (C, C)
    """
    side = max(2.2, 0.3 * len(labels))
    figure = new_figure(side + 2.6, side + 1.9)
    axes = figure.subplots()
    rows = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(1, rows)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for i, j in zip(*np.nonzero(counts), strict=True):
        _text(axes, int(i), int(j), f"{counts[i, j]}", dark=shares[i, j] > 55,
              size=7 if counts.max() < 1000 else 5.5)
    names, family, _ = fonts.drawn(labels)
    axes.set_xticks(range(len(labels)), names, rotation=90, fontfamily=family)
    axes.set_yticks(range(len(labels)), [f"{name}  {n}" for name, n in
                                         zip(names, rows[:, 0], strict=True)], fontfamily=family)
    axes.set_title(f"{language}: {np.trace(counts):,} of {counts.sum():,} correct")
    axes.set_xlabel("predicted by the student")
    axes.set_ylabel("actual, with its number of test rows")
    return figure


@rc_context(STYLE)
def risk_coverage(curves: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Errors among the surest answers by how many texts these are, a panel per language.

    Args:
        curves: by language, coverage and error in percent. *Shape:* (K, 2) each
    """
    figure, all_axes = panels(len(curves), 2.0, 1.7, 5, sharey=True)
    for axes, (code, points) in zip(all_axes, curves.items(), strict=True):
        axes.plot(points[:, 0], points[:, 1], color=BLUE, lw=1.6)
        axes.set_title(code)
        axes.set_xlim(0, 100)
        axes.grid()
    all_axes[0].set_ylim(bottom=0)  # of all panels, once all curves are drawn
    figure.supxlabel("texts answered, the surest first, %", fontsize=9)
    figure.supylabel("errors among them, %", fontsize=9)
    return figure


@rc_context(STYLE)
def cost(costs: Mapping[str, Mapping[str, float]]) -> Figure:
    """Seconds and examples of every training, side by side; `costs` by model name."""
    figure = new_figure(8.4, 0.26 * len(costs) + 1.0)
    for axes, key, color in zip(figure.subplots(1, 2, sharey=True), ("seconds", "examples"),
                                (BLUE, ORANGE), strict=True):
        values = [training[key] for training in costs.values()]
        bars = axes.barh(list(costs), values, color=color, height=0.7)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axes.set_title(f"{key} of training")
        axes.margins(x=0.18, y=0.02)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_inverted(True)
    return figure


def _heat(axes: Axes, values: NDArray[np.float64], colors: str, limits: tuple[float, float],
          number: str) -> AxesImage:
    """A heat map, with numbers in the cells if there is room; NaN cells are grey and hatched."""
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=limits[0],
                        vmax=limits[1], aspect="auto")
    axes.set_facecolor(GREY)
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////",
                                     edgecolor="#aaaaaa", linewidth=0))
        elif values.shape[1] <= MAX_NUMBERED:
            red, green, blue, _ = image.to_rgba(np.array([value]))[0]
            _text(axes, i, j, number.format(value),
                  dark=0.3 * red + 0.59 * green + 0.11 * blue < 0.55)
    return image


def _text(axes: Axes, row: int, column: int, text: str, dark: bool, size: float = 7.5) -> None:
    axes.text(column, row, text, ha="center", va="center", fontsize=size,
              color="white" if dark else DARK)


def _number(axes: Axes, epochs: Sequence[int]) -> None:
    """Ticks on the epochs; of many epochs, only every few."""
    step = math.ceil(len(epochs) / MAX_NUMBERED)
    axes.set_xticks(range(0, len(epochs), step), [str(epoch) for epoch in epochs[::step]])


def _matrix(history: Sequence[Epoch], key: str, languages: Sequence[str]) -> NDArray[np.float64]:
    """*Shape:* (L, E)"""
    return np.array([[row[key][code] for row in history] for code in languages], dtype=np.float64)


def _means(history: Sequence[Epoch], languages: Iterable[str],
           key: str = "accuracy") -> NDArray[np.float64]:
    """Mean over languages, per epoch. *Shape:* (E,)"""
    return np.array([np.mean([row[key][code] for code in languages]) for row in history])
