"""Ablations: each changes one setting; every variant and seed is an experiment; one table."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss import experiments
from amtss.config.schema import Evaluation, LinearTeacher, Params, TransformerTeacher
from amtss.errors import AmtssError
from amtss.evaluation.metrics import interval
from amtss.paths import Layout
from amtss.table import Table

VARIANTS: dict[str, tuple[str, ...]] = {
    "adaptive": (),
    "labels-only": ("distil.labels_only=true",),
    "own": ("distil.weights=own",),
    "uniform": ("distil.weights=uniform",),
    "likelihood": ("distil.weights=likelihood",),
    "boosted": ("distil.weights=boosted",),
    "all-languages": ("distil.top_k={languages}",),
    "own-heads": ("student.heads=own",),
    "first-state": ("student.pooling=first",),
}
"""Name -> the settings that differ from params.yaml; `adaptive` is params.yaml itself."""
MIXINGS = {name: (f"distil.mixing={name}",) for name in ("arithmetic", "geometric")}
"""Of several teachers."""
_PCA = ("student.start=pca", "student.teacher={teacher}", "student.checkpoint=null",
        "student.tokenizer=null", "student.revision=null", "student.layers=null")
STARTS: dict[str, tuple[str, ...]] = {
    "pca-start": _PCA,
    "paper-shape": (*_PCA, "student.architecture.layers=4", "student.architecture.width=200",
                    "student.architecture.heads=4", "student.architecture.feed_forward=800",
                    "student.architecture.pairs=0", "distil.learning_rate=1.0e-3"),
    "static": (*_PCA, "student.architecture.layers=0", "student.architecture.width=256",
               "student.pooling=mean", "distil.learning_rate=5.0e-3"),
}
"""From the embeddings of the baseline's teacher."""
LAYERS = {"every-other-layer": ("student.layers=[0,2,4,6,8]",)}
"""Instead of the first five."""
PAIRS = {"no-pairs": ("student.architecture.pairs=0",)}
"""Tokens alone, without the order of words."""
TEXTS = {"no-mixed-texts": ("data.mixed=0",)}
"""Of few texts, those of the source alone."""
Scores = list[NDArray[np.float64]]
"""Per language, a score of each test example. *Shape:* each (N,)"""


@dataclass(frozen=True)
class Experiment:
    """One variant with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Its name in `dvc exp show`."""
        return f"ablation-{self.variant}-{self.seed}"

    def settings(self, params: Params) -> list[str]:
        """The arguments of `dvc exp run --set-param`."""
        changed = [setting.format(languages=len(params.languages), teacher=params.baseline.teacher)
                   for setting in variants(params)[self.variant]]
        changed.append(f"distil.seed={self.seed}")
        # Experiments run in temporary folders, where a relative path out of the project is wrong.
        if ".." in Path(params.data.path).parts:
            changed.append(f"data.path={Path(params.data.path).resolve()}")
        return changed


@dataclass(frozen=True)
class Outcome:
    """Which test examples the models of an experiment classify correctly: scores of 0 and 1."""

    languages: tuple[str, ...]
    """Those whose test has labels."""
    student: Scores
    baseline: Scores
    examples: int
    """Training examples that the student saw."""


def variants(params: Params) -> dict[str, tuple[str, ...]]:
    """The variants that say something with the teachers of params.yaml, and their settings."""
    offered = dict(VARIANTS)
    if any(sum(code in params.scored_by(name) for name in params.pool) > 1
           for code in params.languages):
        offered |= MIXINGS
    if isinstance(params.teachers[params.baseline.teacher], TransformerTeacher):
        offered |= STARTS
    if params.student.start == "layers" and params.student.architecture.layers == 5:
        offered |= LAYERS
    if params.data.mixed:
        offered |= TEXTS
    if params.student.architecture.pairs:
        offered |= PAIRS
    if not params.student.architecture.layers:  # the state of a text is always a mean
        del offered["first-state"]
    linear = {name: teacher for name, teacher in params.teachers.items()
              if isinstance(teacher, LinearTeacher)}
    if any(teacher.cross_fit for teacher in linear.values()):
        offered["no-cross-fit"] = tuple(f"teachers.{name}.cross_fit=0" for name in linear)
    pretrained = [name for name, teacher in params.teachers.items()
                  if getattr(teacher, "checkpoint", None)]
    for name, left_out in (("no-linear", [*linear]), ("no-pretrained", pretrained)):
        others = [teacher for teacher in params.pool if teacher not in left_out]
        if len(others) < len(params.pool) and all(
                any(code in params.scored_by(teacher) for teacher in others)
                for code in params.languages):
            offered[name] = (f"distil.teachers=[{','.join(others)}]",)
    return offered


