"""Stage `evaluate`: read the test split once, for the student, X-LM-Tiny, every teacher, the
mixture of the teachers weighted by W, and the linear floor.

Where test has no labels, only the student's agreement with that mixture is measured, and it is kept
apart from accuracies.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Evaluation, Params
from amtss.data.corpus import Corpus, load, test_fingerprint
from amtss.distillation.learnt import check_student
from amtss.evaluation import floor, footprint, selective, suspects
from amtss.evaluation.advice import advice
from amtss.evaluation.metrics import (
    accuracy,
    calibration_error,
    interval,
    macro_f1,
    majority,
    paired_test,
)
from amtss.evaluation.summary import summary
from amtss.files import seal, write_json, write_text
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.logits import pool
from amtss.logits.pool import Pool, Weights
from amtss.logits.skill import Skill, skill
from amtss.logits.softmax import Array, softmax
from amtss.models import checkpoint
from amtss.paths import Layout

Probabilities = dict[str, Array]
"""Language -> probabilities of its test examples, *Shape:* (N, C)"""
Gold = dict[str, NDArray[np.int64]]
"""Language -> label index of its test examples, *Shape:* (N,); languages whose test has no labels
are missing."""


def evaluate(params: Params, layout: Layout) -> None:
    """Write `metrics.json`, `summary.json`, `predictions.csv`, `suspects.csv` and `coverage.csv`.

    Raises:
        AmtssError: an earlier stage's artifact is missing, altered or stale.
        CheckpointError: the student has learnt nothing.
    """
    labels = records.labels(layout)
    corpora = [load(layout, language) for language in params.languages]
    gold = {corpus.language: corpus.label_ids("test", labels) for corpus in corpora
            if corpus.has_labels("test")}
    teachers = pool.load(params, layout, corpora, labels, list(params.teachers))
    history = records.history(layout, "distil")
    kept = [epoch for epoch in history if epoch["best"]][-1]
    weights = _weights(kept)
    teachers = {language: members.with_stand_ins(_column(members, weights, language))
                for language, members in teachers.items()}
    mixture = {language: members.soft_targets("test", _column(members, weights, language))
               for language, members in teachers.items()}
    predictor = PytorchPredictor(layout.student)
    student = _predicted(predictor, corpora)
    answered = {language: probabilities.argmax(axis=-1)
                for language, probabilities in mixture.items() if language not in gold}
    check_student(params, {language: skill(probabilities.argmax(axis=-1),
                                           (gold | answered)[language])
                           for language, probabilities in student.items()}, "test", history,
                  {language: Skill(*figures) for language, figures in kept["skill"].items()})
    # In an onboarding the baseline is the version that it started from: no heads for newcomers.
    served = [corpus for corpus in corpora if params.onboarding is None
              or corpus.language not in params.newcomers]
    baseline = predict_test(layout.baseline, served)
    settings = params.evaluation
    metrics: dict[str, Any] = {
        "student": measure(student, gold, settings), "baseline": measure(baseline, gold, settings),
        "mixture": measure(mixture, gold, settings),
        "floor": measure(floor.predict_test(layout, corpora), gold, settings),
        "teachers": {name: measure(_of_teacher(teachers, name), gold, settings)
                     for name in params.teachers},
        "majority": {language: majority(actual) for language, actual in gold.items()},
        "best_teacher": {language: _best(members) for language, members in teachers.items()},
        "paired": _paired(settings, student, baseline, gold),
        "advice": advice(params),
        "sizes": footprint.sizes(params, layout), "cost": footprint.costs(params, layout),
        "lengths": footprint.lengths(params, layout),
        "measured": {"student": checkpoint.fingerprint(layout.student),
                     "test": {code: test_fingerprint(layout, code)
                              for code in params.languages}}}
    if params.onboarding is not None:
        metrics["onboarded"] = {"version": params.onboarding.version,
                                "languages": list(params.newcomers)}
    if predictor.thresholds:  # a student of earlier code has none
        metrics["selective"] = selective.abstaining(predictor, student, gold)
    if predictor.recognises and len(predictor.languages) > 1:
        metrics["untold"] = selective.untold(predictor, corpora, student, gold)
    if mute := [corpus.language for corpus in corpora if corpus.without_labels]:
        metrics["without_labels"] = {
            language: agreement(student[language], answered[language], settings)
            if language in answered else None for language in mute}
    write_predictions(layout, corpora, labels, student, baseline)
    suspects.write(params, layout, corpora, labels, teachers)
    selective.write_curves(layout, student, gold)
    seal(layout.evaluation)
    write_json(layout.metrics, metrics)
    # Without the checksum that our JSON files have, which DVC would show as a figure.
    write_text(layout.summary, json.dumps(summary(metrics), indent=2) + "\n")


def predict_test(folder: Path, corpora: Sequence[Corpus]) -> Probabilities:
    """Probabilities of the student in `folder` on the test rows of every language, in fp32."""
    return _predicted(PytorchPredictor(folder), corpora)


def _predicted(predictor: PytorchPredictor, corpora: Sequence[Corpus]) -> Probabilities:
    return {corpus.language: predictor.probabilities(*corpus.texts("test"), corpus.language)
            for corpus in corpora}


def measure(predictions: Probabilities, gold: Gold, settings: Evaluation) -> dict[str, Any]:
    """Accuracy with its 95% interval, macro-F1 and calibration error: per language of `gold` and
    average; nothing where there are no predictions of one."""
    measured = [language for language in predictions if language in gold]
    if not measured:
        return {"accuracy": {}, "macro_f1": {}, "ece": {}, "low": {}, "high": {}}
    metrics: dict[str, dict[str, float]] = {
        key: {"average": 0.0} for key in ("accuracy", "macro_f1", "ece", "low", "high")}
    correct = []
    for language in measured:
        probabilities = predictions[language]
        actual, chosen = gold[language], probabilities.argmax(axis=-1)
        correct.append(chosen == actual)
        metrics["accuracy"][language] = accuracy(chosen, actual)
        metrics["macro_f1"][language] = macro_f1(chosen, actual)
        metrics["ece"][language] = calibration_error(probabilities, actual, settings.bins)
        metrics["low"][language], metrics["high"][language] = interval(
            correct[-1:], settings.bootstrap, settings.seed)
    for key in ("accuracy", "macro_f1", "ece"):
        total = sum(metrics[key][language] for language in measured)
        metrics[key]["average"] = total / len(measured)
    metrics["low"]["average"], metrics["high"]["average"] = interval(
        correct, settings.bootstrap, settings.seed)
    return metrics


def agreement(student: Array, answered: NDArray[np.int64],
              settings: Evaluation) -> records.Agreement:
    """How often the student answers what the mixture of its teachers answers.

    Args:
        student: its probabilities. *Shape:* (N, C)
        answered: by the mixture. *Shape:* (N,)
    """
    agree = student.argmax(axis=-1) == answered
    low, high = interval([agree], settings.bootstrap, settings.seed)
    return {"agreement": 100.0 * float(agree.mean()), "low": low, "high": high}


def _correct(predictions: Probabilities, gold: Gold, language: str) -> NDArray[np.bool_]:
    return np.asarray(predictions[language].argmax(axis=-1) == gold[language])


def _paired(settings: Evaluation, student: Probabilities, baseline: Probabilities,
            gold: Gold) -> dict[str, dict[str, float]]:
    """Student minus baseline on the same examples, of each language and on average."""
    pairs = {language: (_correct(student, gold, language), _correct(baseline, gold, language))
             for language in baseline if language in gold}
    groups = {"average": ([a for a, _ in pairs.values()], [b for _, b in pairs.values()])}
    groups |= {language: ([a], [b]) for language, (a, b) in pairs.items()}
    return {name: paired_test(a, b, settings.bootstrap, settings.seed)._asdict()
            for name, (a, b) in groups.items()}


def _column(members: pool.LanguagePool, weights: Weights, language: str) -> dict[str, float]:
    """The language's column of W of the epoch that was kept; 0 for teachers outside the pool."""
    return {name: weights[language].get(name, 0.0) for name in members.teachers}


