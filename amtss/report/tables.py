"""The run's tables, from metrics files to cells.

Accuracies are in percent, differences in points; `metrics` is what metrics.json holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amtss.report import paper
from amtss.table import NONE, Best, Table

Metrics = Mapping[str, Any]
AVERAGE = "average"
STUDENT, BASELINE, MIXTURE = "AMTSS student", "X-LM-Tiny", "Teachers by W"
MAX_COLUMNS = 8
"""More languages than this stand in rows instead."""
SIGNIFICANT = 0.05


def rival(metrics: Metrics) -> str:
    """What the student is compared with: X-LM-Tiny, or the version that an onboarding began from.
    """
    return f"Version {metrics['onboarded']['version']}" if "onboarded" in metrics else BASELINE


def verdict(pair: Mapping[str, float]) -> str:
    """`above`, `below`, or `not shown` where chance explains the difference."""
    if pair["p"] >= SIGNIFICANT or pair["low"] <= 0 <= pair["high"]:
        return "not shown"
    return "above" if pair["difference"] > 0 else "below"


def headline(metrics: Metrics) -> str:
    """The measured result in two sentences, without gloss."""
    pair = metrics["paired"][AVERAGE]
    side = "above" if pair["difference"] >= 0 else "below"
    shown = {"above": "it is better", "below": "it is worse",
             "not shown": "no difference was shown"}[verdict(pair)]
    p = _p(pair["p"]) if pair["p"] < 0.001 else f"= {_p(pair['p'])}"
    over = " over its languages" if "onboarded" in metrics else ""
    return (f"The student is {abs(pair['difference']):.2f} points {side} {rival(metrics)} on "
            f"average{over} "
            f"(95% interval {_between(pair)}, p {p}): {shown}. Its average test accuracy is "
            f"{metrics['student']['accuracy'][AVERAGE]:.2f}; that of the best single teachers is "
            f"{_best_single(metrics)[AVERAGE]:.2f}, of the teachers weighted by W "
            f"{metrics['mixture']['accuracy'][AVERAGE]:.2f}.")


def results(metrics: Metrics, languages: Sequence[str]) -> Table:
    """What the run measured, in the form of Table 1."""
    return _turned(Table("Accuracy on test, %", ("", *languages, AVERAGE),
                         _results(metrics, (*languages, AVERAGE))))


def comparison(metrics: Metrics, languages: Sequence[str],
               beside: paper.Results | None) -> Table:
    """Table 1 or 2: `results` with the teachers' architectures, and the paper's rows."""
    best, columns = metrics["best_teacher"], (*languages, AVERAGE)
    kinds = (metrics["sizes"][f"teachers.{best[code]}"]["architecture"] for code in languages)
    rows = (("Best teacher", *(best[code] for code in languages), NONE),
            ("Its architecture", *kinds, NONE), *_results(metrics, columns))
    notes: tuple[str, ...] = (
        "The best single teacher of a language is chosen on validation; all else is test. "
        f"Bold: the better of {STUDENT} and {rival(metrics)}.",)
    if beside is not None:
        rows += _paper(beside, columns)
        notes += (f"The paper's rows are its {beside.name}: {beside.data} with large pretrained "
                  "teachers, its average over ar, en, es, fr and ru. They are for other data and "
                  "teachers, so not comparable unless this run has the paper's.",)
    name = beside.name if beside else "Table 1"
    return _turned(Table(f"{name}. Accuracy on test, %", ("", *columns), rows, notes))


def _turned(table: Table) -> Table:
    """Languages in rows where they would be too many columns."""
    return table.transposed() if len(table.header) - 2 > MAX_COLUMNS else table


def _results(metrics: Metrics, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    student, baseline = (metrics[key]["accuracy"] for key in ("student", "baseline"))
    if baseline.keys() != student.keys():  # their averages are of different languages
        baseline = {code: value for code, value in baseline.items() if code != AVERAGE}
    pairs = [metrics["paired"][code] if code in baseline else None for code in columns]
    return (
        ("Best single teachers", *_accuracies(_best_single(metrics), columns)),
        (MIXTURE, *_accuracies(metrics["mixture"]["accuracy"], columns)),
        (rival(metrics), *_accuracies(baseline, columns, than=student)),
        (STUDENT, *_accuracies(student, columns, than=baseline)),
        *((name, *(f"{pair[key]:+.2f}" if pair else NONE for pair in pairs))
          for name, key in ((f"minus {rival(metrics)}", "difference"),
                            ("95% interval from", "low"), ("to", "high"))),
    )


def _paper(beside: paper.Results, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return (
        ("Paper: architecture", *(beside.architecture.get(code, NONE) for code in columns)),
        ("Paper: teacher", *_accuracies(beside.teacher, columns)),
        (f"Paper: {BASELINE}", *_accuracies(beside.baseline, columns)),
        ("Paper: AMTSS", *_accuracies(beside.student, columns)),
    )


def detail(metrics: Metrics, languages: Sequence[str]) -> Table:
    """Every metric of every model, language by language."""
    models = {STUDENT: metrics["student"], rival(metrics): metrics["baseline"],
              MIXTURE: metrics["mixture"]}
    teachers = {f"teacher {name}": each for name, each in metrics["teachers"].items()}
    rows = []
    for code in (AVERAGE, *languages):
        best = f"teacher {metrics['best_teacher'].get(code)}"
        for name, model in (models | teachers).items():
            covers = languages if code == AVERAGE else (code,)
            if set(covers) <= set(model["accuracy"]):
                cells = (name, f"{model['accuracy'][code]:.2f}",
                         _between({"low": model["low"][code], "high": model["high"][code]}),
                         f"{model['macro_f1'][code]:.2f}", f"{model['ece'][code]:.2f}")
                rows.append((code, *(Best(c) for c in cells)) if name == best else (code, *cells))
    return Table("Every metric on test, %",
                 ("", "Model", "Accuracy", "95% interval", "Macro-F1", "ECE"), tuple(rows),
                 ("Bold: the language's best single teacher by validation accuracy. ECE: expected "
                  "calibration error. A teacher has an average where it scores every language.",))


def paired(metrics: Metrics, languages: Sequence[str]) -> Table:
    """Student against baseline on the same examples."""
    pairs = {code: metrics["paired"][code] for code in (AVERAGE, *languages)
             if code in metrics["paired"]}
    rows = ((code, f"{pair['difference']:+.2f}", _between(pair), _p(pair["p"]), verdict(pair))
            for code, pair in pairs.items())
    return Table(f"{STUDENT} minus {rival(metrics)}, points of test accuracy",
                 ("", "Difference", "95% interval", "p", "Student is"), tuple(rows),
                 ("Average: paired sign-flip permutation test; a language: McNemar's exact test. "
                  f"'Not shown': p is {SIGNIFICANT} or more, or the interval holds 0. "
                  f"The p-values of the {len(pairs) - 1} languages are not corrected for being "
                  "several. The intervals cover the draw of test examples, not that of the "
                  "training's seed.",))


def sizes(metrics: Metrics, beside: bool) -> Table:
    """Table 3, `beside` the paper's."""
    rows = [(called(name, metrics), size["architecture"], _millions(size["parameters"]),
             f"{size['bytes'] / 1e6:.1f} MB") for name, size in metrics["sizes"].items()]
    rows += [(f"{called(name, metrics)}, vocabulary not trimmed", NONE,
              _millions(size["full_vocabulary"]), NONE)
             for name, size in metrics["sizes"].items() if "full_vocabulary" in size]
    rows += [(f"Paper: {name}", NONE, _millions(size), NONE)
             for name, size in paper.TABLE_3.items() if beside]
    return Table("Table 3. Sizes", ("Model", "Architecture", "Parameters", "On disk"), tuple(rows))


