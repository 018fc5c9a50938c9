"""Tables of accuracies on test: the models side by side, their differences, an onboarding.

Accuracies are in percent, differences in points; `metrics` is the content of metrics.json.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amtss.report import floor, paper, without_labels
from amtss.table import NONE, Best, Table

Metrics = Mapping[str, Any]
AVERAGE = "average"
STUDENT, BASELINE, MIXTURE = "AMTSS student", "X-LM-Tiny", "Teachers by W"
MAX_COLUMNS = 8
"""With more languages than this, languages become rows."""
SIGNIFICANT = 0.05


def rival(metrics: Metrics) -> str:
    """The model that the student is compared with: X-LM-Tiny, or the version that an onboarding
    started from."""
    return f"Version {metrics['onboarded']['version']}" if "onboarded" in metrics else BASELINE


def verdict(pair: Mapping[str, float]) -> str:
    """`above`, `below`, or `not shown` where chance could explain the difference."""
    if pair["p"] >= SIGNIFICANT or pair["low"] <= 0 <= pair["high"]:
        return "not shown"
    return "above" if pair["difference"] > 0 else "below"


def headline(metrics: Metrics) -> str:
    """The measured result: first beside the linear floor, then beside X-LM-Tiny and the teachers.
    """
    pair = metrics["paired"][AVERAGE]
    side = "above" if pair["difference"] >= 0 else "below"
    conclusion = {"above": "it is better", "below": "it is worse",
                  "not shown": "no difference was shown"}[verdict(pair)]
    p = _p(pair["p"]) if pair["p"] < 0.001 else f"= {_p(pair['p'])}"
    over = f" over the languages of {rival(metrics)}" if "onboarded" in metrics else ""
    return (f"{_beside_floor(metrics)} "
            f"The student is {abs(pair['difference']):.2f} points {side} {rival(metrics)} on "
            f"average{over} (95% interval {_between(pair)}, p {p}): {conclusion}. Its average "
            f"test accuracy is {metrics['student']['accuracy'][AVERAGE]:.2f}; that of the best "
            f"single teachers is {_best_single(metrics)[AVERAGE]:.2f}, and that of the teachers "
            f"weighted by W is {metrics['mixture']['accuracy'][AVERAGE]:.2f}.")


def _beside_floor(metrics: Metrics) -> str:
    return floor.sentence(metrics["student"]["accuracy"], metrics["floor"]["accuracy"],
                          metrics["advice"])


def results(metrics: Metrics, languages: Sequence[str]) -> Table:
    """The run's accuracies in the form of Table 1, and what to try where the student is below the
    floor. Where languages are rows, it has no intervals: they would not fit into a terminal, and
    the report has them."""
    rows = _results(metrics, (*languages, AVERAGE))
    if len(languages) > MAX_COLUMNS:
        rows = rows[:-2]
    rows += without_labels.row(metrics, (*languages, AVERAGE))
    return _turned(Table("Accuracy on test, %", ("", *languages, AVERAGE), rows,
                         (_beside_floor(metrics), *without_labels.notes(metrics))))


def comparison(metrics: Metrics, languages: Sequence[str],
               published: paper.Results | None) -> Table:
    """Table 1 or 2: `results` with the teachers' architectures and the paper's rows."""
    best, columns = metrics["best_teacher"], (*languages, AVERAGE)
    architectures = (metrics["sizes"][f"teachers.{best[code]}"]["architecture"]
                     for code in languages)
    rows = (("Best teacher", *(best[code] for code in languages), NONE),
            ("Its architecture", *architectures, NONE), *_results(metrics, columns),
            *without_labels.row(metrics, columns))
    notes: tuple[str, ...] = (
        "The best single teacher of a language is the best on validation; all accuracies are on "
        f"test. Bold: the better of {STUDENT} and {rival(metrics)}.",
        *without_labels.notes(metrics))
    if published is not None:
        rows += _paper(published, columns)
        notes += (f"The paper's rows are its {published.name}: {published.data} with large "
                  "pretrained teachers, averaged over ar, en, es, fr and ru. They were measured on "
                  "other data and with other teachers, so they are not comparable unless this run "
                  "uses the paper's.",)
    name = published.name if published else "Table 1"
    return _turned(Table(f"{name}. Accuracy on test, %", ("", *columns), rows, notes))


def _turned(table: Table) -> Table:
    """The table with languages as rows where they would be too many columns."""
    return table.transposed() if len(table.header) - 2 > MAX_COLUMNS else table


def _results(metrics: Metrics, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    student = metrics["student"]["accuracy"]
    baseline, below = (_comparable(metrics[key]["accuracy"], student)
                       for key in ("baseline", "floor"))
    pairs = [metrics["paired"][code] if code in baseline else None for code in columns]
    return (
        (floor.NAME, *_accuracies(below, columns)),
        ("Best single teachers", *_accuracies(_best_single(metrics), columns)),
        (MIXTURE, *_accuracies(metrics["mixture"]["accuracy"], columns)),
        (rival(metrics), *_accuracies(baseline, columns, than=student)),
        (STUDENT, *_accuracies(student, columns, than=baseline)),
        *((name, *(f"{pair[key]:+.2f}" if pair else NONE for pair in pairs))
          for name, key in ((f"minus {rival(metrics)}", "difference"),
                            ("95% interval from", "low"), ("to", "high"))),
    )


def _comparable(row: Mapping[str, float], student: Mapping[str, float]) -> Mapping[str, float]:
    """`row` without its average, if that is over other languages than the student's."""
    return row if row.keys() == student.keys() else {
        code: value for code, value in row.items() if code != AVERAGE}


