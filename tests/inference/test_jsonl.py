import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.predictions import answers, questions
from support.training import LABELS, LANGUAGES, distilled, write_corpus

from amtss.data import corpus
from amtss.errors import DataError
from amtss.inference import jsonl
from amtss.inference.jsonl import Question
from amtss.inference.pytorch_predictor import PytorchPredictor


class TestAnswer:
    def test_keeps_the_order_of_interleaved_languages(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        asked = questions(project) * 3  # more than a batch
        assert len(asked) > jsonl.BATCH
        found = answers(project.layout.student, asked)
        assert [(row["text"], row["lang"]) for row in found] == [
            (question.text, question.language) for question in asked]

    def test_probabilities_sum_to_1_and_name_the_label(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        for each in answers(project.layout.student, questions(project)):
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
        expected = PytorchPredictor(project.layout.student).probabilities(texts, pairs, "en")
        found = answers(project.layout.student, [Question(text, "en", pair) for text, pair
                                                 in zip(texts, pairs, strict=True)])
        np.testing.assert_allclose([list(each["probabilities"].values()) for each in found],
                                   expected, atol=2e-6)

    def test_a_pair_beside_single_texts(self, tmp_path: Path) -> None:
        folder = distilled(tmp_path).layout.student
        pair = [Question("enpay1", "en"), Question("enpay1", "en", "enship2 enship1")]
        together = answers(folder, pair)
        alone = [answers(folder, [question])[0] for question in pair]
        for one, other in zip(together, alone, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)


class TestQuestions:
    def read(self, text: str, language: str = "en") -> list[Question]:
        return list(jsonl.questions(io.BytesIO(text.encode()), language, None))

    def test_lines(self) -> None:
        assert self.read("one\n\n  two \n") == [Question("one", "en"), Question("two", "en")]

    def test_json(self) -> None:
        assert self.read('{"text": "un", "lang": "fr"}\nplain\n{"text": "a", "pair": "b"}') == [
            Question("un", "fr"), Question("plain", "en"), Question("a", "en", "b")]

    def test_null_is_as_good_as_none(self) -> None:
        assert self.read('{"text": "a", "lang": null, "pair": null}') == [Question("a", "en")]

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
            list(jsonl.questions(io.BytesIO("café".encode("latin-1")), "fr", None))


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
        asked = questions(project)[:9]
        lines = [json.dumps({"text": row.text, "lang": row.language}) for row in asked]
        done = amtss(tmp_path, "predict", "--lang", "en", stdin="\n".join([*lines, "enpay1"]))
        assert (done.returncode, done.stderr) == (0, "")
        assert [json.loads(line) for line in done.stdout.splitlines()] == answers(
            project.layout.student, [*asked, Question("enpay1", "en")])
