from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.predictions import answers
from support.training import LABELS, LANGUAGES, distilled

from amtss.errors import DataError
from amtss.inference.export import export_onnx
from amtss.inference.jsonl import Question
from amtss.inference.load import load_folder
from amtss.inference.predictor import Prediction, Predictor

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


def test_probabilities_are_of_all_labels(predictor: Predictor) -> None:
    rows = predictor.probabilities(TEXTS, None, "en")
    assert rows.shape == (3, len(LABELS))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0)
