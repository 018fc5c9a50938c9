import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.predictions import answers, questions
from support.project import unfolded
from support.training import LABELS, LANGUAGES, distilled, write_corpus

from amtss.data import corpus
from amtss.errors import DataError
from amtss.inference import jsonl
from amtss.inference.export import export_onnx
from amtss.inference.jsonl import Question
from amtss.inference.load import load_folder
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


    @pytest.mark.parametrize("runtime", ["pytorch", "onnx"])
    def test_what_cannot_be_answered_is_refused_by_its_line(self, tmp_path: Path,
                                                            runtime: str) -> None:
        folder = distilled(tmp_path).layout.student
        if runtime == "onnx":
            export_onnx(folder, tmp_path / "onnx", "onnx")
            folder = tmp_path / "onnx"
        asked = [Question("enpay1", "en", None, "stdin:1"), Question("a", "xx", None, "stdin:2"),
                 Question("o\udcf9", "fr", None, "text 3"), Question("frpay1", "fr")]
        refused: list[DataError] = []
        found = [json.loads(line) for line in jsonl.answer(load_folder, folder, asked,
                                                           refused.append)]
        assert [row["text"] for row in found] == ["enpay1", "frpay1"]
        assert [str(error).partition(", found")[0] for error in refused] == [
            "stdin:2: lang: expected one of en, fr, ru", "text 3: text: expected text"]
        with pytest.raises(DataError, match=r"^stdin:2: lang: expected one of"):
            list(jsonl.answer(load_folder, folder, asked))


class TestUnsure:
    def test_without_a_language(self, tmp_path: Path) -> None:
        folder = distilled(tmp_path).layout.student
        found = answers(folder, [Question("frship3", None), Question("enpay1", "auto"),
                                 Question("enpay1", "fr")])
        assert [row["lang"] for row in found] == ["fr", "en", "fr"]
        assert [row.get("lang_probability", 0.0) > 0.5 for row in found] == [True, True, False]
        assert list(found[0]) == ["text", "lang", "lang_probability", "label", "probabilities"]
        assert list(found[2]) == ["text", "lang", "label", "probabilities"]

    def test_warns_once_where_no_confidence_is_enough(
            self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = distilled(tmp_path).layout.student
        asked = [Question("enpay1", "en"), Question("enpay2", "en"), Question("frship3", "fr")]
        found = [json.loads(line) for line in jsonl.answer(load_folder, folder, asked * 50,
                                                           min_accuracy=0.999)]
        assert {(row["label"], row["best"] in LABELS) for row in found} == {(None, True)}
        assert unfolded(capsys.readouterr().err).splitlines() == [
            f"amtss: warning: {code}: no confidence surely reaches an accuracy of 0.999 on "
            "validation, so every text has the label null" for code in ("en", "fr")]
        found = [json.loads(line) for line in jsonl.answer(load_folder, folder, asked,
                                                           min_accuracy=0.01)]
        assert all(row["label"] == row["best"] for row in found)
        assert capsys.readouterr().err == ""


class TestEncodable:
    @pytest.mark.parametrize(("encoding", "expected"), [
        ("utf-8", '{"a": "é 배"}'), ("latin-1", '{"a": "\\u00e9 \\ubc30"}'),
        ("ascii", '{"a": "\\u00e9 \\ubc30"}')])
    def test_escapes_what_the_encoding_lacks(self, encoding: str, expected: str) -> None:
        line = jsonl.encodable('{"a": "é 배"}', encoding)
        assert line == expected
        assert json.loads(line) == {"a": "é 배"}


class TestQuestions:
    def read(self, text: str, language: str = "en") -> list[Question]:
        return list(jsonl.questions(io.BytesIO(text.encode()), language, None))

    def test_lines(self) -> None:
        assert self.read("one\n\n  two \n") == [Question("one", "en", None, "stdin:1"),
                                                Question("two", "en", None, "stdin:3")]

    def test_json(self) -> None:
        assert self.read('{"text": "un", "lang": "fr"}\nplain\n{"text": "a", "pair": "b"}') == [
            Question("un", "fr", None, "stdin:1"), Question("plain", "en", None, "stdin:2"),
            Question("a", "en", "b", "stdin:3")]

    def test_null_is_as_good_as_none(self) -> None:
        assert self.read('{"text": "a", "lang": null, "pair": null}') == [
            Question("a", "en", None, "stdin:1")]

    @pytest.mark.parametrize(("text", "message"), [
        ('{"text": "a"', "stdin:1: expected a JSON object"),
        ('ok\n{"lang": "fr"}', "stdin:2: expected a `text`, found keys lang"),
        ('{"text": 3}', "stdin:1: expected a `text`"),
        ('{"text": "a", "pair": 3}', "stdin:1: expected text for `pair`"),
        ('{"text": "a", "lang": ["fr"]}', "stdin:1: expected text for `lang`"),
        ('{"text": "x \\ud83d"}', r"stdin:1: text: expected text, found half of a surrogate pair, "
                                  r"'\\ud83d', at character 3"),
        ('{"text": "a", "pair": "\\udc00"}', "stdin:1: pair: expected text, found half"),
        ('{"a": ' + 100_000 * "[", "stdin:1: expected a JSON object, found too many brackets"),
        ('{"a": ' + 5000 * "9" + "}", "stdin:1: .* found a number of thousands of digits")])
    def test_bad_lines(self, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            self.read(text)

    def test_a_whole_surrogate_pair_is_text(self) -> None:
        assert self.read('{"text": "\\ud83d\\ude00"}')[0].text == "😀"

    def test_refused_lines_are_left_out(self) -> None:
        refused: list[DataError] = []
        lines = b'one\n{"txt": 1}\ncaf\xe9\n{"text": "two"}\n'
        found = list(jsonl.questions(io.BytesIO(lines), "en", None, refused.append))
        assert [question.text for question in found] == ["one", "two"]
        assert [str(error).partition(": ")[0] for error in refused] == ["stdin:2", "stdin:3"]

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
        assert done.returncode == 0
        assert re.fullmatch(r"amtss: artifacts/student answers, written on .*\n", done.stderr)
        expected = answers(project.layout.student, [Question("frpay1 frpay2", "fr"),
                                                    Question("frship3", "fr")])
        assert [json.loads(line) for line in done.stdout.splitlines()] == expected
        asked = questions(project)[:9]
        lines = [json.dumps({"text": row.text, "lang": row.language}) for row in asked]
        done = amtss(tmp_path, "predict", "--lang", "en", stdin="\n".join([*lines, "enpay1"]))
        assert done.returncode == 0
        assert re.fullmatch(r"amtss: artifacts/student answers, written on .*\n", done.stderr)
        assert [json.loads(line) for line in done.stdout.splitlines()] == answers(
            project.layout.student, [*asked, Question("enpay1", "en")])

    def test_keeps_going_past_a_bad_line(self, tmp_path: Path) -> None:
        distilled(tmp_path)
        stdin = 'enpay1\n{"txt": 1}\n{"text": "enship1", "lang": "xx"}\né 배\n'
        done = amtss(tmp_path, "predict", "--lang", "en", "--keep-going", stdin=stdin)
        assert done.returncode == 1
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == [
            "enpay1", "é 배"]
        assert [line.split(": ")[1] for line in done.stderr.splitlines()
                if "answers" not in line] == ["stdin:2", "stdin:3"]
        done = amtss(tmp_path, "predict", "--lang", "en", stdin=stdin)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("amtss: stdin:2: expected a `text`")
