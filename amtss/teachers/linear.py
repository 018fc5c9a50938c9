"""`kind: linear`: a calibrated linear model per language, whose training rows are cross-fitted.

On rows that it has learnt such a model is all but certain of their labels, which teaches a student
nothing that the labels do not. So each part of the training rows is scored by a model of
the others.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import LinearTeacher, Params
from amtss.data.corpus import Corpus
from amtss.paths import Layout
from amtss.teachers import cross_fitting, linear_model
from amtss.teachers.linear_model import LinearModel
from amtss.teachers.task import Scorer, Task, Taught


def teach(task: Task) -> Taught:
    """A model of each language, and log-probabilities of its training rows by cross-fitting.

    Raises:
        DataError: a language has too few training rows or labels.
    """
    teacher = task.params.teachers[task.name]
    assert isinstance(teacher, LinearTeacher)
    started = time.perf_counter()
    models: dict[str, LinearModel] = {}
    scored: cross_fitting.Scored = {}
    for number, corpus in enumerate(task.corpora, start=1):
        language = corpus.language
        cross_fitting.check(language, corpus["train"]["key"].to_numpy(),
                            corpus.label_ids("train", task.labels), teacher.cross_fit)
        models[language] = fit(corpus, task.labels, teacher.regularisation)
        if teacher.cross_fit:
            scored |= cross_fitting.entry(corpus, cross_fit(corpus, task.labels, teacher))
        accuracy = _accuracy(models[language], corpus, task.labels)
        task.on_epoch(number, {"accuracy": accuracy})

    def save(folder: Path) -> None:
        from safetensors.numpy import save_file

        linear_model.save(models, folder)
        save_file(scored, folder / cross_fitting.NAME)

    rows = sum(len(corpus["train"]) for corpus in task.corpora)
    return Taught(save, {
        "architecture": "TF-IDF, linear SVM", "layers": None,
        "parameters": sum(model.head.weights.size + model.head.bias.size
                          for model in models.values()),
        "examples": rows, "epochs": 1, "best_epoch": 1,
        "seconds": round(time.perf_counter() - started, 3)})


def fit(corpus: Corpus, labels: Sequence[str], candidates: Sequence[float],
        rows: NDArray[np.int64] | None = None) -> LinearModel:
    """A model of a language's training rows, or of some of them."""
    texts, gold = joined(corpus, "train"), corpus.label_ids("train", labels)
    if rows is not None:
        texts, gold = [texts[row] for row in rows.tolist()], gold[rows]
    return linear_model.fit(texts, gold, joined(corpus, "validation"),
                            corpus.label_ids("validation", labels), len(labels), candidates)


def cross_fit(corpus: Corpus, labels: Sequence[str], teacher: LinearTeacher) -> NDArray[np.float32]:
    """Log-probabilities of training rows by models that have not seen them. *Shape:* (N, C)"""
    texts = joined(corpus, "train")
    result = np.empty((len(texts), len(labels)), dtype=np.float32)
    for rows, held_out in cross_fitting.parts(corpus["train"]["key"].to_numpy(), teacher.cross_fit):
        model = fit(corpus, labels, teacher.regularisation, rows)
        result[held_out] = model.log_probabilities([texts[row] for row in held_out.tolist()])
    return result


def joined(corpus: Corpus, split: str) -> list[str]:
    """A split's texts; the two texts of a pair are put together as two lines."""
    first, second = corpus.texts(split)
    if second is None:
        return first
    return [f"{text} \n {pair}" for text, pair in zip(first, second, strict=True)]


def _accuracy(model: LinearModel, corpus: Corpus, labels: Sequence[str]) -> float:
    """On validation, in points."""
    chosen = model.log_probabilities(joined(corpus, "validation")).argmax(axis=1)
    return 100.0 * float((chosen == corpus.label_ids("validation", labels)).mean())


def scorer(params: Params, layout: Layout, name: str) -> Scorer:
    """Training rows have their cross-fitted log-probabilities, all others those of the model.

    Raises:
        AmtssError: the teacher's folder cannot be loaded.
    """
    folder, command = layout.teacher(name), f"dvc repro -f teach@{name}"
    models = linear_model.load(folder, command)
    scored = cross_fitting.read(folder, command)

    def score(corpus: Corpus, split: str) -> NDArray[np.float32]:
        known = cross_fitting.of(scored, corpus, split, folder, command)
        if known is not None:
            return known
        return models[corpus.language].log_probabilities(joined(corpus, split))

    return score