def cost(metrics: Metrics) -> Table:
    """What training took."""
    costs: Mapping[str, Mapping[str, Any]] = metrics["cost"]
    rows = [(called(name, metrics),
             *(_whole(each[key]) for key in ("examples", "epochs", "best_epoch")),
             f"{each['seconds']:,.1f}") for name, each in costs.items()]
    rows.append(("all", _whole(sum(each["examples"] for each in costs.values())), NONE, NONE,
                 f"{sum(each['seconds'] for each in costs.values()):,.1f}"))
    return Table("Cost of training", ("Model", "Examples", "Epochs", "Best epoch", "Seconds"),
                 tuple(rows), ("An example counts once per time it was trained on.",))


def adapted(metrics: Metrics, beside: bool) -> Table:
    """Table 4: new languages against their teachers, `beside` the paper's."""
    student, best = metrics["student"]["accuracy"], _best_single(metrics)
    new = metrics["onboarded"]["languages"]
    columns = (*new, AVERAGE)
    kinds = (metrics["sizes"][f"teachers.{metrics['best_teacher'][code]}"]["architecture"]
             for code in new)
    rows: tuple[tuple[str, ...], ...] = (
        ("Architecture", *kinds, NONE), ("Best single teachers", *_accuracies(best, columns)),
        (STUDENT, *_accuracies(student, columns)),
        ("minus the teacher", *(f"{student[code] - best[code]:+.2f}" for code in columns)))
    if beside:
        rows += (("Paper: teacher", *_accuracies(paper.TABLE_4.teacher, columns)),
                 ("Paper: AMTSS", *_accuracies(paper.TABLE_4.student, columns)))
    return Table("Table 4. After onboarding, accuracy on test, %",
                 ("", *new, "average of all"), rows)


