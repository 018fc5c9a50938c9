"""Ablations: one flag each, every variant and seed a DVC experiment, and one table of them all.

The only importer of DVC.
"""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.errors import AmtssError
from amtss.paths import Layout
from amtss.registry import store
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
    "pca-start": ("student.start=pca", "student.teacher={teacher}", "student.checkpoint=null",
                  "student.tokenizer=null", "student.revision=null"),
}
"""Name -> what differs from params.yaml; `adaptive` is params.yaml itself."""
PREDICTIONS = "artifacts/evaluation/predictions.csv"


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
        """What `dvc exp run --set-param` sets."""
        changed = [each.format(languages=len(params.languages), teacher=params.baseline.teacher)
                   for each in VARIANTS[self.variant]]
        changed.append(f"distil.seed={self.seed}")
        # Experiments run in folders of their own, from where a relative path leads nowhere.
        if ".." in Path(params.data.path).parts:
            changed.append(f"data.path={Path(params.data.path).resolve()}")
        return changed


def ablate(params: Params, variants: Sequence[str], seeds: Sequence[int], jobs: int) -> Table:
    """Run what has not been run yet, `jobs` at a time, and lay all of it into one table.

    Raises:
        AmtssError: an unknown variant, or an experiment failed.
    """
    for variant in variants:
        if variant not in VARIANTS:
            raise AmtssError(f"--only: expected some of {', '.join(VARIANTS)}, found {variant!r}; "
                             "name one of them")
    wanted = [Experiment(variant, seed) for variant in variants for seed in seeds]
    ready = _names()
    for each in wanted:
        if each.name not in ready:
            # `++` also sets what params.yaml leaves to its default.
            chosen = [part for setting in each.settings(params)
                      for part in ("--set-param", f"++{setting}")]
            _dvc("exp", "run", "--queue", "--name", each.name, *chosen)
    if any(each.name not in ready for each in wanted):
        _dvc("exp", "run", "--run-all", "--jobs", str(jobs))
    missing = [each.name for each in wanted if each.name not in _names()]
    if missing:
        raise AmtssError(f"ablation: expected {len(wanted)} experiments to finish, found "
                         f"{', '.join(missing)} failed; see `dvc queue logs {missing[0]}`")
    return table(params, {each: _read(each) for each in wanted})


def table(params: Params, right: Mapping[Experiment, "Right"]) -> Table:
    """A row per variant, and X-LM-Tiny's: seeds averaged, intervals over test examples.

    `difference` is paired, against the first variant.
    """
    variants = list(dict.fromkeys(each.variant for each in right))
    rows = {variant: [right[each] for each in right if each.variant == variant]
            for variant in variants}
    tiny = [each.baseline for each in rows[variants[0]]]
    averaged = {"X-LM-Tiny": _mean(tiny)}
    averaged |= {variant: _mean([each.student for each in made]) for variant, made in rows.items()}
    examples = {variant: [each.examples for each in made] for variant, made in rows.items()}
    first = averaged[variants[0]]
    lines = []
    for name, scores in averaged.items():
        settings = params.evaluation
        low, high = _interval(scores, settings.bootstrap, settings.seed)
        gap = [a - b for a, b in zip(scores, first, strict=True)]
        from_, to = _interval(gap, settings.bootstrap, settings.seed)
        seen = np.mean(examples.get(name, examples[variants[0]]))
        lines.append((
            name, *(f"{100 * each.mean():.2f}" for each in scores),
            f"{100 * np.mean([each.mean() for each in scores]):.2f}", f"{low:.2f} to {high:.2f}",
            "" if name == variants[0] else
            f"{100 * np.mean([each.mean() for each in gap]):+.2f} ({from_:+.2f} to {to:+.2f})",
            f"{seen:,.0f}"))
    seeds = sorted({each.seed for each in right})
    return Table(
        f"Ablations of {params.project}, test accuracy",
        ("variant", *params.languages, "average", "95% interval",
         f"against {variants[0]} (95%)", "examples seen"), tuple(lines),
        (f"Mean over seeds {', '.join(map(str, seeds))}; intervals by bootstrap over test "
         "examples, paired for the difference.",))


@dataclass(frozen=True)
class Right:
    """Which test examples an experiment's models got right, per language. *Shapes:* (N,)"""

    student: list[NDArray[np.float64]]
    baseline: list[NDArray[np.float64]]
    examples: int


def right_of(predictions: str, examples: int) -> Right:
    """From the text of `predictions.csv`, languages in its order."""
    made: dict[str, list[tuple[bool, bool]]] = {}
    for row in csv.DictReader(io.StringIO(predictions)):
        made.setdefault(row["language"], []).append(
            (row["student"] == row["actual"], row["baseline"] == row["actual"]))
    arrays = [np.array(rows, dtype=np.float64) for rows in made.values()]
    return Right([each[:, 0] for each in arrays], [each[:, 1] for each in arrays], examples)


def _mean(scores: Iterable[list[NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    """Per language, each example's mean over seeds."""
    return [np.mean(each, axis=0) for each in zip(*scores, strict=True)]


def _interval(scores: list[NDArray[np.float64]], resamples: int, seed: int) -> tuple[float, float]:
    """95% bootstrap interval of the average over languages, in points."""
    draw = np.random.default_rng(seed)
    totals = np.zeros(resamples)
    for each in scores:
        values, counts = np.unique(each, return_counts=True)
        drawn = draw.multinomial(len(each), counts / len(each), size=resamples)
        totals += drawn @ values / len(each)
    low, high = np.percentile(100 * totals / len(scores), [2.5, 97.5])
    return float(low), float(high)


def _read(experiment: Experiment) -> Right:
    import json

    import dvc.api

    text = dvc.api.read(PREDICTIONS, rev=experiment.name)
    cost = json.loads(dvc.api.read("artifacts/metrics.json", rev=experiment.name))["cost"]
    return right_of(text, int(cost["student"]["examples"]))


def _names() -> set[str]:
    """Names of the experiments that have finished here."""
    return set(_dvc("exp", "list", "--name-only", "--all-commits").split())


def _dvc(*words: str) -> str:
    """Run a DVC command; its output.

    Raises:
        AmtssError: it failed; the message is DVC's last line.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *words]
    # Experiments run in temporary folders, whose own store would go with them.
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri(Layout())}
    done = subprocess.run(command, text=True, check=False, stdout=subprocess.PIPE, env=environment)
    if done.returncode:
        raise AmtssError(f"expected `dvc {' '.join(words[:3])}` to end well, found exit status "
                         f"{done.returncode}; mend what DVC says above")
    return done.stdout
