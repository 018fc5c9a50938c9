"""The languages' labelled data side by side, for the gate's summary and for the report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amtss.table import NONE, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Counts = Mapping[str, Mapping[str, int]]
"""Language -> label -> rows."""


def languages(distribution: Mapping[str, Any]) -> Table:
    """A row per language, from `distribution.json`."""
    rows = []
    for code, language in distribution["languages"].items():
        divergences = (language["divergence"], language["split_divergence"]["validation"],
                       language["split_divergence"]["test"])
        imbalance = f"{language['imbalance']:.1f}" if language["rows"]["train"] else NONE
        rows.append((code, *(f"{language['rows'][split]:,}"
                             for split in ("train", "validation", "test")),
                     *(NONE if divergence is None else f"{divergence:.3f}"
                       for divergence in divergences), imbalance, str(language["warnings"])))
    return Table("Labelled rows", (
        "Language", "Train", "Validation", "Test", "KL", "KL validation", "KL test", "Imbalance",
        "Warnings"), tuple(rows), (
        "KL: divergence of the label distribution of train from the mean over all languages; KL "
        "validation and KL test: of that split from the language's own train; all in nats. "
        "Imbalance: training rows of the most frequent label divided by those of the least "
        "frequent. Warnings: from the validation of the language.",))


def appendix_a(counts: Counts, labels: Sequence[str]) -> Table:
    """The paper's table: labelled rows per label and language, with totals."""
    rows = [(label, *(f"{language.get(label, 0):,}" for language in counts.values()))
            for label in labels]
    totals = ("Total", *(f"{sum(language.values()):,}" for language in counts.values()))
    return Table("Appendix A. Labelled rows per label and language", ("Label", *counts),
                 (*rows, totals), ("Train, validation and test together.",))


def figure(counts: Counts, labels: Sequence[str]) -> "Figure":
    """Share of each label in a language's training rows, a panel per language."""
    from matplotlib import rc_context

    from amtss import fonts, plot

    names, family, _ = fonts.drawn(labels)
    with rc_context(plot.STYLE):
        drawn, panels = plot.panels(len(counts), 2.1, 0.9 + 0.17 * len(labels), 5, sharey=True)
        for axes, (code, language) in zip(panels, counts.items(), strict=True):
            total = sum(language.values())
            axes.barh(range(len(labels)), [100 * language.get(label, 0) / max(1, total)
                                           for label in labels], color=plot.BLUE, height=0.72)
            axes.set_yticks(range(len(labels)), names, fontfamily=family)
            axes.set_title(f"{code}  ({total:,} rows)")
            axes.grid(axis="x")
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", length=0)
        panels[0].invert_yaxis()
        panels[0].margins(y=0.01)
        drawn.supxlabel("share of the language's training rows, %", fontsize=9)
    return drawn
