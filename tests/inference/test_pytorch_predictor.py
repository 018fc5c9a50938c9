from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.predictions import answers, questions
from support.training import LABELS, LANGUAGES, distilled, fill

from amtss.errors import AmtssError, CheckpointError, DataError
from amtss.evaluation import evaluate
from amtss.files import seal
from amtss.inference.pytorch_predictor import PytorchPredictor

NOT_FINITE = r"^model: expected finite logits, found NaN or infinite ones; .*`dvc repro -f distil`"


class TestPytorchPredictor:
    def test_agrees_with_evaluate(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        evaluated = evaluate.predict_test(project.layout.student, project.corpora())
        for index, answer in enumerate(answers(project.layout.student, questions(project))):
            expected = evaluated[answer["lang"]][index // 3]
            np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=2e-6)

    def test_does_not_depend_on_what_else_is_asked(self, tmp_path: Path) -> None:
        predictor = PytorchPredictor(distilled(tmp_path).layout.student)
        texts = ["enpay1", "enchat2 enchat1 enship3 enpay0 enpay1 enpay2 enpay3", "enship1 enship2"]
        together = predictor.probabilities(texts, None, "en")
        for index, text in enumerate(texts):
            alone = predictor.probabilities([text], None, "en")[0]
            np.testing.assert_allclose(together[index], alone, atol=1e-6)

    def test_labels_and_languages(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        assert PytorchPredictor(project.layout.student).labels == list(LABELS)
        assert PytorchPredictor(project.layout.student).languages == list(LANGUAGES)
        assert PytorchPredictor(project.layout.baseline).languages == ["all"]

    def test_no_texts(self, tmp_path: Path) -> None:
        assert PytorchPredictor(distilled(tmp_path).layout.student).probabilities(
            [], None, "en").shape == (0, 3)

    def test_another_language(self, tmp_path: Path) -> None:
        predictor = PytorchPredictor(distilled(tmp_path).layout.student)
        with pytest.raises(DataError, match="lang: expected one of en, fr, ru, found 'ko'"):
            predictor.probabilities(["x"], None, "ko")

    def test_no_student(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="found none; run `dvc repro`"):
            PytorchPredictor(tmp_path)

    def test_a_truncated_student(self, tmp_path: Path) -> None:
        folder = distilled(tmp_path).layout.student
        (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:999])
        with pytest.raises(AmtssError, match=r"checksum differs\); remove it and run `dvc repro`"):
            PytorchPredictor(folder)

    def test_a_student_without_a_head(self, tmp_path: Path) -> None:
        path = distilled(tmp_path).layout.student / "model.safetensors"
        kept = {name: value for name, value in load_file(path).items() if "heads.fr" not in name}
        save_file(kept, path, metadata={"format": "pt"})
        seal(path.parent)
        with pytest.raises(CheckpointError, match=r"heads\.fr.*run `dvc repro`"):
            PytorchPredictor(path.parent)

    def test_answers_that_are_no_numbers(self, tmp_path: Path) -> None:
        # of weights that are numbers, but whose sum is too large for one
        folder = distilled(tmp_path).layout.student
        fill(folder, 1e30, "heads.en.dense.bias")
        fill(folder, 3e38, "heads.en.out_proj.weight")
        predictor = PytorchPredictor(folder)
        assert np.isfinite(predictor.probabilities(["enpay1"], None, "fr")).all()
        with pytest.raises(CheckpointError, match=NOT_FINITE):
            predictor.predict(["enpay1"], "en")
