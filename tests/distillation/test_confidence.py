import json
from typing import Any

import numpy as np
import pytest
from support.training import LANGUAGES, Project, distilled

from amtss.files import read_json
from amtss.inference.load import load_folder
from amtss.logits import calibration
from amtss.logits.softmax import softmax
from amtss.student import recognition


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return distilled(tmp_path_factory.mktemp("settled"))


def config(project: Project, model: str) -> dict[str, Any]:
    folder = project.layout.artifacts / model
    return read_json(folder / "config.json", dict[str, Any], "dvc repro", ours=False)


def test_the_student_s_are_of_its_validation_rows(project: Project) -> None:
    found, student = config(project, "student"), load_folder(project.layout.student)
    assert list(found["temperatures"]) == list(found["thresholds"]) == list(LANGUAGES)
    for corpus in project.corpora():
        code, gold = corpus.language, project.gold(corpus.language, "validation")
        calibrated = student.probabilities(*corpus.texts("validation"), code)
        logits = np.log(calibrated) * found["temperatures"][code]
        assert calibration.temperature(logits, gold) == pytest.approx(
            found["temperatures"][code], abs=2e-3)
        expected = calibration.thresholds(softmax(logits, found["temperatures"][code]), gold)
        np.testing.assert_allclose(found["thresholds"][code], expected, atol=1e-4)


def test_x_lm_tiny_has_those_of_its_one_head(project: Project) -> None:
    found = config(project, "baseline")
    assert list(found["temperatures"]) == list(found["thresholds"]) == ["all"]
    assert not (project.layout.baseline / recognition.FILE).exists()


def test_they_change_no_answer(project: Project) -> None:
    corpus = project.corpora()[0]
    student = load_folder(project.layout.student)
    calibrated = student.probabilities(*corpus.texts("test"), "en")
    student.temperatures = {}
    plain = student.probabilities(*corpus.texts("test"), "en")
    assert (calibrated.argmax(axis=1) == plain.argmax(axis=1)).all()
    assert np.abs(calibrated - plain).max() > 1e-3
    assert json.dumps(student.thresholds)  # plain numbers
