"""Stage `report`: the paper's tables and figures for this run, as one HTML file and as Markdown."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from amtss import distribution, fonts, plot, records
from amtss.config.schema import Params
from amtss.errors import AmtssError
from amtss.files import read_json, read_text, replacing, verify
from amtss.paths import Layout
from amtss.report import (
    accuracy,
    figures,
    page,
    paper,
    selective,
    suspects,
    training,
    without_labels,
)
from amtss.report.page import Fold, Picture, Section
from amtss.table import Table

Counts = dict[str, dict[str, int]]
"""By language, then label."""
MAX_ROWS = 24
"""A longer table is folded."""


@dataclass(frozen=True)
class Run:
    """Everything that the report shows, from the files of the earlier stages."""

    metrics: Mapping[str, Any]
    student: Sequence[Mapping[str, Any]]
    """Epochs of `distil`."""
    baseline: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    training: Counts
    """Rows of train."""
    labelled: Counts
    """Rows of train, validation and test."""
    suspects: Counts
    """Rows of train whose labels are suspicious, of the languages where that is known."""
    confusions: Mapping[str, NDArray[np.int64]]
    """Test rows of each language with labels: actual label by the student's prediction.
    *Shape:* (C, C)"""
    curves: Mapping[str, NDArray[np.float64]]
    """Risk-coverage curves of each language: coverage and error. *Shape:* (K, 2)"""
    distribution: Mapping[str, Any]
    """The gate's measurements and warnings."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """The epoch whose parameters became the student; evaluation uses its W."""
        return next(row for row in reversed(self.student) if row["best"])


def report(params: Params, layout: Layout) -> None:
    """Write `report.html`, `report.md` and `figures/`: all of them, or none if one fails.

    Raises:
        AmtssError: a file of an earlier stage is missing or damaged.
    """
    sections = _sections(params, read(params, layout))
    title = f"{params.report.title}: {params.project}"
    with replacing(layout.report) as folder:
        (folder / "figures").mkdir(parents=True)
        for picture in page.pictures(sections):
            (folder / "figures" / f"{picture.name}.png").write_bytes(picture.data)
        (folder / "report.html").write_text(page.html(title, sections), encoding="utf-8")
        (folder / "report.md").write_text(page.markdown(title, sections), encoding="utf-8")


def read(params: Params, layout: Layout) -> Run:
    """Read the files of the earlier stages.

    Raises:
        AmtssError: a file is missing or damaged, or a language was not evaluated.
    """
    labels = records.labels(layout)
    metrics = records.metrics(layout)
    unknown = without_labels.agreements(metrics)
    missing = set(params.languages) - set(metrics["student"]["accuracy"]) - set(unknown)
    if missing:
        raise AmtssError(f"{layout.metrics}: expected metrics of {', '.join(params.languages)}, "
                         f"found none of {', '.join(sorted(missing))}; run `dvc repro evaluate`")
    counted = _rows(layout.gate, "labels.csv", "gate")
    predicted = _rows(layout.evaluation, "predictions.csv", "evaluate")
    suspicious = _rows(layout.evaluation, "suspects.csv", "evaluate")
    points = _rows(layout.evaluation, "coverage.csv", "evaluate")
    return Run(
        metrics=metrics, labels=labels,
        student=_history(layout, "distil"),
        baseline=[] if "onboarded" in metrics else _history(layout, "baseline"),
        training=_counts((row for row in counted if row["split"] == "train"), params.languages),
        labelled=_counts(counted, params.languages),
        suspects=_counts(suspicious, [code for code in params.languages if code in {
            row["language"] for row in suspicious}]),
        confusions={code: _confusion((row for row in predicted if row["language"] == code), labels)
                    for code in params.languages if code not in unknown},
        curves={code: np.array([(row["coverage"], row["error"]) for row in points
                                if row["language"] == code], dtype=np.float64)
                for code in params.languages if code not in unknown},
        distribution=read_json(layout.gate / "distribution.json", records.Distribution,
                               "dvc repro gate"),
    )


def _rows(folder: Path, name: str, stage: str) -> list[dict[str, str]]:
    command = f"dvc repro {stage}"
    verify(folder, command, [name])
    return list(csv.DictReader(io.StringIO(read_text(folder / name, command))))


def _history(layout: Layout, stage: str) -> list[records.Epoch]:
    epochs = records.history(layout, stage)
    if not epochs:
        raise AmtssError(f"{layout.history(stage)}: expected an epoch per line, found none; "
                         f"run `dvc repro {stage}`")
    return epochs


