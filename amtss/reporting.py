"""Stage `report`: the paper's tables and figures for this run, as one HTML file and as Markdown.

Both are written from one list of sections. The HTML holds its pictures and its style, needs no
script and nothing from outside, so that it can be mailed and opened anywhere.
"""

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from amtss import figures, paper, tables
from amtss.config import Params
from amtss.errors import AmtssError
from amtss.layout import Layout, read_json, replacing
from amtss.tables import Table

Counts = dict[str, dict[str, int]]
"""By language, then label."""


MAX_ROWS = 24
"""A longer table is folded, where what it tells is told shorter elsewhere."""


@dataclass(frozen=True)
class Picture:
    """A PNG, its file's name and what it shows."""

    name: str
    caption: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Fold:
    """What is shown only when asked for."""

    title: str
    blocks: tuple["Block", ...]


Block = str | tuple[str, ...] | Table | Picture | Fold
"""A text is a paragraph, several are a list."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Run:
    """What the stages before have measured."""

    metrics: Mapping[str, Any]
    student: Sequence[Mapping[str, Any]]
    """Epochs of `distil`."""
    baseline: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    training: Counts
    """Rows of the train splits."""
    labelled: Counts
    """Rows of all splits."""
    confusions: Mapping[str, NDArray[np.int64]]
    """The student's, by language: actual label by predicted. *Shape:* (C, C)"""
    distribution: Mapping[str, Any]
    """What the gate measured, and warned of."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """The epoch whose weights became the student; test was measured with its W."""
        return next(row for row in reversed(self.student) if row["best"])


def report(params: Params, layout: Layout) -> None:
    """Write `report.html`, `report.md` and `figures/`: all of them or none.

    Raises:
        AmtssError: a file of an earlier stage is missing or not as that stage writes it.
    """
    sections = _sections(params, read(params, layout))
    title = f"{params.report.title}: {params.project}"
    with replacing(layout.report) as folder:
        (folder / "figures").mkdir(parents=True)
        for picture in _pictures(sections):
            (folder / "figures" / f"{picture.name}.png").write_bytes(picture.data)
        (folder / "report.html").write_text(_html(title, sections), encoding="utf-8")
        (folder / "report.md").write_text(_markdown(title, sections), encoding="utf-8")


def read(params: Params, layout: Layout) -> Run:
    """All that the report tells, from the files of the stages before it."""
    labels = read_json(layout.gate_keys, "dvc repro gate")["labels"]
    metrics = read_json(layout.metrics, "dvc repro evaluate")
    missing = set(params.languages) - set(metrics["paired"])
    if missing:
        raise AmtssError(f"{layout.metrics}: expected figures of {', '.join(params.languages)}, "
                         f"found none of {', '.join(sorted(missing))}; run `dvc repro evaluate`")
    counted = _rows(layout.gate / "labels.csv", "gate")
    predicted = _rows(layout.evaluation / "predictions.csv", "evaluate")
    return Run(
        metrics=metrics, labels=labels,
        student=_history(layout, "distil"), baseline=_history(layout, "baseline"),
        training=_counts((row for row in counted if row["split"] == "train"), params.languages),
        labelled=_counts(counted, params.languages),
        confusions={code: _confusion((row for row in predicted if row["language"] == code), labels)
                    for code in params.languages},
        distribution=read_json(layout.gate / "distribution.json", "dvc repro gate"),
    )


def _text(path: Path, stage: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AmtssError(f"{path}: expected a file, found none; run `dvc repro {stage}`") from None


def _rows(path: Path, stage: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(path, stage))))


def _history(layout: Layout, stage: str) -> list[dict[str, Any]]:
    path = layout.training(stage) / "history.jsonl"
    try:
        epochs = [json.loads(line) for line in _text(path, stage).splitlines()]
    except json.JSONDecodeError as error:
        raise AmtssError(f"{path}: expected a JSON object per line, found {error}; "
                         f"run `dvc repro {stage}`") from error
    if not epochs:
        raise AmtssError(f"{path}: expected an epoch per line, found none; "
                         f"run `dvc repro {stage}`")
    return epochs


def _counts(rows: Iterable[Mapping[str, str]], languages: Sequence[str]) -> Counts:
    counts: Counts = {code: {} for code in languages}
    for row in rows:
        if row["language"] in counts:
            of = counts[row["language"]]
            of[row["label"]] = of.get(row["label"], 0) + int(row["count"])
    return counts


def _confusion(rows: Iterable[Mapping[str, str]], labels: Sequence[str]) -> NDArray[np.int64]:
    at = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for row in rows:
        counts[at[row["actual"]], at[row["student"]]] += 1
    return counts


def _sections(params: Params, run: Run) -> list[Section]:
    """The whole report, in reading order."""
    metrics, languages = run.metrics, params.languages
    beside = paper.RESULTS[params.report.paper] if params.report.paper else None
    return [
        Section("Result", (
            tables.headline(metrics), tables.comparison(metrics, languages, beside),
            tables.paired(metrics, languages),
            _shown(tables.detail(metrics, languages)))),
        Section("Size and cost", (
            tables.sizes(metrics, beside is not None), tables.cost(metrics),
            _picture(figures.cost(metrics["cost"]), "cost",
                     "What each training took."))),
        Section("Learning", (
            _picture(figures.learning_curves(run.student, run.baseline, languages), "learning",
                     "Validation accuracy per epoch. Which languages each epoch of the student "
                     "trained on: the frames below."),
            _picture(figures.margins(run.student, languages), "margins",
                     "Margins and their ranks after each epoch. Framed: the epoch trained on the "
                     "language."),
            _shown(tables.ranked(run.student, languages)))),
        Section("Importance weights", (
            _picture(figures.weights(run.kept, languages), "weights",
                     f"W after epoch {run.kept['epoch']}, the one that was kept. Hatched: the "
                     "teacher does not score the language."),
            tables.weights(run.kept, languages))),
        Section("New languages", (
            "Table 4: no language has been onboarded in this run.",)),
        _data(run),
        Section("Confusions", tuple(
            Fold(f"{code}: {100 * np.trace(counts) / max(1, counts.sum()):.2f}% right",
                 (_picture(figures.confusion(counts, run.labels, code), f"confusion-{code}",
                           f"{code}: test rows by actual and predicted label; shade: share of the "
                           "actual label's rows."),))
            for code, counts in run.confusions.items())),
    ]


def _data(run: Run) -> Section:
    warnings = tuple(run.distribution["warnings"])
    found = (f"The data passed validation with {len(warnings)} "
             f"warning{'s'[:len(warnings) != 1]}{':' if warnings else '.'}")
    return Section("Data", (
        found, *((warnings,) if warnings else ()),
        "Every finding: gate/summary.md, beside this report's folder.",
        tables.data(run.distribution),
        _picture(figures.label_distribution(run.training, run.labels), "labels",
                 "Label distribution of each language's training rows."),
        _shown(tables.appendix_a(run.labelled, run.labels))))


def _shown(table: Table) -> Table | Fold:
    """A long table is shown when asked for."""
    return table if len(table.rows) <= MAX_ROWS else Fold(table.title, (table,))


def _picture(figure: Figure, name: str, caption: str) -> Picture:
    return Picture(name, caption, figures.png(figure))


def _pictures(sections: Iterable[Section | Fold]) -> Iterator[Picture]:
    for section in sections:
        yield from (block for block in section.blocks if isinstance(block, Picture))
        yield from _pictures(block for block in section.blocks if isinstance(block, Fold))


def _markdown(title: str, sections: Iterable[Section]) -> str:
    parts = [f"# {title}\n"]
    for section in sections:
        parts += [f"## {section.title}\n", *map(_block_markdown, section.blocks)]
    return "\n".join(parts)


def _block_markdown(block: Block) -> str:
    match block:
        case str():
            return f"{tables.escaped(block)}\n"
        case tuple():
            return "".join(f"- {tables.escaped(item)}\n" for item in block)
        case Table():
            return tables.markdown(block)
        case Picture():
            caption = tables.escaped(block.caption)
            return f"![{caption}](figures/{block.name}.png)\n\n{caption}\n"
        case Fold():
            inside = "\n".join(map(_block_markdown, block.blocks))
            return (f"<details><summary>{escape(block.title)}</summary>\n\n{inside}\n"
                    "</details>\n")


def _html(title: str, sections: Sequence[Section]) -> str:
    entries = "".join(f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>'
                      for section in sections)
    body = "".join(f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n'
                   f"{''.join(map(_block_html, section.blocks))}</section>\n"
                   for section in sections)
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f'<nav aria-label="Contents"><ol>{entries}</ol></nav>\n'
            f"<main>\n<h1>{escape(title)}</h1>\n{body}</main>\n</body>\n</html>\n")


def _block_html(block: Block) -> str:
    match block:
        case str():
            return f"<p>{escape(block)}</p>\n"
        case tuple():
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block)}</ul>\n"
        case Table():
            return tables.html(block)
        case Picture():
            data = base64.b64encode(block.data).decode("ascii")
            return (f'<figure class="picture"><div class="scroll">'
                    f'<img alt="{escape(block.caption)}" src="data:image/png;base64,{data}"></div>'
                    f"<figcaption>{escape(block.caption)}</figcaption></figure>\n")
        case Fold():
            inside = "".join(map(_block_html, block.blocks))
            return f"<details><summary>{escape(block.title)}</summary>\n{inside}</details>\n"


CSS = """
:root { color-scheme: light; --ink: #1f2933; --soft: #5f6b7a; --line: #dfe4ea; --blue: #2563a8; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #f6f7f9; line-height: 1.55;
       font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
nav { background: #fff; border-bottom: 1px solid var(--line); padding: .6rem 1rem; }
nav ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
nav a { color: var(--blue); text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 0 0 .75rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: .6rem;
          padding: 1.2rem 1rem; margin: 0 0 1.2rem; scroll-margin-top: 1rem; }
section:first-of-type > p:first-of-type { font-size: 1.1rem; padding: .7rem 1rem; margin-top: 0;
          background: #eef4fb; border-left: 4px solid var(--blue); border-radius: .3rem; }
p, ul { max-width: 46rem; }
figure { margin: 1.4rem 0; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
.picture figcaption, .note { font-weight: 400; color: var(--soft); font-size: .87rem; }
.picture figcaption { margin: .4rem 0 0; }
.note { margin: .4rem 0 0; }
.scroll { overflow-x: auto; }
img { display: block; max-width: 100%; min-width: 34rem; height: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .7rem; text-align: left; border-bottom: 1px solid var(--line); }
.right { text-align: right; }
.number, tbody th { white-space: nowrap; }
td:not(.number) { min-width: 8.5rem; }
thead th { border-bottom: 2px solid #b8c2cc; color: var(--soft); font-weight: 600; }
tbody th { font-weight: 400; position: sticky; left: 0; background: #fff; }
tbody tr:hover > * { background: #f3f7fb; }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; color: var(--blue); }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 13rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; border: 0; border-right: 1px solid var(--line);
        padding: 2rem 1.2rem; }
  nav ol { flex-direction: column; gap: .5rem; }
  main { padding: 1.2rem 2rem; }
  section { padding: 1.4rem 1.6rem; }
}
@media print { nav { display: none; } body { display: block; background: #fff; } }
"""
