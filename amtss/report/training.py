"""Tables of the models' sizes and of their training: cost, margins and weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from amtss.report import floor, paper
from amtss.report.accuracy import STUDENT, Metrics, rival
from amtss.table import NONE, Table


def sizes(metrics: Metrics, beside_paper: bool) -> Table:
    """Table 3, maybe with the paper's rows."""
    rows = [(display_name(key, metrics), size["architecture"], _millions(size["parameters"]),
             f"{size['bytes'] / 1e6:.1f} MB") for key, size in metrics["sizes"].items()]
    rows += [(f"{display_name(key, metrics)}, vocabulary not trimmed", NONE,
              _millions(size["full_vocabulary"]), NONE)
             for key, size in metrics["sizes"].items() if "full_vocabulary" in size]
    if beside_paper:
        rows += [(f"Paper: {name}", NONE, _millions(size), NONE)
                 for name, size in paper.TABLE_3.items()]
    return Table("Table 3. Sizes", ("Model", "Architecture", "Parameters", "On disk"), tuple(rows),
                 ("On disk: the weights, a probe's with those of its encoder; tokenizers and the "
                  "lists of words of linear models are not counted.",))


def lengths(metrics: Metrics) -> Table:
    """Where each model cuts texts, and in which language it cuts the most of them."""
    rows = []
    for key, read in metrics.get("lengths", {}).items():
        worst = max(read["cut"], key=lambda code: read["cut"][code])
        cut = f"{read['cut'][worst]:.1%} ({worst})" if read["cut"][worst] else "none"
        rows.append((display_name(key, metrics), str(read["max_length"]), cut))
    return Table("Where texts are cut", ("Model", "Most tokens (max_length)", "Rows cut, at most"),
                 tuple(rows), ("Of each language's own rows, the largest share. Where params.yaml "
                               "has no `max_length`, it leaves 99.5% of each language's training "
                               "texts whole, between 16 and 256.",))


def cost(metrics: Metrics) -> Table:
    """Examples, epochs and seconds that each training took."""
    costs: Mapping[str, Mapping[str, Any]] = metrics["cost"]
    rows = [(display_name(key, metrics),
             *(_whole(training[column]) for column in ("examples", "epochs", "best_epoch")),
             f"{training['seconds']:,.1f}") for key, training in costs.items()]
    rows.append(("all", _whole(sum(training["examples"] for training in costs.values())),
                 NONE, NONE, f"{sum(training['seconds'] for training in costs.values()):,.1f}"))
    return Table("Cost of training", ("Model", "Examples", "Epochs", "Kept epoch", "Seconds"),
                 tuple(rows), ("An example counts once for every time that a model trained on it. "
                               "The floor's seconds are CPU seconds.",))


def ranked(epochs: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> Table:
    """Table 5: languages from the largest margin to the smallest, per epoch."""
    rows = []
    for epoch in epochs:
        order = sorted(languages, key=lambda code: epoch["rank"][code])
        indices = " ".join(str(languages.index(code)) for code in order)
        rows.append((str(epoch["epoch"]), " ".join(epoch["selected"]), f"[{indices}]",
                     f"{order[0]} {epoch['margin'][order[0]]:+.2f}"))
    numbers = ", ".join(f"{index} {code}" for index, code in enumerate(languages))
    return Table("Table 5. Languages ranked by margin after each epoch",
                 ("Epoch", "Trained on", "Ranked index", "Largest margin"), tuple(rows),
                 (f"Indices: {numbers}. A margin is the validation accuracy of the teachers "
                  "weighted by W minus that of the student, in points.",))


def weights(epoch: Mapping[str, Any], languages: Sequence[str]) -> Table:
    """W: the weight of each teacher in each language's soft targets."""
    rows = ((name, *(f"{row[code]:.2f}" if code in row else NONE for code in languages))
            for name, row in epoch["weights"].items())
    return Table(f"Importance weights W after epoch {epoch['epoch']}", ("Teacher", *languages),
                 tuple(rows), (f"{NONE}: the teacher does not score the language. The weights of a "
                               f"language sum to 1. The answers are mixed by "
                               f"`mixing: {epoch.get('mixing', 'arithmetic')}`.",))


def display_name(key: str, metrics: Metrics) -> str:
    """The name of a model that metrics.json calls `student`, `baseline`, `floor` or
    `teachers.NAME`."""
    known = {"student": STUDENT, "baseline": rival(metrics), "floor": floor.NAME}
    return known.get(key, key.replace("teachers.", "teacher "))


def _millions(parameters: float) -> str:
    return f"{parameters / 1e6:.1f}M" if parameters < 100e6 else f"{parameters / 1e6:.0f}M"


def _whole(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"
