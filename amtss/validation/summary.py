"""The gate's folder: all languages in tables, one figure and one JSON."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss.files import write_json, write_text
from amtss.paths import Layout
from amtss.validation import labels as label_distribution
from amtss.validation.checks import LABELLED
from amtss.validation.findings import findings_table

if TYPE_CHECKING:
    from amtss.validation.lengths import Cut

Table = list[tuple[object, ...]]


@dataclass(frozen=True)
class Language:
    """What the gate tells of one language. K labels."""

    code: str
    validation: dict[str, Any]
    """Its validation.json."""
    counts: dict[str, NDArray[np.int64]]
    """Rows per label of each labelled split. *Shape:* (K,) each"""
    divergence: float
    """KL(its train || mean of all languages' train) in nats."""

    @property
    def total(self) -> NDArray[np.int64]:
        """Rows per label over all labelled splits. *Shape:* (K,)"""
        return np.asarray(sum(self.counts[split] for split in LABELLED), dtype=np.int64)

    @property
    def imbalance(self) -> float:
        return label_distribution.imbalance(self.counts["train"])

    def split_divergence(self, split: str) -> float:
        """KL(`split` || train) in nats."""
        return label_distribution.divergence(self.counts[split], self.counts["train"])

    def without_examples(self, labels: Sequence[str]) -> list[str]:
        """Those of `labels` that its train has none of."""
        return [label for label, rows in zip(labels, self.counts["train"], strict=True) if not rows]


def write(folder: Path, layout: Layout, languages: Sequence[Language], labels: Sequence[str],
          cuts: Sequence["Cut"], warnings: Sequence[str]) -> None:
    """Fill `folder`, which becomes `layout.gate`."""
    write_text(folder / "summary.md", _summary(layout, languages, labels, cuts, warnings))
    write_text(folder / "appendix_a.csv", _csv(_appendix_a(languages, labels)))
    write_text(folder / "labels.csv", _csv(_long(languages, labels)))
    write_json(folder / "distribution.json", _as_json(languages, labels, cuts, warnings))
    _draw(languages, labels, folder / "label_distribution.png")


def _appendix_a(languages: Sequence[Language], labels: Sequence[str]) -> Table:
    """The paper's table: rows of all labelled splits, labels by languages, with totals."""
    totals = [each.total.tolist() for each in languages]
    return [("label", *(each.code for each in languages)),
            *((label, *column) for label, *column in zip(labels, *totals, strict=True)),
            ("Total", *(sum(column) for column in totals))]


def _long(languages: Sequence[Language], labels: Sequence[str]) -> Table:
    return [("language", "split", "label", "count"),
            *((each.code, split, label, int(rows)) for each in languages for split in LABELLED
              for label, rows in zip(labels, each.counts[split], strict=True))]


def _csv(rows: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _summary(layout: Layout, languages: Sequence[Language], labels: Sequence[str],
             cuts: Sequence["Cut"], warnings: Sequence[str]) -> str:
    head = ("language", *LABELLED, "errors", "warnings", "KL from mean", "KL validation",
            "KL test", "imbalance")
    rows = [(each.code, *(f"{each.counts[split].sum():,}" for split in LABELLED),
             each.validation["errors"], each.validation["warnings"], f"{each.divergence:.3f}",
             *(f"{each.split_divergence(split):.3f}" for split in ("validation", "test")),
             f"{each.imbalance:.1f}") for each in languages]
    first, *rest = _appendix_a(languages, labels)
    return "\n".join([
        "# Gate", "",
        f"{len(languages)} languages, {len(labels)} labels. KL in nats: of train from the mean of "
        "all languages' train, and of validation and test from the language's own train. "
        "Imbalance: rows of train's largest label over its smallest.", "",
        *findings_table(head, rows), "",
        "## Warnings", "", *[f"- {each}" for each in warnings or ("none",)], "",
        *_lengths(cuts),
        "## Details", "", *_links(layout, languages), "",
        "## Labels (the paper's Appendix A)", "",
        "Rows of train, validation and test.", "",
        *findings_table(tuple(map(str, first)), rest), "",
        "![Share of each label per language](label_distribution.png)"]) + "\n"


def _lengths(cuts: Sequence["Cut"]) -> list[str]:
    if not cuts:
        return []
    rows = [(cut.language, cut.checkpoint, ", ".join(cut.teachers), f"{cut.rows:,}", cut.usual,
             cut.longest, cut.max_length, f"{cut.longer:,} ({cut.share:.2%})") for cut in cuts]
    return ["## Lengths", "",
            "Tokens of train, validation, test and unlabelled rows by the tokenizer of each "
            "teacher's checkpoint. Rows of more than `max_length` are cut, the longest text of a "
            "pair first. A tokenizer that is trained here does not exist yet.", "",
            *findings_table(("language", "tokenizer", "teachers", "rows", "99% have at most",
                             "longest", "max_length", "cut"), rows), ""]


def _links(layout: Layout, languages: Sequence[Language]) -> list[str]:
    places = {each.code: Path(os.path.relpath(layout.validation(each.code), layout.gate)).as_posix()
              for each in languages}
    return [f"- {code}: [findings]({place}/validation.md), [every check]({place}/docs/index.html)"
            for code, place in places.items()]


def _as_json(languages: Sequence[Language], labels: Sequence[str], cuts: Sequence["Cut"],
             warnings: Sequence[str]) -> dict[str, Any]:
    return {"labels": labels, "languages": {each.code: {
        "rows": {split: int(each.counts[split].sum()) for split in LABELLED},
        "divergence": each.divergence,
        "split_divergence": {split: each.split_divergence(split)
                             for split in ("validation", "test")},
        "imbalance": each.imbalance,
        "without_examples": each.without_examples(labels),
        "errors": each.validation["errors"], "warnings": each.validation["warnings"],
    } for each in languages}, "lengths": [asdict(cut) for cut in cuts], "warnings": warnings}


def _draw(languages: Sequence[Language], labels: Sequence[str], path: Path) -> None:
    """The paper's Figure 2 for this data: share of each label, by its index, per language."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours, marks = colormaps["tab10" if len(languages) <= 10 else "tab20"], "osD^vP*X<>"
    for at, each in enumerate(languages):
        axes.plot(100 * label_distribution.shares(each.total), label=each.code, linewidth=1.2,
                  marker=marks[at % len(marks)], markersize=5, color=colours(at % colours.N))
    every = -(-len(labels) // 30)  # so that 60 indices do not run into each other
    axes.set_xticks(range(0, len(labels), every))
    axes.set(xlabel="Index of the label", ylabel="Share of the language's rows (%)", ylim=(0, None))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", title="language", ncols=-(-len(languages) // 20))
    figure.savefig(path, metadata={"Software": None})