def _counts(rows: Iterable[Mapping[str, str]], languages: Sequence[str]) -> Counts:
    counts: Counts = {code: {} for code in languages}
    for row in rows:
        if row["language"] in counts:
            language = counts[row["language"]]
            language[row["label"]] = language.get(row["label"], 0) + int(row["count"])
    return counts


def _confusion(rows: Iterable[Mapping[str, str]], labels: Sequence[str]) -> NDArray[np.int64]:
    indices = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for row in rows:
        counts[indices[row["actual"]], indices[row["student"]]] += 1
    return counts


def _sections(params: Params, run: Run) -> list[Section]:
    """The whole report, in reading order."""
    unnamed = fonts.drawn(run.labels).note
    metrics, languages = run.metrics, params.languages
    published = paper.RESULTS[params.report.paper] if params.report.paper else None
    return [
        Section("Result", (
            accuracy.headline(metrics), accuracy.comparison(metrics, languages, published),
            accuracy.paired(metrics, languages),
            _shown(accuracy.detail(metrics, languages)))),
        Section("Size and cost", (
            training.sizes(metrics, published is not None),
            *((training.lengths(metrics),) if "lengths" in metrics else ()),
            training.cost(metrics),
            _picture(figures.cost({training.display_name(key, metrics): values for key, values
                                   in metrics["cost"].items()}), "cost",
                     "Seconds and examples of each training."))),
        Section("Learning", (
            _picture(figures.learning_curves(run.student, run.baseline, languages), "learning",
                     "Validation accuracy per epoch. The frames in the next figure show which "
                     "languages each epoch of the student trained on."
                     f"{without_labels.caption(metrics)}"),
            _picture(figures.margins(run.student, languages), "margins",
                     "Margins and their ranks after each epoch. Framed: the epoch trained on the "
                     "language."),
            _shown(training.ranked(run.student, languages)))),
        Section("Importance weights", (
            _picture(figures.weights(run.kept, languages), "weights",
                     f"W after epoch {run.kept['epoch']}, whose student was kept. Hatched: the "
                     "teacher does not score the language."),
            training.weights(run.kept, languages))),
        Section("New languages", (
            accuracy.adapted(metrics, published is not None), accuracy.forgetting(metrics))
            if "onboarded" in metrics else
            ("Table 4: no language has been onboarded in this run.",)),
        _unsure(run, languages),
        _data(run, languages),
        Section("Confusions", tuple(
            Fold(f"{code}: {100 * np.trace(counts) / max(1, counts.sum()):.2f}% correct",
                 (_picture(figures.confusion(counts, run.labels, code), f"confusion-{code}",
                           f"{code}: test rows by actual and predicted label. Shade: share of the "
                           f"actual label's rows.{unnamed}"),))
            for code, counts in run.confusions.items())),
    ]


def _unsure(run: Run, languages: Sequence[str]) -> Section:
    """What becomes of texts that the student is not sure of."""
    metrics = run.metrics
    measured = [code for code in languages if code in metrics["student"]["accuracy"]]
    return Section("Unsure answers", (
        *((selective.coverage(metrics, measured),) if "selective" in metrics else ()),
        _picture(figures.risk_coverage(run.curves), "coverage",
                 "Errors among the surest answers on test, by how many are answered."),
        *((selective.untold(metrics, measured),) if "untold" in metrics else ())))


def _data(run: Run, languages: Sequence[str]) -> Section:
    warnings = tuple(run.distribution["warnings"])
    summary = (f"The data passed validation with {len(warnings)} "
               f"warning{'s'[:len(warnings) != 1]}{':' if warnings else '.'}")
    return Section("Data", (
        summary, *((warnings,) if warnings else ()),
        "All findings are in gate/summary.md, in the folder next to this report's.",
        distribution.languages(run.distribution),
        _picture(distribution.figure(run.training, run.labels), "labels",
                 "Label distribution of each language's training rows."
                 f"{fonts.drawn(run.labels).note}"),
        _shown(suspects.table(run.suspects, run.training, languages, run.labels)),
        _shown(distribution.appendix_a(run.labelled, run.labels))))


def _shown(table: Table) -> Table | Fold:
    """The table, folded if it is long."""
    return table if len(table.rows) <= MAX_ROWS else Fold(table.title, (table,))


def _picture(figure: Figure, name: str, caption: str) -> Picture:
    return Picture(name, caption, plot.png(figure))