def ablate(params: Params, names: Sequence[str], seeds: Sequence[int], jobs: int) -> Table:
    """Run the experiments that have not been run yet, `jobs` at a time; a table of all that have
    finished. Its notes name those that failed, such as one whose student has learnt nothing.

    Raises:
        AmtssError: an unknown variant, data that are not committed, no experiment finished, or
            results are damaged.
    """
    offered = variants(params)
    for name in names:
        if name not in offered:
            raise AmtssError(f"--only: expected some of {', '.join(offered)}, found {name!r}; "
                             "name one of them, or add the teachers that it needs to params.yaml")
    wanted = [Experiment(name, seed) for name in names for seed in seeds]
    finished = experiments.finished()
    waiting = {experiment.name: experiment.settings(params) for experiment in wanted
               if experiment.name not in finished}
    if waiting:
        experiments.check_committed(params, Layout())
        experiments.run(waiting, jobs)
        finished = experiments.finished()
    failures = [_failure(experiment) for experiment in wanted if experiment.name not in finished]
    if len(failures) == len(wanted):
        raise AmtssError(f"ablation: expected an experiment to finish, found that all failed, such "
                         f"as {failures[0]}")
    return table(params, {experiment: _read(experiment) for experiment in wanted
                          if experiment.name in finished}, failures)


def table(params: Params, outcomes: Mapping[Experiment, Outcome],
          failures: Sequence[str] = ()) -> Table:
    """A row for X-LM-Tiny and for each variant: seeds averaged, intervals over test examples.

    Differences are paired with the first variant.

    Args:
        failures: what is missing and why, for the notes.
    """
    by_variant: dict[str, list[Outcome]] = {}
    for experiment, outcome in outcomes.items():
        by_variant.setdefault(experiment.variant, []).append(outcome)
    first = next(iter(by_variant))
    students = {name: _mean_over_seeds(outcome.student for outcome in group)
                for name, group in by_variant.items()}
    tiny = _mean_over_seeds(outcome.baseline for outcome in by_variant[first])
    rows = [_row("X-LM-Tiny", tiny, students[first], by_variant[first], params.evaluation)]
    rows += [_row(name, scores, None if name == first else students[first], by_variant[name],
                  params.evaluation) for name, scores in students.items()]
    seeds = sorted({experiment.seed for experiment in outcomes})
    return Table(
        f"Ablations of {params.project}, test accuracy",
        ("variant", *by_variant[first][0].languages, "average", "95% interval",
         f"against {first} (95%)", "examples seen"), tuple(rows),
        (f"Mean over seeds {', '.join(map(str, seeds))}; intervals by bootstrap over test "
         "examples, paired for the difference.",
         *(f"Without {failure}." for failure in failures)))


def _row(name: str, scores: Scores, reference: Scores | None, outcomes: Sequence[Outcome],
         settings: Evaluation) -> tuple[str, ...]:
    """The cells of one model; without a `reference` the cell of the difference is empty."""
    low, high = interval(scores, settings.bootstrap, settings.seed)
    difference = ""
    if reference is not None:
        gaps = [own - other for own, other in zip(scores, reference, strict=True)]
        lowest, highest = interval(gaps, settings.bootstrap, settings.seed)
        difference = f"{_average(gaps):+.2f} ({lowest:+.2f} to {highest:+.2f})"
    return (name, *(f"{100 * language.mean():.2f}" for language in scores),
            f"{_average(scores):.2f}", f"{low:.2f} to {high:.2f}", difference,
            f"{np.mean([outcome.examples for outcome in outcomes]):,.0f}")


def _average(scores: Scores) -> float:
    """The mean over languages, in percent."""
    return 100 * float(np.mean([language.mean() for language in scores]))


def _mean_over_seeds(seeds: Iterable[Scores]) -> Scores:
    return [np.mean(language, axis=0) for language in zip(*seeds, strict=True)]


def read_outcome(predictions: str, examples: int) -> Outcome:
    """The outcome from the text of `predictions.csv`, languages in its order."""
    rows: dict[str, list[tuple[bool, bool]]] = {}
    for row in csv.DictReader(io.StringIO(predictions)):
        if not row["actual"]:  # a language without labels
            continue
        rows.setdefault(row["language"], []).append(
            (row["student"] == row["actual"], row["baseline"] == row["actual"]))
    languages = [np.array(pairs, dtype=np.float64) for pairs in rows.values()]
    return Outcome(tuple(rows), [pairs[:, 0] for pairs in languages],
                   [pairs[:, 1] for pairs in languages], examples)


def _read(experiment: Experiment) -> Outcome:
    """What an experiment has measured.

    Raises:
        AmtssError: its results are damaged, or not in DVC's cache.
    """
    predictions, metrics = experiments.results(experiment.name, "amtss ablate")
    return read_outcome(predictions, metrics["cost"]["student"]["examples"])


def _failure(experiment: Experiment) -> str:
    """Which experiment has failed, and the error that its stages have logged last."""
    error = experiments.last_error(experiment.name) or "it has failed"
    return (f"{experiment.variant} with seed {experiment.seed}: {error}; see `dvc queue logs "
            f"{experiment.name}`")
