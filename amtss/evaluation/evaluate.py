"""Read test once: the student, X-LM-Tiny, every teacher and their W-weighted mixture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Evaluation, Params
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.evaluation.metrics import (
    accuracy,
    calibration_error,
    interval,
    macro_f1,
    paired_test,
)
from amtss.files import read_json, read_rows, write_json, write_text
from amtss.logits import pool
from amtss.logits.pool import Pool, Weights
from amtss.logits.softmax import Array, softmax
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.tokenization.tokenizer import LEFT_OUT

Probabilities = dict[str, Array]
"""Language -> probabilities of its test examples, *Shape:* (N, C)"""
Gold = dict[str, NDArray[np.int64]]
"""Language -> label index of its test examples, *Shape:* (N,)"""


def evaluate(params: Params, layout: Layout) -> None:
    """Write `metrics.json` and `evaluation/predictions.csv`.

    Raises:
        CacheError, CheckpointError, DataError: what it reads is not as it must be.
    """
    labels = read_json(layout.gate_keys, "dvc repro gate")["labels"]
    corpora = [corpus.load(layout, language) for language in params.languages]
    gold = {each.language: each.label_ids("test", labels) for each in corpora}
    teachers = pool.load(params, layout, corpora, labels, list(params.teachers))
    weights = _final_weights(layout)
    student = predict_test(layout.student, corpora)
    # What an onboarding began from has no head for the new languages.
    served = [each for each in corpora if params.onboarding is None
              or each.language not in params.newcomers]
    tiny = predict_test(layout.baseline, served)
    mixture = {language: _mixture(teachers, weights, language) for language in params.languages}
    settings = params.evaluation
    metrics: dict[str, Any] = {
        "student": figures(student, gold, settings), "baseline": figures(tiny, gold, settings),
        "mixture": figures(mixture, gold, settings),
        "teachers": {name: figures(_of_teacher(teachers, name), gold, settings)
                     for name in params.teachers},
        "best_teacher": {language: _best(members) for language, members in teachers.items()},
        "paired": _paired(settings, student, tiny, gold),
        "sizes": _sizes(params, layout), "cost": _costs(params, layout),
        "measured": {"student": checkpoint.fingerprint(layout.student),
                     "test": {code: corpus.test_fingerprint(layout, code)
                              for code in params.languages}}}
    if params.onboarding is not None:
        metrics["onboarded"] = {"version": params.onboarding.version,
                                "languages": list(params.newcomers)}
    write_predictions(layout, corpora, labels, student, tiny)
    write_json(layout.metrics, metrics)


def predict_test(folder: Path, corpora: Sequence[Corpus]) -> Probabilities:
    """A student's probabilities on every language's test rows, in fp32."""
    from amtss.inference.pytorch_predictor import PytorchPredictor

    predictor = PytorchPredictor(folder)
    return {each.language: predictor.probabilities(*each.texts("test"), each.language)
            for each in corpora}


def figures(made: Probabilities, gold: Gold, settings: Evaluation) -> dict[str, Any]:
    """Accuracy with its 95% interval, macro-F1 and calibration error: per language, on average."""
    told: dict[str, dict[str, float]] = {
        key: {"average": 0.0} for key in ("accuracy", "macro_f1", "ece", "low", "high")}
    right = []
    for language, probabilities in made.items():
        actual, chosen = gold[language], probabilities.argmax(axis=-1)
        right.append(chosen == actual)
        told["accuracy"][language] = accuracy(chosen, actual)
        told["macro_f1"][language] = macro_f1(chosen, actual)
        told["ece"][language] = calibration_error(probabilities, actual, settings.bins)
        told["low"][language], told["high"][language] = interval(
            right[-1:], settings.bootstrap, settings.seed)
    for key in ("accuracy", "macro_f1", "ece"):
        told[key]["average"] = sum(told[key][language] for language in made) / len(made)
    told["low"]["average"], told["high"]["average"] = interval(
        right, settings.bootstrap, settings.seed)
    return told


def _right(made: Probabilities, gold: Gold, language: str) -> NDArray[np.bool_]:
    return np.asarray(made[language].argmax(axis=-1) == gold[language])


def _paired(settings: Evaluation, student: Probabilities, tiny: Probabilities,
            gold: Gold) -> dict[str, dict[str, float]]:
    """Student minus X-LM-Tiny, or what an onboarding began from, on the same examples."""
    pairs = {language: (_right(student, gold, language), _right(tiny, gold, language))
             for language in tiny}
    groups = {"average": ([a for a, _ in pairs.values()], [b for _, b in pairs.values()])}
    groups |= {language: ([a], [b]) for language, (a, b) in pairs.items()}
    return {name: paired_test(a, b, settings.bootstrap, settings.seed)._asdict()
            for name, (a, b) in groups.items()}


def _mixture(teachers: Pool, weights: Weights, language: str) -> Array:
    """Equation 4 on test, with the W that the student has learnt from."""
    members = teachers[language]
    column = {name: weights[language].get(name, 0.0) for name in members.teachers}
    return members.soft_targets("test", column)


def _of_teacher(teachers: Pool, name: str) -> Probabilities:
    return {language: softmax(members.logits["test"][members.teachers.index(name)])
            for language, members in teachers.items() if name in members.teachers}


def _best(members: pool.LanguagePool) -> str:
    """The best single teacher of a language by validation accuracy."""
    return members.teachers[int(members.accuracy().argmax())]


def _final_weights(layout: Layout) -> Weights:
    """W of the epoch that was kept, by language."""
    rows = read_rows(layout.history("distil"), "dvc repro -f distil")
    kept = [row for row in rows if row["best"]][-1]
    weights: Weights = {}
    for teacher, row in kept["weights"].items():
        for language, weight in row.items():
            weights.setdefault(language, {})[teacher] = weight
    return weights


def _sizes(params: Params, layout: Layout) -> dict[str, dict[str, Any]]:
    """Table 3: parameters and bytes of weights on disk; where the vocabulary is trimmed,
    parameters with all of it."""
    from safetensors import safe_open

    folders = {"student": layout.student, "baseline": layout.baseline,
               **{f"teachers.{name}": layout.teacher(name) for name in params.teachers}}
    sizes: dict[str, dict[str, Any]] = {}
    for name, folder in folders.items():
        parameters = 0
        files = sorted(folder.glob("*.safetensors"))
        for path in files:
            with safe_open(path, framework="numpy") as file:
                parameters += sum(int(np.prod(file.get_slice(key).get_shape()))
                                  for key in file.keys())  # noqa: SIM118
        config = read_json(folder / "config.json", "dvc repro")
        encoder = config.get("encoder", config)
        sizes[name] = {"parameters": parameters, "bytes": sum(f.stat().st_size for f in files),
                       "architecture": f"{encoder['model_type']}, "
                                       f"{encoder.get('num_hidden_layers')} layers"}
        left_out = read_json(folder / "tokenizer_config.json", "dvc repro").get(LEFT_OUT, 0)
        if left_out:
            sizes[name]["full_vocabulary"] = parameters + left_out * encoder["hidden_size"]
    return sizes


def _costs(params: Params, layout: Layout) -> dict[str, dict[str, float]]:
    costs = {"student": read_json(layout.training("distil") / "cost.json", "dvc repro distil"),
             "baseline": read_json(layout.training("baseline") / "cost.json",
                                   "dvc repro baseline")}
    for name in params.teachers:
        about = read_json(layout.teacher(name) / "teacher.json", f"dvc repro teach@{name}")
        costs[f"teachers.{name}"] = {
            key: about[key] for key in ("examples", "seconds", "epochs", "best_epoch")}
    return costs


def write_predictions(layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
                      student: Probabilities, tiny: Probabilities) -> None:
    """`predictions.csv`: language, id, and the names of the actual and the chosen labels."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["language", "id", "actual", "student", "baseline"])
    for each in corpora:
        test, language = each["test"], each.language
        chosen = [[labels[index] for index in made[language].argmax(axis=-1)]
                  if language in made else [""] * len(test) for made in (student, tiny)]
        writer.writerows(zip([language] * len(test), test["id"].to_pylist(),
                             test["label"].to_pylist(), *chosen, strict=True))
    write_text(layout.evaluation / "predictions.csv", text.getvalue())
