"""The gate's folder: tables, a figure and a JSON file about all languages."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import distribution, records
from amtss.files import write_bytes, write_json, write_text
from amtss.paths import Layout
from amtss.table import Table, escaped, markdown
from amtss.validation import labels as label_distribution
from amtss.validation.checks import LABELLED

if TYPE_CHECKING:
    from amtss.validation.lengths import Cut


@dataclass(frozen=True)
class Language:
    """What the gate has measured for one language. Shapes: K labels."""

    code: str
    validation: records.Validation
    """Its validation.json."""
    counts: dict[str, NDArray[np.int64]]
    """Rows per label of each labelled split. *Shape:* (K,) each"""
    divergence: float | None
    """KL(its train || mean of all languages' train) in nats; None where there are no labels."""
    unlabelled: tuple[int, int]
    """Texts without labels: of the source, and mixed from training texts (`data.mixed`)."""

    @property
    def total(self) -> NDArray[np.int64]:
        """Rows per label over all labelled splits. *Shape:* (K,)"""
        return np.asarray(sum(self.counts[split] for split in LABELLED), dtype=np.int64)

    @property
    def without_labels(self) -> bool:
        """Whether no training row has a label."""
        return not self.counts["train"].any()

    @property
    def imbalance(self) -> float:
        return label_distribution.imbalance(self.counts["train"])

    def split_divergence(self, split: str) -> float | None:
        """KL(`split` || train) in nats; None where one of them has no labels."""
        if self.without_labels or not self.counts[split].any():
            return None
        return label_distribution.divergence(self.counts[split], self.counts["train"])

    def without_examples(self, labels: Sequence[str]) -> list[str]:
        """Those of `labels` that have no training row."""
        return [label for label, rows in zip(labels, self.counts["train"], strict=True) if not rows]


def write(folder: Path, layout: Layout, languages: Sequence[Language], labels: Sequence[str],
          cuts: Sequence["Cut"], warnings: Sequence[str]) -> None:
    """Fill `folder`, which becomes `layout.gate`."""
    from amtss import plot

    measured = _as_json(languages, labels, cuts, warnings)
    totals = {language.code: language.total.tolist() for language in languages}
    train = {language.code: language.counts["train"].tolist() for language in languages}
    appendix_a = distribution.appendix_a(_by_label(totals, labels), labels)
    write_json(folder / "distribution.json", measured)
    write_text(folder / "summary.md", _summary(layout, measured, appendix_a, cuts))
    write_text(folder / "appendix_a.csv", _csv([
        ("label", *totals), *zip(labels, *totals.values(), strict=True),
        ("Total", *map(sum, totals.values()))]))
    write_text(folder / "labels.csv", _csv([
        ("language", "split", "label", "count"),
        *((language.code, split, label, int(rows)) for language in languages for split in LABELLED
          for label, rows in zip(labels, language.counts[split], strict=True))]))
    figure = distribution.figure(_by_label(train, labels), labels)
    write_bytes(folder / "label_distribution.png", plot.png(figure))


def _summary(layout: Layout, measured: dict[str, Any], appendix_a: Table,
             cuts: Sequence["Cut"]) -> str:
    """The gate's summary as Markdown; `measured` is the content of distribution.json."""
    from amtss import fonts

    codes, labels = measured["languages"], measured["labels"]
    return "\n".join([
        "# Gate\n", f"{len(codes)} languages, {len(labels)} labels.\n",
        markdown(distribution.languages(measured)), *_unlabelled(codes),
        "## Warnings\n", _list(map(escaped, measured["warnings"] or ["none"])),
        *_lengths(cuts),
        "## Details\n", _list(_links(layout, codes)),
        "## Labels\n", markdown(appendix_a),
        "![Share of each label in each language's training rows](label_distribution.png)\n",
        escaped(fonts.drawn(labels).note) + "\n"])


def _by_label(counts: Mapping[str, Sequence[int]], labels: Sequence[str]) -> distribution.Counts:
    return {code: dict(zip(labels, rows, strict=True)) for code, rows in counts.items()}


def _csv(rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {item}\n" for item in items)


def _unlabelled(languages: dict[str, Any]) -> list[str]:
    """What the teachers score beside the labelled rows, where there is anything."""
    counts = {code: language["unlabelled"] for code, language in languages.items()}
    if not any(sum(count.values()) for count in counts.values()):
        return []
    rows = ", ".join(f"{code} {count['own']:,} and {count['mixed']:,}"
                     for code, count in counts.items())
    return [f"Texts without labels, own and mixed from training rows (`data.mixed`): {rows}.\n"]


def _lengths(cuts: Sequence["Cut"]) -> list[str]:
    if not cuts:
        return []
    rows = [(cut.language, cut.checkpoint, ", ".join(cut.readers), f"{cut.rows:,}",
             str(cut.usual), str(cut.longest), str(cut.max_length),
             f"{cut.longer:,} ({cut.share:.2%})", f"{cut.unknown:.2%}") for cut in cuts]
    return ["## Lengths\n",
            "Tokens of train, validation, test and unlabelled rows, counted by the tokenizer of "
            "each checkpoint. Rows of more than `max_length` tokens are cut, the longer text of a "
            "pair first; unknown is the share of tokens whose characters the vocabulary lacks. "
            "Tokenizers that are trained here are missing, as they do not exist yet: `teach` and "
            "`start` count for them, and the report has what they find.\n",
            markdown(Table("", ("language", "tokenizer", "read by", "rows", "99% have at most",
                                "longest", "max_length", "cut", "unknown"), tuple(rows)))]


def _links(layout: Layout, codes: Iterable[str]) -> Iterator[str]:
    for code in codes:
        folder = Path(os.path.relpath(layout.validation(code), layout.gate)).as_posix()
        yield (f"{escaped(code)}: [findings]({folder}/validation.md), "
               f"[every check]({folder}/docs/index.html)")


def _as_json(languages: Sequence[Language], labels: Sequence[str], cuts: Sequence["Cut"],
             warnings: Sequence[str]) -> dict[str, Any]:
    return {"labels": labels, "languages": {language.code: {
        "rows": {split: int(language.counts[split].sum()) for split in LABELLED},
        "unlabelled": dict(zip(("own", "mixed"), language.unlabelled, strict=True)),
        "divergence": language.divergence,
        "split_divergence": {split: language.split_divergence(split)
                             for split in ("validation", "test")},
        "imbalance": language.imbalance,
        "without_examples": language.without_examples(labels),
        "errors": language.validation["errors"], "warnings": language.validation["warnings"],
    } for language in languages}, "lengths": [asdict(cut) for cut in cuts], "warnings": warnings}