def forgetting(metrics: Metrics) -> Table:
    """What the languages that were there before have lost or won."""
    before, after = (metrics[key]["accuracy"] for key in ("baseline", "student"))
    rows = ((code, f"{before[code]:.2f}", f"{after[code]:.2f}" if code != AVERAGE else
             f"{before[code] + pair['difference']:.2f}", f"{pair['difference']:+.2f}",
             _between(pair), verdict(pair)) for code, pair in metrics["paired"].items())
    return Table("Before and after, languages that were there, accuracy on test, %",
                 ("", rival(metrics), "After", "Difference", "95% interval", "After is"),
                 tuple(rows), ("Paired on the same test examples.",))


def ranked(epochs: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> Table:
    """Table 5: languages from the largest margin to the smallest, per epoch."""
    rows = []
    for epoch in epochs:
        order = sorted(languages, key=lambda code: epoch["rank"][code])
        indices = " ".join(str(languages.index(code)) for code in order)
        rows.append((str(epoch["epoch"]), " ".join(epoch["selected"]), f"[{indices}]",
                     f"{order[0]} {epoch['margin'][order[0]]:+.2f}"))
    numbers = ", ".join(f"{i} {code}" for i, code in enumerate(languages))
    return Table("Table 5. Languages ranked by margin after each epoch",
                 ("Epoch", "Trained on", "Ranked index", "Largest margin"), tuple(rows),
                 (f"Numbers: {numbers}. A margin is the validation accuracy of the teachers "
                  "weighted by W minus the student's, in points.",))


def weights(epoch: Mapping[str, Any], languages: Sequence[str]) -> Table:
    """W: what each teacher counts for in each language's soft targets."""
    rows = ((name, *(f"{row[code]:.2f}" if code in row else NONE for code in languages))
            for name, row in epoch["weights"].items())
    return Table(f"Importance weights W after epoch {epoch['epoch']}", ("Teacher", *languages),
                 tuple(rows), (f"{NONE}: the teacher does not score the language. A column sums "
                               "to 1.",))


def _best_single(metrics: Metrics) -> dict[str, float]:
    """Test accuracy of each language's best single teacher, and their average."""
    found = {code: float(metrics["teachers"][name]["accuracy"][code])
             for code, name in metrics["best_teacher"].items()}
    return found | {AVERAGE: sum(found.values()) / len(found)}


def _accuracies(row: Mapping[str, float], columns: Iterable[str],
                than: Mapping[str, float] | None = None) -> list[str]:
    """Two decimals, as the paper prints them; bold where not less `than` another row."""
    cells = [f"{row[code]:.2f}" if code in row else NONE for code in columns]
    if than is None:
        return cells
    return [Best(cell) if code in row and code in than and row[code] >= than[code] else cell
            for cell, code in zip(cells, columns, strict=True)]


def _between(interval: Mapping[str, float]) -> str:
    return f"{interval['low']:.2f} to {interval['high']:.2f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _millions(parameters: float) -> str:
    return f"{parameters / 1e6:.1f}M" if parameters < 100e6 else f"{parameters / 1e6:.0f}M"


def _whole(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def called(key: str, metrics: Metrics) -> str:
    """A name for metrics.json's `student`, `baseline` or `teachers.NAME`."""
    known = {"student": STUDENT, "baseline": rival(metrics)}
    return known.get(key, key.replace("teachers.", "teacher "))
