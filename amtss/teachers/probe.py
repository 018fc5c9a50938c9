"""`kind: probe`: a frozen pretrained encoder under one logistic regression for all its languages.

The encoder is not trained and not copied into the teacher's folder: its states of all texts are
computed once (embeddings.py), and the regression is fitted on them in seconds.
Shapes: N rows, d the encoder's width, C classes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Params, ProbeTeacher
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError, first_line
from amtss.files import read_json, write_json
from amtss.models import hardware
from amtss.paths import Layout
from amtss.teachers import cross_fitting
from amtss.teachers.cross_fitting import Scored
from amtss.teachers.embeddings import Embeddings, States
from amtss.teachers.head import Head, calibrated, measure, restored
from amtss.teachers.task import Scorer, Task, Taught

MODEL, ABOUT = "model.safetensors", "probe.json"
"""Files of the regression: its tensors, and what states it was fitted on."""
ITERATIONS = 1000
"""Most iterations of the regression's solver; some 50 are usual."""


@dataclass(frozen=True)
class _Examples:
    """The rows of all languages, one language after another."""

    states: States
    """*Shape:* (N, d)"""
    labels: NDArray[np.int64]
    """*Shape:* (N,)"""

    def __getitem__(self, rows: NDArray[np.int64]) -> "_Examples":
        return _Examples(self.states[rows], self.labels[rows])


@hardware.fitting("lower scoring.batch_size")
def teach(task: Task) -> Taught:
    """A regression on the states of all training rows; its C is chosen on validation.

    Raises:
        DataError: there are too few training rows or labels, or no validation rows.
        CheckpointError: the encoder cannot be loaded.
    """
    started = time.perf_counter()
    teacher = _settings(task.params, task.name)
    _check(task, teacher.cross_fit)
    embeddings, read = Embeddings(task.layout.embeddings(task.name), teacher,
                                  task.params.scoring).fitted(task.corpora)
    train, validation = (_examples(task, embeddings, split) for split in ("train", "validation"))
    head, c = fit(train, validation, len(task.labels), teacher.regularisation)
    task.on_epoch(1, measure(head.log_probabilities(validation.states), validation.labels))
    scored = cross_fit(task, train, validation, c) if teacher.cross_fit else {}
    origin = embeddings.origin | {"commit": embeddings.commit}
    about = embeddings.about

    def save(folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(head.tensors, folder / MODEL)
        save_file(scored, folder / cross_fitting.NAME)
        write_json(folder / ABOUT, {**head.about, "origin": origin})

    return Taught(save, {
        "architecture": f"frozen {about['architecture']}, logistic regression",
        "layers": about["layers"], "checkpoint": teacher.checkpoint, "commit": embeddings.commit,
        "regularisation": c, "parameters": about["parameters"] + head.parameters,
        "elsewhere": about["bytes"], "examples": len(train.labels), "epochs": 1, "best_epoch": 1,
        "lengths": read, "seconds": round(time.perf_counter() - started, 3)})


def _settings(params: Params, name: str) -> ProbeTeacher:
    teacher = params.teachers[name]
    assert isinstance(teacher, ProbeTeacher)
    return teacher


def _check(task: Task, parts: int) -> None:
    """Check before the encoder is run that there are rows and labels enough."""
    cross_fitting.check_validation(task.name, len(_labels(task, "validation")))
    cross_fitting.check(task.name, _labels(task, "train"),
                        cross_fitting.parts_of(task.corpora, max(1, parts)), parts)


def _labels(task: Task, split: str) -> NDArray[np.int64]:
    return np.concatenate([corpus.label_ids(split, task.labels) for corpus in task.corpora])


def _examples(task: Task, embeddings: Embeddings, split: str) -> _Examples:
    return _Examples(np.concatenate([embeddings.of(corpus, split) for corpus in task.corpora]),
                     _labels(task, split))


def fit(train: _Examples, validation: _Examples, classes: int,
        candidates: Sequence[float]) -> tuple[Head, float]:
    """The best regression by validation accuracy, calibrated there, and its C.

    Each component of the states is standardised; the regression's weights include that.
    """
    from sklearn.linear_model import LogisticRegression

    states = train.states.astype(np.float32)
    mean, deviation = states.mean(axis=0), states.std(axis=0)
    deviation[deviation == 0] = 1.0
    states = (states - mean) / deviation
    held_out = (validation.states - mean) / deviation
    models = [LogisticRegression(C=c, max_iter=ITERATIONS).fit(states, train.labels)
              for c in candidates]
    best = max(models, key=lambda model: model.score(held_out, validation.labels))
    head = calibrated(best, classes, len(train.labels), held_out, validation.labels)
    weights = head.weights / deviation
    return replace(head, weights=weights, bias=head.bias - weights @ mean), float(best.C)


def cross_fit(task: Task, train: _Examples, validation: _Examples, c: float) -> Scored:
    """Log-probabilities of each language's training rows by regressions that have not seen them."""
    parts = _settings(task.params, task.name).cross_fit
    values = np.empty((len(train.labels), len(task.labels)), dtype=np.float32)
    part_of = cross_fitting.parts_of(task.corpora, parts)
    for rows, held_out in cross_fitting.folds(part_of, parts):
        head, _ = fit(train[rows], validation, len(task.labels), [c])
        values[held_out] = head.log_probabilities(train.states[held_out])
    ends = np.cumsum([len(corpus["train"]) for corpus in task.corpora])
    scored: Scored = {}
    for corpus, own in zip(task.corpora, np.split(values, ends[:-1]), strict=True):
        scored |= cross_fitting.entry(corpus, own)
    return scored


def scorer(params: Params, layout: Layout, name: str) -> Scorer:
    """Log-probabilities of any language's texts; training rows may have cross-fitted ones.

    Raises:
        AmtssError: the teacher's folder cannot be loaded, or the encoder is another by now.
    """
    folder, command = layout.teacher(name), f"dvc repro -f teach@{name}"
    about = read_json(folder / ABOUT, records.Probe, command)
    head = _load(folder, about, command)
    origin, teacher = about["origin"], _settings(params, name)
    teacher = teacher.model_copy(update={"revision": origin["commit"] or teacher.revision})
    embeddings = Embeddings(layout.embeddings(name), teacher, params.scoring)
    if teacher.max_length is None:
        embeddings = embeddings.cut_at(origin["max_length"])
    changed = [key for key, value in embeddings.origin.items() if origin.get(key) != value]
    if changed:
        raise CheckpointError(
            f"{folder}: expected a regression on states of {changed[0]} "
            f"{embeddings.origin[changed[0]]!r}, found one of {origin.get(changed[0])!r}; run "
            f"`{command}`")

    def score(corpus: Corpus, split: str) -> NDArray[np.float32]:
        known = cross_fitting.kept(folder, corpus, command) if split == "train" else None
        return head.log_probabilities(embeddings.of(corpus, split)) if known is None else known

    return score


def _load(folder: Path, about: Mapping[str, Any], command: str) -> Head:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return restored(load_file(folder / MODEL), about)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: expected a whole regression, found: "
                              f"{first_line(error)}; run `{command}`") from error
