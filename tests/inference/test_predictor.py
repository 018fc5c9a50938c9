import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.training import LABELS, LANGUAGES, Project, distilled, write_corpus

from amtss.data import corpus
from amtss.errors import CheckpointError, DataError
from amtss.evaluation import evaluate
from amtss.inference import predictor as inference
from amtss.inference.predictor import Predictor, Question


def asked(project: Project) -> list[Question]:
    """All test texts, languages taking turns."""
    texts = [corpus.load(project.layout, code)["test"]["text"].to_pylist() for code in LANGUAGES]
    return [Question(text, code) for row in zip(*texts, strict=True)
            for text, code in zip(row, LANGUAGES, strict=True)]


def answers(folder: Path, questions: list[Question]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in inference.answer(folder, questions)]


class TestPredictor:
    def test_agrees_with_evaluate(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        evaluated = evaluate.predict_test(project.layout.student, project.corpora())
        questions = asked(project)
        for index, answer in enumerate(answers(project.layout.student, questions)):
            expected = evaluated[answer["lang"]][index // 3]
            np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=2e-6)

    def test_does_not_depend_on_what_else_is_asked(self, tmp_path: Path) -> None:
        predictor = Predictor(distilled(tmp_path).layout.student)
        texts = ["enpay1", "enchat2 enchat1 enship3 enpay0 enpay1 enpay2 enpay3", "enship1 enship2"]
        together = predictor.probabilities(texts, None, "en")
        for index, text in enumerate(texts):
            alone = predictor.probabilities([text], None, "en")[0]
            np.testing.assert_allclose(together[index], alone, atol=1e-6)

    def test_labels_and_languages(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        assert Predictor(project.layout.student).labels == list(LABELS)
        assert Predictor(project.layout.student).languages == list(LANGUAGES)
        assert Predictor(project.layout.baseline).languages == ["all"]

    def test_no_texts(self, tmp_path: Path) -> None:
        assert Predictor(distilled(tmp_path).layout.student).probabilities(
            [], None, "en").shape == (0, 3)

    def test_another_language(self, tmp_path: Path) -> None:
        predictor = Predictor(distilled(tmp_path).layout.student)
        with pytest.raises(DataError, match="--lang: expected one of en, fr, ru, found 'ko'"):
            predictor.probabilities(["x"], None, "ko")

    def test_no_student(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="found none; run `dvc repro`"):
            Predictor(tmp_path)

    def test_a_truncated_student(self, tmp_path: Path) -> None:
        folder = distilled(tmp_path).layout.student
        (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:999])
        with pytest.raises(CheckpointError, match=r"safetensors weights, found.*-f distil"):
            Predictor(folder)

    def test_a_student_without_a_head(self, tmp_path: Path) -> None:
        path = distilled(tmp_path).layout.student / "model.safetensors"
        kept = {name: value for name, value in load_file(path).items() if "heads.fr" not in name}
        save_file(kept, path, metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=r"heads\.fr.*-f distil"):
            Predictor(path.parent)


class TestAnswer:
    def test_keeps_the_order_of_interleaved_languages(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        questions = asked(project) * 3  # more than a batch
        assert len(questions) > inference.BATCH
        found = answers(project.layout.student, questions)
        assert [(each["text"], each["lang"]) for each in found] == [
            (each.text, each.language) for each in questions]

    def test_probabilities_sum_to_1_and_name_the_label(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        for each in answers(project.layout.student, asked(project)):
            assert list(each["probabilities"]) == list(LABELS)
            assert sum(each["probabilities"].values()) == pytest.approx(1.0, abs=5e-6)
            assert each["label"] == max(each["probabilities"], key=each["probabilities"].get)

    def test_nothing_asked_loads_nothing(self, tmp_path: Path) -> None:
        assert answers(tmp_path / "none", []) == []

    def test_pairs(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        for code in LANGUAGES:
            write_corpus(project.layout, code, {"train": 3, "validation": 3, "test": 6}, pairs=True)
        texts, pairs = corpus.load(project.layout, "en").texts("test")
        assert pairs is not None
        expected = Predictor(project.layout.student).probabilities(texts, pairs, "en")
        found = answers(project.layout.student, [Question(text, "en", pair) for text, pair
                                                 in zip(texts, pairs, strict=True)])
        np.testing.assert_allclose([list(each["probabilities"].values()) for each in found],
                                   expected, atol=2e-6)

    def test_a_pair_beside_single_texts(self, tmp_path: Path) -> None:
        folder = distilled(tmp_path).layout.student
        questions = [Question("enpay1", "en"), Question("enpay1", "en", "enship2 enship1")]
        together = answers(folder, questions)
        alone = [answers(folder, [each])[0] for each in questions]
        for one, other in zip(together, alone, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)


class TestQuestions:
    def read(self, text: str, language: str = "en") -> list[Question]:
        return list(inference.questions(io.BytesIO(text.encode()), language, None))

    def test_lines(self) -> None:
        assert self.read("one\n\n  two \n") == [Question("one", "en"), Question("two", "en")]

    def test_json(self) -> None:
        assert self.read('{"text": "un", "lang": "fr"}\nplain\n{"text": "a", "pair": "b"}') == [
            Question("un", "fr"), Question("plain", "en"), Question("a", "en", "b")]

    @pytest.mark.parametrize(("text", "message"), [
        ('{"text": "a"', "stdin:1: expected a JSON object"),
        ('ok\n{"lang": "fr"}', "stdin:2: expected a `text`, found keys lang"),
        ('{"text": 3}', "stdin:1: expected a `text`"),
        ('{"text": "a", "pair": 3}', "stdin:1: expected text for `pair`"),
        ('{"text": "a", "lang": ["fr"]}', "stdin:1: expected text for `lang`")])
    def test_bad_lines(self, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            self.read(text)

    def test_not_utf_8(self) -> None:
        with pytest.raises(DataError, match="stdin:1: expected UTF-8"):
            list(inference.questions(io.BytesIO("café".encode("latin-1")), "fr", None))


def amtss(root: Path, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([Path(sys.executable).parent / "amtss", *arguments], cwd=root,
                          input=stdin, text=True, capture_output=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.slow
class TestCommand:
    def test_arguments_and_stdin(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        done = amtss(tmp_path, "predict", "--lang", "fr", "frpay1 frpay2", "frship3")
        assert (done.returncode, done.stderr) == (0, "")
        expected = answers(project.layout.student, [Question("frpay1 frpay2", "fr"),
                                                    Question("frship3", "fr")])
        assert [json.loads(line) for line in done.stdout.splitlines()] == expected
        questions = asked(project)[:9]
        lines = [json.dumps({"text": each.text, "lang": each.language}) for each in questions]
        done = amtss(tmp_path, "predict", "--lang", "en", stdin="\n".join([*lines, "enpay1"]))
        assert (done.returncode, done.stderr) == (0, "")
        assert [json.loads(line) for line in done.stdout.splitlines()] == answers(
            project.layout.student, [*questions, Question("enpay1", "en")])
