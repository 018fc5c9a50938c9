import csv
from typing import Any

import numpy as np
import pytest
from support.registered import evaluated
from support.training import LANGUAGES, Project

from amtss.evaluation import selective
from amtss.files import read_json
from amtss.inference.load import load_folder
from amtss.inference.predictor import Predictor


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return evaluated(tmp_path_factory.mktemp("selective"))


@pytest.fixture(scope="module")
def student(project: Project) -> Predictor:
    return load_folder(project.layout.student)


@pytest.fixture(scope="module")
def metrics(project: Project) -> dict[str, Any]:
    return read_json(project.layout.metrics, dict[str, Any], "dvc repro")


@pytest.mark.parametrize(("thresholds", "coverage", "accuracy"), [
    ([[0.9, 0.0]], 100.0, 75.0), ([[0.9, 0.6]], 75.0, 200 / 3), ([[0.9, 0.8]], 25.0, 100.0),
    ([[0.85, 0.0]], 0.0, None)])
def test_what_is_answered_is_measured(student: Predictor, monkeypatch: pytest.MonkeyPatch,
                                      thresholds: Any, coverage: float,
                                      accuracy: float | None) -> None:
    monkeypatch.setattr(student, "thresholds", {"en": thresholds})
    rows = {"en": np.array([[0.9, 0.1], [0.3, 0.7], [0.65, 0.35], [0.45, 0.55]])}
    found = selective.abstaining(student, rows, {"en": np.array([0, 0, 0, 1])})
    assert list(found) == ["90", "95", "99"]
    assert found["90"]["coverage"] == {"en": coverage, "average": coverage}
    expected = {} if accuracy is None else {"en": accuracy, "average": accuracy}
    assert found["90"]["accuracy"] == pytest.approx(expected)


def test_languages_that_are_not_told(metrics: dict[str, Any]) -> None:
    assert set(metrics["untold"]["languages"]) == {"average", *LANGUAGES}
    for code in LANGUAGES:
        if metrics["untold"]["languages"][code] == 100.0:
            assert metrics["untold"]["accuracy"][code] == metrics["student"]["accuracy"][code]
    assert metrics["untold"]["languages"]["average"] > 90.0


def test_a_wrong_language_counts_by_what_its_head_says(project: Project, student: Predictor,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = project.corpora()[0]
    rows = student.probabilities(*corpus.texts("test"), "en")
    french = student.probabilities(*corpus.texts("test"), "fr")
    monkeypatch.setattr(student, "recognise", lambda texts, pairs: ["fr"] * len(texts))
    gold = {"en": project.gold("en", "test")}
    found = selective.untold(student, [corpus], {"en": rows}, gold)
    assert found["languages"]["en"] == 0.0
    assert found["accuracy"]["en"] == pytest.approx(100 * (french.argmax(1) == gold["en"]).mean())


def test_the_curves_end_at_the_whole_error(project: Project, metrics: dict[str, Any]) -> None:
    with open(project.layout.evaluation / "coverage.csv", newline="") as file:
        points = list(csv.DictReader(file))
    for code in LANGUAGES:
        own = [row for row in points if row["language"] == code]
        coverage = [float(row["coverage"]) for row in own]
        assert coverage == sorted(coverage)
        assert coverage[-1] == 100.0
        assert float(own[-1]["error"]) == pytest.approx(
            100 - metrics["student"]["accuracy"][code], abs=0.006)