def _paper(published: paper.Results, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return (
        ("Paper: architecture", *(published.architecture.get(code, NONE) for code in columns)),
        ("Paper: teacher", *_accuracies(published.teacher, columns)),
        (f"Paper: {BASELINE}", *_accuracies(published.baseline, columns)),
        ("Paper: AMTSS", *_accuracies(published.student, columns)),
    )


def detail(metrics: Metrics, languages: Sequence[str]) -> Table:
    """Every metric of every model, language by language."""
    models = {STUDENT: metrics["student"], rival(metrics): metrics["baseline"],
              MIXTURE: metrics["mixture"], floor.NAME: metrics["floor"]}
    models |= {f"teacher {name}": teacher for name, teacher in metrics["teachers"].items()}
    rows = []
    for code in (AVERAGE, *languages):
        best = f"teacher {metrics['best_teacher'].get(code)}"
        for name, model in models.items():
            covered = metrics["student"]["accuracy"] if code == AVERAGE else (code,)
            if set(covered) <= set(model["accuracy"]):
                cells = (name, f"{model['accuracy'][code]:.2f}",
                         _between({"low": model["low"][code], "high": model["high"][code]}),
                         f"{model['macro_f1'][code]:.2f}", f"{model['ece'][code]:.2f}")
                rows.append((code, *(map(Best, cells) if name == best else cells)))
    return Table("Every metric on test, %",
                 ("", "Model", "Accuracy", "95% interval", "Macro-F1", "ECE"), tuple(rows),
                 ("Bold: the language's best single teacher by validation accuracy. ECE: expected "
                  "calibration error. A model has an average only if it serves every language.",
                  *without_labels.notes(metrics)))


def paired(metrics: Metrics, languages: Sequence[str]) -> Table:
    """The student minus its rival on the same examples."""
    pairs = {code: metrics["paired"][code] for code in (AVERAGE, *languages)
             if code in metrics["paired"]}
    rows = ((code, f"{pair['difference']:+.2f}", _between(pair), _p(pair["p"]), verdict(pair))
            for code, pair in pairs.items())
    return Table(f"{STUDENT} minus {rival(metrics)}, points of test accuracy",
                 ("", "Difference", "95% interval", "p", "Student is"), tuple(rows),
                 ("p of the average: paired sign-flip permutation test; of a language: McNemar's "
                  f"exact test. 'Not shown': p is at least {SIGNIFICANT}, or the interval contains "
                  f"0. The p-values of the {len(pairs) - 1} languages are not corrected for "
                  "multiple tests. The intervals cover the choice of test examples, not the seed "
                  "of the training.",))


def adapted(metrics: Metrics, beside_paper: bool) -> Table:
    """Table 4: new languages against their teachers, maybe with the paper's rows."""
    student, best = metrics["student"]["accuracy"], _best_single(metrics)
    new = metrics["onboarded"]["languages"]
    columns = (*new, AVERAGE)
    architectures = (
        metrics["sizes"][f"teachers.{metrics['best_teacher'][code]}"]["architecture"]
        for code in new)
    rows: tuple[tuple[str, ...], ...] = (
        ("Architecture", *architectures, NONE),
        (floor.NAME, *_accuracies(_comparable(metrics["floor"]["accuracy"], student), columns)),
        ("Best single teachers", *_accuracies(best, columns)),
        (STUDENT, *_accuracies(student, columns)),
        ("minus the teacher", *(f"{student[code] - best[code]:+.2f}" if code in student else NONE
                                for code in columns)), *without_labels.row(metrics, columns))
    if beside_paper:
        rows += (("Paper: teacher", *_accuracies(paper.TABLE_4.teacher, columns)),
                 ("Paper: AMTSS", *_accuracies(paper.TABLE_4.student, columns)))
    return Table("Table 4. After onboarding, accuracy on test, %",
                 ("", *new, "average of all"), rows, without_labels.notes(metrics))


def forgetting(metrics: Metrics) -> Table:
    """How the accuracy of the languages from before an onboarding has changed."""
    before, after = (metrics[key]["accuracy"] for key in ("baseline", "student"))
    rows = ((code, f"{before[code]:.2f}", f"{after[code]:.2f}" if code != AVERAGE else
             f"{before[code] + pair['difference']:.2f}", f"{pair['difference']:+.2f}",
             _between(pair), verdict(pair)) for code, pair in metrics["paired"].items())
    return Table("Before and after onboarding, earlier languages, accuracy on test, %",
                 ("", rival(metrics), "After", "Difference", "95% interval", "After is"),
                 tuple(rows), ("Paired on the same test examples.",))


def _best_single(metrics: Metrics) -> dict[str, float]:
    """Test accuracy of each language's best single teacher, and the average of these."""
    accuracies = {code: float(metrics["teachers"][name]["accuracy"][code])
                  for code, name in metrics["best_teacher"].items()
                  if code in metrics["student"]["accuracy"]}
    return accuracies | {AVERAGE: sum(accuracies.values()) / len(accuracies)}


def _accuracies(row: Mapping[str, float], columns: Iterable[str],
                than: Mapping[str, float] | None = None) -> list[str]:
    """Two decimals, as in the paper; bold where at least as high as in the row `than`."""
    cells = [f"{row[code]:.2f}" if code in row else NONE for code in columns]
    if than is None:
        return cells
    return [Best(cell) if code in row and code in than and row[code] >= than[code] else cell
            for cell, code in zip(cells, columns, strict=True)]


def _between(interval: Mapping[str, float]) -> str:
    return f"{interval['low']:.2f} to {interval['high']:.2f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
