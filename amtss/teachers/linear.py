"""`kind: linear`: a calibrated linear model per language, whose training rows are cross-fitted.

On rows that it has learnt such a model is all but certain of their labels, and would drown the
doubts of other teachers. So each part of the training rows is scored by a model of the others,
unless the model is alone: see `defaults`. Those scores are kept even then, for whoever looks for
wrong labels.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import LinearTeacher, Params
from amtss.data.corpus import Corpus
from amtss.errors import DataError, first_line
from amtss.paths import Layout
from amtss.teachers import cross_fitting, linear_model
from amtss.teachers.head import measure
from amtss.teachers.linear_model import LinearModel
from amtss.teachers.task import Scorer, Task, Taught

PARTS: int = LinearTeacher.model_fields["cross_fit"].default
"""Of training rows that are cross-fitted although the teacher's `cross_fit` is 0."""


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
    for corpus in task.corpora:
        language = corpus.language
        _check(corpus, task.labels, teacher.cross_fit)
        models[language] = fit(corpus, task.labels, teacher.regularisation)
        scored |= _cross_fitted(corpus, task.labels, teacher)
    task.on_epoch(1, _measure(models, task.corpora, task.labels))

    def save(folder: Path) -> None:
        from safetensors.numpy import save_file

        linear_model.save(models, folder)
        save_file(scored, folder / cross_fitting.NAME)

    rows = sum(len(corpus["train"]) for corpus in task.corpora)
    return Taught(save, {
        "architecture": linear_model.ARCHITECTURE, "layers": None,
        "parameters": sum(model.parameters for model in models.values()),
        "examples": rows, "epochs": 1, "best_epoch": 1,
        "seconds": round(time.perf_counter() - started, 3)})


def fit(corpus: Corpus, labels: Sequence[str], candidates: Sequence[float],
        rows: NDArray[np.int64] | None = None) -> LinearModel:
    """A model of a language's training rows, or of some of them.

    Raises:
        DataError: their texts have no words.
    """
    texts, gold = joined(corpus, "train"), corpus.label_ids("train", labels)
    if rows is not None:
        texts, gold = [texts[row] for row in rows.tolist()], gold[rows]
    try:
        return linear_model.fit(texts, gold, joined(corpus, "validation"),
                                corpus.label_ids("validation", labels), len(labels), candidates)
    except ValueError as error:
        raise DataError(f"{corpus.language}/train: expected texts to teach a linear model on, "
                        f"found: {first_line(error)}; correct the source, or add labelled "
                        "rows") from error


def _cross_fitted(corpus: Corpus, labels: Sequence[str],
                  teacher: LinearTeacher) -> cross_fitting.Scored:
    """A language's entry; none where `score` does not ask for one and the rows are too few."""
    try:
        return cross_fitting.entry(corpus, cross_fit(corpus, labels, teacher))
    except DataError:
        if teacher.cross_fit:
            raise
        return {}


def cross_fit(corpus: Corpus, labels: Sequence[str], teacher: LinearTeacher) -> NDArray[np.float32]:
    """Log-probabilities of training rows by models that have not seen them. *Shape:* (N, C)

    Raises:
        DataError: there are too few rows.
    """
    parts = teacher.cross_fit or PARTS
    part_of = cross_fitting.parts_of([corpus], parts)
    texts = joined(corpus, "train")
    result = np.empty((len(texts), len(labels)), dtype=np.float32)
    for rows, held_out in cross_fitting.folds(part_of, parts):
        model = fit(corpus, labels, teacher.regularisation, rows)
        result[held_out] = model.log_probabilities([texts[row] for row in held_out.tolist()])
    return result


def joined(corpus: Corpus, split: str) -> list[str]:
    """A split's texts; the two texts of a pair are put together as two lines."""
    first, second = corpus.texts(split)
    if second is None:
        return first
    return [f"{text} \n {pair}" for text, pair in zip(first, second, strict=True)]


def accuracy(model: LinearModel, corpus: Corpus, labels: Sequence[str]) -> float:
    """Of a language's model on validation, in percent."""
    return _measure({corpus.language: model}, [corpus], labels)["accuracy"]


def _check(corpus: Corpus, labels: Sequence[str], parts: int) -> None:
    cross_fitting.check_validation(corpus.language, len(corpus["validation"]))
    cross_fitting.check(corpus.language, corpus.label_ids("train", labels),
                        cross_fitting.parts_of([corpus], max(1, parts)), parts)


def _measure(models: Mapping[str, LinearModel], corpora: Sequence[Corpus],
             labels: Sequence[str]) -> dict[str, float]:
    """Accuracy and loss on the validation rows of all languages."""
    scores = np.concatenate([models[corpus.language].log_probabilities(
        joined(corpus, "validation")) for corpus in corpora])
    return measure(scores, np.concatenate([corpus.label_ids("validation", labels)
                                           for corpus in corpora]))


def scorer(params: Params, layout: Layout, name: str) -> Scorer:
    """Training rows have their cross-fitted log-probabilities unless `cross_fit` is 0, all others
    those of the model.

    Raises:
        AmtssError: the teacher's folder cannot be loaded.
    """
    teacher = params.teachers[name]
    assert isinstance(teacher, LinearTeacher)
    models = linear_model.load(layout.teacher(name), f"dvc repro -f teach@{name}")

    def score(corpus: Corpus, split: str) -> NDArray[np.float32]:
        known = unseen(layout, name, corpus) if teacher.cross_fit and split == "train" else None
        if known is not None:
            return known
        return models[corpus.language].log_probabilities(joined(corpus, split))

    return score


def unseen(layout: Layout, name: str, corpus: Corpus) -> NDArray[np.float32] | None:
    """A language's training rows by models that have not seen them; None where they were too few.
    *Shape:* (N, C)

    Raises:
        AmtssError: the teacher's folder cannot be loaded, or they are of other rows.
    """
    return cross_fitting.kept(layout.teacher(name), corpus, f"dvc repro -f teach@{name}")