def _of_teacher(teachers: Pool, name: str) -> Probabilities:
    return {language: softmax(members.logits["test"][members.teachers.index(name)])
            for language, members in teachers.items() if name in members.teachers}


def _best(members: pool.LanguagePool) -> str:
    """The best single teacher of a language by validation accuracy, or, without labels there, by
    agreement with the mixture."""
    return members.teachers[int(members.accuracy().argmax())]


def _weights(epoch: records.Epoch) -> Weights:
    """W of an epoch, by language, then teacher."""
    weights: Weights = {}
    for teacher, row in epoch["weights"].items():
        for language, weight in row.items():
            weights.setdefault(language, {})[teacher] = weight
    return weights


def write_predictions(layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
                      student: Probabilities, baseline: Probabilities) -> None:
    """`predictions.csv`: language, id, and the names of the actual and the predicted labels.

    A language that the baseline does not serve has no label of it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["language", "id", "actual", "student", "baseline"])
    for corpus in corpora:
        test, language = corpus["test"], corpus.language
        predicted = [[labels[index] for index in model[language].argmax(axis=-1)]
                     if language in model else [""] * len(test) for model in (student, baseline)]
        writer.writerows(zip([language] * len(test), test["id"].to_pylist(),
                             test["label"].to_pylist(), *predicted, strict=True))
    write_text(layout.evaluation / "predictions.csv", text.getvalue())
