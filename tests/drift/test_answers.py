"""What a small student makes of texts."""

from pathlib import Path

import numpy as np
import pytest
from support.project import Project

from amtss.drift import answers
from amtss.drift.answers import Answers
from amtss.drift.logs import Texts
from amtss.inference.pytorch_predictor import PytorchPredictor

TEXTS = ["where is parcel number 3", "漢字", "hello " * 40]


@pytest.fixture(scope="module")
def student(finished: Project) -> PytorchPredictor:
    return PytorchPredictor(finished.root / "artifacts/student")


@pytest.fixture(scope="module")
def found(student: PytorchPredictor) -> Answers:
    return answers.answer(student, "en", Texts(TEXTS))


class TestAnswer:
    def test_labels_are_the_students(self, student: PytorchPredictor, found: Answers) -> None:
        predictions = student.predict(TEXTS, "en")
        assert [student.labels[index] for index in found.label] == [
            prediction.label for prediction in predictions]
        assert found.confidence == pytest.approx([prediction.score for prediction in predictions],
                                                 abs=1e-6)

    def test_how_texts_are_read(self, student: PytorchPredictor, found: Answers) -> None:
        assert found.unknown.tolist() == [False, True, False]
        assert found.cut.tolist() == [False, False, True]
        assert found.length.tolist() == [len(student.tokenizer(text)["input_ids"])
                                         for text in TEXTS]
        assert found.length[2] > student.model.config.max_tokens

    def test_second_texts_count(self, student: PytorchPredictor, found: Answers) -> None:
        paired = answers.answer(student, "en", Texts(TEXTS, ["漢字", "hello", "hello"]))
        assert paired.unknown.tolist() == [True, True, False]
        assert (paired.length > found.length).all()


class TestCache:
    def test_gives_back_what_was_saved(self, found: Answers, tmp_path: Path) -> None:
        path = tmp_path / "cache" / "en.safetensors"
        answers.save(path, found, "origin")
        known = answers.load(path, "origin")
        assert known is not None
        for name, array in vars(found).items():
            np.testing.assert_array_equal(getattr(known, name), array)

    @pytest.mark.parametrize("damage", ["none", "other", "torn"])
    def test_anything_else_is_none(self, found: Answers, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "en.safetensors"
        if damage != "none":
            answers.save(path, found, "another" if damage == "other" else "origin")
        if damage == "torn":
            path.write_bytes(path.read_bytes()[:-9])
        assert answers.load(path, "origin") is None
