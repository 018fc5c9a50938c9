import json
import shutil
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.predictions import answers, questions
from support.training import LABELS, LANGUAGES, Project, distilled

from amtss.errors import DataError
from amtss.files import seal
from amtss.inference.export import export_onnx
from amtss.inference.jsonl import Question
from amtss.inference.load import load_folder
from amtss.inference.predictor import Prediction, Predictor
from amtss.student.recognition import FILE

TEXTS = ["enpay1 enpay2", "frship3", "frpay1"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distilled(tmp_path_factory.mktemp("student")).layout.student


@pytest.fixture(scope="module", params=["pytorch", "onnx"])
def predictor(student: Path, request: pytest.FixtureRequest,
              tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    if request.param == "pytorch":
        return load_folder(student)
    folder = tmp_path_factory.mktemp("onnx")
    export_onnx(student, folder, "onnx")
    return load_folder(folder)


class TestPredict:
    def test_one_language(self, predictor: Predictor, student: Path) -> None:
        predictions = predictor.predict(TEXTS, lang="fr")
        expected = answers(student, [Question(text, "fr") for text in TEXTS])
        for prediction, row in zip(predictions, expected, strict=True):
            assert isinstance(prediction, Prediction)
            assert prediction.label == row["label"]
            assert prediction.probabilities == pytest.approx(row["probabilities"], abs=2e-6)
            assert prediction.score == max(prediction.probabilities.values())

    def test_a_language_and_a_pair_for_each_text(self, predictor: Predictor) -> None:
        codes, pairs = ("en", "fr", "fr"), [None, "frship1 frship2", ""]
        together = predictor.predict(TEXTS, codes, pairs)
        for prediction, text, code, pair in zip(together, TEXTS, codes, pairs, strict=True):
            alone, = predictor.predict([text], code, [pair])
            assert prediction.probabilities == pytest.approx(alone.probabilities, abs=2e-6)

    def test_pairs_without_a_second_sentence_are_texts(self, predictor: Predictor) -> None:
        assert predictor.predict(TEXTS, "fr", [None] * 3) == predictor.predict(TEXTS, "fr")

    def test_nothing(self, predictor: Predictor) -> None:
        assert predictor.predict([], "en") == []

    def test_labels_and_languages(self, predictor: Predictor) -> None:
        assert (predictor.labels, predictor.languages) == (list(LABELS), list(LANGUAGES))

    @pytest.mark.parametrize(("arguments", "message"), [
        (("enpay1", "en"), "texts: expected a list of texts, found one text; put it into a list"),
        ((TEXTS, "ko"), "lang: expected one of en, fr, ru, found 'ko'; name one of them"),
        ((TEXTS, ["en", "ko", "en"]), "lang: expected one of en, fr, ru, found 'ko'"),
        ((TEXTS, ["en", "en"]), "lang: expected one language, or one for each of 3 texts, found 2"),
        ((TEXTS, "en", ["frpay1"]), "pairs: expected one for each of 3 texts, found 1")], ids=str)
    def test_mistakes(self, predictor: Predictor, arguments: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            predictor.predict(*arguments)


class TestWithoutALanguage:
    @pytest.mark.parametrize("lang", [None, "auto", "", [None, "auto", ""]])
    def test_it_is_recognised(self, predictor: Predictor, lang: Any) -> None:
        found = predictor.predict(TEXTS, lang)
        assert [row.language for row in found] == ["en", "fr", "fr"]
        assert all(0.5 < row.language_probability <= 1.0 for row in found
                   if row.language_probability is not None)
        given = predictor.predict(TEXTS, ["en", "fr", "fr"])
        assert [row.probabilities for row in found] == [row.probabilities for row in given]
        assert predictor.recognise(TEXTS) == ["en", "fr", "fr"]

    def test_a_given_one_wins(self, predictor: Predictor) -> None:
        found = predictor.predict(TEXTS, ["fr", None, "ru"])
        assert [row.language for row in found] == ["fr", "fr", "ru"]
        assert [row.language_probability is None for row in found] == [True, False, True]

    def test_an_unknown_text_could_be_in_any(self, predictor: Predictor) -> None:
        found, = predictor.predict([""])
        assert found.language_probability == pytest.approx(1 / 3, abs=1e-5)

    def test_of_all_languages_on_test(self, student: Path) -> None:
        codes, texts = zip(*((question.language, question.text) for question in questions(
            Project(student.parents[1]))), strict=True)
        assert load_folder(student).recognise(list(texts)) == list(codes)

    def test_an_export_of_one_language_knows_no_other(self, student: Path, tmp_path: Path) -> None:
        export_onnx(student, tmp_path / "fr", "onnx-int8", "fr")
        found, = load_folder(tmp_path / "fr").predict(["enpay1"])
        assert (found.language, found.language_probability) == ("fr", 1.0)
        assert not (tmp_path / "fr" / FILE).exists()

    @pytest.mark.parametrize("runtime", ["pytorch", "onnx"])
    def test_a_student_of_earlier_code_must_be_told(self, student: Path, tmp_path: Path,
                                                    runtime: str) -> None:
        old = load_folder(earlier(student, tmp_path, runtime))
        assert [row.label for row in old.predict(TEXTS, "fr")] == [
            row.label for row in load_folder(student).predict(TEXTS, "fr")]
        with pytest.raises(DataError, match="lang: expected one of en, fr, ru, found none, and this"
                           " student was made before students recognised languages; name one, on"):
            old.predict(TEXTS)
        with pytest.raises(DataError, match="min_accuracy: expected a student with thresholds, fou"
                           r"nd one that was made without them; run `dvc repro -f distil`, or lea"):
            old.predict(TEXTS, "fr", min_accuracy=0.9)

    def test_x_lm_tiny_reads_them_all(self, student: Path) -> None:
        found = load_folder(student.parent / "baseline").predict(TEXTS, [None, "fr", "ko"])
        assert [row.language for row in found] == ["all", "fr", "ko"]
        assert [row.language_probability for row in found] == [None] * 3


def earlier(student: Path, to: Path, runtime: str) -> Path:
    """The student as code before calibration wrote it, or its export as that code wrote it."""
    folder = Path(shutil.copytree(student, to / "student"))
    (folder / FILE).unlink()
    without(folder / "config.json")
    seal(folder)
    if runtime == "onnx":
        export_onnx(folder, to / "onnx", "onnx")
        folder = to / "onnx"
        without(folder / "config.json")
        seal(folder)
    return folder


def without(config: Path) -> None:
    values = json.loads(config.read_text())
    for key in ("temperatures", "thresholds", "checksum"):
        values.pop(key, None)
    config.write_text(json.dumps(values))


class TestAbstains:
    def test_below_the_threshold(self, predictor: Predictor,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
        everything = predictor.predict(TEXTS, "fr")
        least = max(row.score for row in everything)
        monkeypatch.setattr(predictor, "thresholds", {"fr": [[0.8, 0.0], [0.9, least - 1e-6]]})
        assert predictor.predict(TEXTS, "fr", min_accuracy=0.8) == everything
        found = predictor.predict(TEXTS, "fr", min_accuracy=0.9)
        for row, full in zip(found, everything, strict=True):
            assert row.label == (full.label if full.score >= least else None)
            assert (row.best, row.score) == (full.label, full.score)
        assert 1 <= [row.label for row in found].count(None) <= 2
        assert {row.label for row in predictor.predict(TEXTS, "fr", min_accuracy=0.91)} == {None}
        assert predictor.least_confidence("fr", 0.91) == inf

    def test_every_export_has_the_students_thresholds(self, student: Path, predictor: Predictor
                                                      ) -> None:
        own = load_folder(student)
        for code in LANGUAGES:
            assert predictor.least_confidence(code, 0.5) == own.least_confidence(code, 0.5)
            assert predictor.temperatures[code] == own.temperatures[code] != 1.0

    @pytest.mark.parametrize("asked", [-0.1, 95.0, float("nan")])
    def test_no_share(self, predictor: Predictor, asked: float) -> None:
        with pytest.raises(DataError, match=r"min_accuracy: expected a share from 0 to 1, found"):
            predictor.predict(TEXTS, "fr", min_accuracy=asked)


def test_probabilities_are_of_all_labels(predictor: Predictor) -> None:
    rows = predictor.probabilities(TEXTS, None, "en")
    assert rows.shape == (3, len(LABELS))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
