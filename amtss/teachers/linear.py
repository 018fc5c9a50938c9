"""`kind: linear`: a calibrated linear model per language, whose training rows are cross-fitted.

On rows that it has learnt such a model is all but certain of their labels, which teaches a student
nothing that the labels do not. So each part of the training rows is scored by a model of
the others.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import LinearTeacher, Params
from amtss.data.corpus import Corpus
from amtss.errors import AmtssError, CheckpointError, DataError, first_line
from amtss.paths import Layout
from amtss.teachers import linear_model
from amtss.teachers.linear_model import LinearModel
from amtss.teachers.task import Scorer, Task, Taught

CROSS_FITTED = "cross_fitted.safetensors"
"""Log-probabilities of the training rows and the rows' keys, by language."""


def teach(task: Task) -> Taught:
    """A model of each language, and log-probabilities of its training rows by cross-fitting.

    Raises:
        DataError: a language has too few training rows or labels.
    """
    teacher = task.params.teachers[task.name]
    assert isinstance(teacher, LinearTeacher)
    started = time.perf_counter()
    models, scored = {}, {}
    for corpus in task.corpora:
        language = corpus.language
        _check(corpus, task.labels, teacher.cross_fit)
        models[language] = fit(corpus, task.labels, teacher.regularisation)
        if teacher.cross_fit:
            scored[f"{language}.keys"] = corpus["train"]["key"].to_numpy()
            scored[f"{language}.logits"] = cross_fit(corpus, task.labels, teacher)
    task.on_epoch(1, _measure(models, task.corpora, task.labels))

    def save(folder: Path) -> None:
        from safetensors.numpy import save_file

        linear_model.save(models, folder)
        save_file(scored, folder / CROSS_FITTED)

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
                        f"found: {first_line(error)}; correct the source, or teach this language "
                        "with another kind of teacher") from error


def cross_fit(corpus: Corpus, labels: Sequence[str], teacher: LinearTeacher) -> NDArray[np.float32]:
    """Log-probabilities of training rows by models that have not seen them. *Shape:* (N, C)"""
    parts, texts = parts_of(corpus, teacher.cross_fit), joined(corpus, "train")
    result = np.empty((len(texts), len(labels)), dtype=np.float32)
    for part in range(teacher.cross_fit):
        held_out = np.flatnonzero(parts == part)
        if len(held_out):
            model = fit(corpus, labels, teacher.regularisation, np.flatnonzero(parts != part))
            result[held_out] = model.log_probabilities([texts[row] for row in held_out.tolist()])
    return result


def parts_of(corpus: Corpus, parts: int) -> NDArray[np.int64]:
    """The part that each training row belongs to. *Shape:* (N,)

    The key of a text's first row decides, so that equal texts share a part, and rows stay in
    theirs when others come.
    """
    keys, first = corpus["train"]["key"].to_pylist(), dict[str, int]()
    return np.array([first.setdefault(text, key) % parts
                     for text, key in zip(joined(corpus, "train"), keys, strict=True)],
                    dtype=np.int64)


def joined(corpus: Corpus, split: str) -> list[str]:
    """A split's texts; the two texts of a pair are put together as two lines."""
    first, second = corpus.texts(split)
    if second is None:
        return first
    return [f"{text} \n {pair}" for text, pair in zip(first, second, strict=True)]


def accuracy(model: LinearModel, corpus: Corpus, labels: Sequence[str]) -> float:
    """Of a language's model on validation, in percent."""
    chosen = model.log_probabilities(joined(corpus, "validation")).argmax(axis=1)
    return 100.0 * float((chosen == corpus.label_ids("validation", labels)).mean())


def _check(corpus: Corpus, labels: Sequence[str], parts: int) -> None:
    """There must be validation rows, and rows of two labels outside every part of the training
    rows."""
    if not len(corpus["validation"]):
        raise DataError(f"{corpus.language}/validation: expected rows to choose a linear model by, "
                        "found none; correct the source, then run `dvc repro`")
    gold = corpus.label_ids("train", labels)
    if len(set(gold)) < 2:
        raise DataError(f"{corpus.language}/train: expected rows of two labels or more to teach a "
                        f"linear model on, found {len(set(gold))} in {len(gold)} rows; add "
                        "labelled rows")
    part_of = parts_of(corpus, max(1, parts))
    if any(len(set(gold[part_of != part])) < 2 for part in range(parts)):
        raise DataError(f"{corpus.language}/train: expected rows of two labels or more outside "
                        f"each of {parts} parts, found fewer in {len(gold)} rows; add labelled "
                        "rows, or set the teacher's cross_fit to 0")


def _measure(models: Mapping[str, LinearModel], corpora: Sequence[Corpus],
             labels: Sequence[str]) -> dict[str, float]:
    """Accuracy in points and cross-entropy in nats on the validation rows of all languages."""
    scores = np.concatenate([models[corpus.language].log_probabilities(
        joined(corpus, "validation")) for corpus in corpora])
    gold = np.concatenate([corpus.label_ids("validation", labels) for corpus in corpora])
    return {"accuracy": 100.0 * float((scores.argmax(axis=1) == gold).mean()),
            "loss": -float(scores[np.arange(len(gold)), gold].mean(dtype=np.float64))}


def scorer(params: Params, layout: Layout, name: str) -> Scorer:
    """Training rows have their cross-fitted log-probabilities, all others those of the model.

    Raises:
        AmtssError: the teacher's folder cannot be loaded.
    """
    command = f"dvc repro -f teach@{name}"
    models = linear_model.load(layout.teacher(name), command)
    scored = _cross_fitted(layout.teacher(name) / CROSS_FITTED, command)

    def score(corpus: Corpus, split: str) -> NDArray[np.float32]:
        keys = f"{corpus.language}.keys"
        if split != "train" or keys not in scored:
            return models[corpus.language].log_probabilities(joined(corpus, split))
        if not np.array_equal(scored[keys], corpus["train"]["key"].to_numpy()):
            raise AmtssError(f"{layout.teacher(name)}: expected log-probabilities of the training "
                             f"rows of {corpus.language}, found those of other rows; run "
                             f"`{command}`")
        return np.asarray(scored[f"{corpus.language}.logits"], dtype=np.float32)

    return score


def _cross_fitted(path: Path, command: str) -> dict[str, NDArray[np.generic]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        scored: dict[str, NDArray[np.generic]] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected log-probabilities of training rows, found: "
                              f"{first_line(error)}; run `{command}`") from error
    return scored
