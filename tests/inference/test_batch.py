import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.project import full_disk, unfolded
from support.training import LABELS, LANGUAGES, distilled, table

from amtss.errors import AmtssError, DataError
from amtss.inference import batch
from amtss.inference.batch import Request, score
from amtss.inference.export import export_onnx
from amtss.inference.onnx_predictor import OnnxPredictor

ROWS: list[dict[str, Any]] = [
    {"id": number, "text": text, "lang": code} for code in LANGUAGES
    for number, text in enumerate(table(code, "test", 30)["text"].to_pylist())]
NEW = ["label", "score", "probabilities", "lang", "lang_probability"]
CHILD = """
import sys, time
from pathlib import Path
from amtss.inference import batch
from amtss.inference.onnx_predictor import OnnxPredictor

class Slow(OnnxPredictor):
    def predict(self, *arguments):
        time.sleep(0.1)
        return super().predict(*arguments)

batch.SIZE = 20
model, data, out = map(Path, sys.argv[1:])
batch.score(batch.Request(data, out), Slow(model), model)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = distilled(tmp_path_factory.mktemp("batch"))
    export_onnx(project.layout.student, project.layout.root / "onnx", "onnx")
    return project.layout.root / "onnx"


@pytest.fixture(scope="module")
def predictor(model: Path) -> OnnxPredictor:
    return OnnxPredictor(model)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SIZE", 20)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
class TestFormats:
    def test_rows_keep_their_columns_and_get_the_answers(
            self, tmp_path: Path, model: Path, predictor: OnnxPredictor, suffix: str) -> None:
        data, out = write(tmp_path / f"in{suffix}", ROWS), tmp_path / f"out{suffix}"
        assert score(Request(data, out), predictor, model) == (len(ROWS), 0, 0)
        expected = predictor.predict([row["text"] for row in ROWS], [row["lang"] for row in ROWS])
        for row, scored, answer in zip(ROWS, read(out), expected, strict=True):
            assert list(scored) == ["id", "text", "lang", *(name for name in NEW if name != "lang")]
            assert scored == row | {"label": answer.label, "score": scored["score"],
                                    "probabilities": scored["probabilities"],
                                    "lang_probability": None}
            assert scored["probabilities"] == pytest.approx(answer.probabilities, abs=2e-6)
        assert sorted(path.name for path in tmp_path.iterdir()) == [data.name, out.name]

    def test_no_rows(self, tmp_path: Path, model: Path, predictor: OnnxPredictor,
                     suffix: str) -> None:
        data, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
        if suffix == ".parquet":
            parquet.write_table(pa.table({"text": pa.array([], pa.string())}), data)
        else:
            data.touch()
        assert score(Request(data, out), predictor, model) == (0, 0, 0)
        assert read(out) == []

    def test_other_names(self, tmp_path: Path, model: Path, predictor: OnnxPredictor,
                         suffix: str) -> None:
        rows = [{"question": row["text"], "label": "old"} for row in ROWS[:3]]
        data, out = write(tmp_path / f"in{suffix}", rows), tmp_path / f"out{suffix}"
        with pytest.raises(DataError, match=r"expected no column 'label'.*--prefix predicted_"):
            score(Request(data, out, "en", None, "question"), predictor, model)
        score(Request(data, out, "en", None, "question", "my_"), predictor, model)
        assert [list(row) for row in read(out)] == [
            ["question", "label", *(f"my_{name}" for name in NEW)]] * 3

    @pytest.mark.parametrize(("change", "says"), [
        ({"text": None}, "expected a `text`, found null"),
        ({"lang": "xx"}, "lang: expected one of en, fr, ru, found 'xx'")])
    def test_a_bad_row_is_named_and_nothing_is_written(
            self, tmp_path: Path, model: Path, predictor: OnnxPredictor, suffix: str,
            change: dict[str, Any], says: str) -> None:
        rows = [*ROWS[:45], ROWS[45] | change, *ROWS[46:]]
        data, out = write(tmp_path / f"in{suffix}", rows), tmp_path / f"out{suffix}"
        out.write_text("precious")
        where = "in.parquet: row 46" if suffix == ".parquet" else "in.jsonl:46"
        with pytest.raises(DataError, match=rf"{where}: {says}"):
            score(Request(data, out), predictor, model)
        assert out.read_text() == "precious"
        assert sorted(path.name for path in tmp_path.iterdir()) == [data.name, out.name]
        refused: list[DataError] = []
        assert score(Request(data, out), predictor, model, refused.append).refused == 1
        assert len(refused) == 1
        assert [at for at, row in enumerate(read(out)) if row["label"] is None] == [45]
        assert [row["lang"] for row in read(out)] == [row["lang"] for row in rows]

    def test_languages_are_filled_in_and_unsure_texts_have_no_label(
            self, tmp_path: Path, model: Path, predictor: OnnxPredictor, suffix: str) -> None:
        rows = [row | {"lang": None if at % 2 else row["lang"]} for at, row in enumerate(ROWS)]
        data, out = write(tmp_path / f"in{suffix}", rows), tmp_path / f"out{suffix}"
        score(Request(data, out, min_accuracy=1.0), predictor, model)
        expected = predictor.predict([row["text"] for row in rows], [row["lang"] for row in rows],
                                     min_accuracy=1.0)
        assert any(answer.label is None for answer in expected)
        assert [(row["label"], row["best"], row["lang"]) for row in read(out)] == [
            (answer.label, answer.best, answer.language) for answer in expected]
        assert [row["lang_probability"] is None for row in read(out)] == [
            row["lang"] is not None for row in rows]

    def test_killed_it_goes_on_to_the_same_bytes(
            self, tmp_path: Path, model: Path, predictor: OnnxPredictor, suffix: str) -> None:
        data = write(tmp_path / f"in{suffix}", ROWS * 2)
        whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
        score(Request(data, whole), predictor, model)
        parts = Request(data, out).parts
        killed = subprocess.Popen([sys.executable, "-c", CHILD, str(model), str(data), str(out)])
        while killed.poll() is None and len(list(parts.glob("*.part"))) < 3:
            time.sleep(0.005)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not out.exists()
        scored = score(Request(data, out), predictor, model)
        assert 60 <= scored.before < scored.rows == len(ROWS) * 2
        assert out.read_bytes() == whole.read_bytes()
        assert not parts.exists()


class TestResuming:
    def interrupted(self, tmp_path: Path, model: Path, predictor: OnnxPredictor) -> Request:
        """A request with parts of all rows and no output."""
        request = Request(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl")
        with full_disk(8_000), pytest.raises(AmtssError, match="free space or fix permissions"):
            score(request, predictor, model)  # the parts are shorter, the output is not
        assert not request.out.exists()
        return request

    def test_a_full_disk_costs_nothing(self, tmp_path: Path, model: Path,
                                       predictor: OnnxPredictor) -> None:
        request = self.interrupted(tmp_path, model, predictor)
        assert score(request, predictor, model) == (len(ROWS), len(ROWS), 0)

    def test_other_data_begin_anew(self, tmp_path: Path, model: Path, predictor: OnnxPredictor,
                                   capsys: pytest.CaptureFixture[str]) -> None:
        request = self.interrupted(tmp_path, model, predictor)
        write(request.data, ROWS[::-1])
        assert score(request, predictor, model).before == 0
        assert "begun with other data; starting anew" in unfolded(capsys.readouterr().err)
        assert [row["id"] for row in read(request.out)] == [row["id"] for row in ROWS[::-1]]

    def test_so_do_another_model_and_other_settings(
            self, tmp_path: Path, model: Path, predictor: OnnxPredictor,
            capsys: pytest.CaptureFixture[str]) -> None:
        request = self.interrupted(tmp_path, model, predictor)
        other = shutil.copytree(model, tmp_path / "other")
        (other / "README.md").write_text("edited")
        changed = Request(request.data, request.out, prefix="x_")
        assert score(changed, OnnxPredictor(other), other).before == 0
        assert "begun with other model, settings;" in unfolded(capsys.readouterr().err)


@pytest.mark.parametrize(("name", "content", "says"), [
    ("in.csv", "text\na\n", r"--data: expected a name that ends in .jsonl or .parquet, found"),
    ("in.parquet", "no", r"in.parquet: expected Parquet, found: .*; fix the file"),
    ("in.jsonl", '{"text": "a"}\n[1]\n', r"in.jsonl:2: expected a JSON object, found \[1\]"),
    ("in.jsonl", '{"text": "a"}\n{"te', r"in.jsonl:2: expected a JSON object, found: "),
    ("in.jsonl", '{"text": 5}', r"in.jsonl:1: expected a `text`, found 5; add it"),
    ("in.jsonl", '{"text": "a", "lang": ["en"]}', "in.jsonl:1: expected text for `lang`"),
    ("in.jsonl", b'{"text": "caf\xe9"}', "in.jsonl:1: expected UTF-8, found other bytes")])
def test_bad_files_are_one_line(tmp_path: Path, model: Path, predictor: OnnxPredictor, name: str,
                                content: str | bytes, says: str) -> None:
    data = tmp_path / name
    data.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=says) as raised:
        score(Request(data, tmp_path / f"out{data.suffix}", "en"), predictor, model)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bad_names_are_one_line(tmp_path: Path, model: Path, predictor: OnnxPredictor) -> None:
    data = write(tmp_path / "in.parquet", [{"words": "a"}])
    for out, says in ((tmp_path / "out.jsonl", "--out: expected a name that ends in .parquet"),
                      (data, "expected a file other than that of --data, found the same"),
                      (tmp_path / "out.parquet", "expected a column 'text', found words; name ")):
        with pytest.raises(DataError, match=says):
            score(Request(data, out), predictor, model)
    with pytest.raises(DataError, match=r"none\.jsonl: expected a file, found none"):
        score(Request(tmp_path / "none.jsonl", tmp_path / "out.jsonl"), predictor, model)


def test_columns_of_parquet_keep_their_types(tmp_path: Path, model: Path,
                                             predictor: OnnxPredictor) -> None:
    own = pa.table({"text": pa.array(["a", "b"]).dictionary_encode(),
                    "at": pa.array([1, 2], pa.timestamp("ns", "UTC"))})
    parquet.write_table(own, tmp_path / "in.parquet")
    score(Request(tmp_path / "in.parquet", tmp_path / "out.parquet", "en"), predictor, model)
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.select(["text", "at"]).equals(parquet.read_table(tmp_path / "in.parquet"))
    assert written.schema.field("probabilities").type == pa.struct(
        [(label, pa.float64()) for label in LABELS])
