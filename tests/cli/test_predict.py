import json
import re
import shutil
from pathlib import Path

import pytest
from support.project import Project, run

from amtss.files import seal

pytestmark = pytest.mark.slow
WRITTEN = r"amtss: artifacts/{} answers, written on \d{{4}}-\d\d-\d\d at \d\d:\d\d\n"


def test_a_file_is_scored(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    ready.rows("logs.jsonl", [{"text": "hi", "lang": "en"}, {"text": "bonjour"}, {"id": 3}])
    asked = ["predict", "--lang", "fr", "--data", "logs.jsonl", "--out", "scored.jsonl"]
    assert run(*asked) == 1
    assert capfd.readouterr().err.splitlines()[1:] == [
        "amtss: logs.jsonl:3: expected a `text`, found keys id; add it"]
    assert run(*asked, "--keep-going") == 1
    assert capfd.readouterr().out == "scored.jsonl: 3 rows, 1 without an answer\n"
    rows = [json.loads(line) for line in (ready.root / "scored.jsonl").read_text().splitlines()]
    assert [row["label"] in ("pay", "ship", "chat") for row in rows] == [True, True, False]


@pytest.mark.parametrize(("arguments", "found"), [
    (["--data", "a.jsonl"], "--data alone"), (["--out", "a.jsonl"], "--out alone"),
    (["--data", "a.jsonl", "--out", "b.jsonl", "hello"], "texts as arguments too")])
def test_half_of_a_request_is_refused(project: Project, capfd: pytest.CaptureFixture[str],
                                      arguments: list[str], found: str) -> None:
    assert run("predict", *arguments) == 1
    assert capfd.readouterr().err == ("amtss: predict: expected --data with --out and no other "
                                      f"texts, found {found}; give both files alone\n")


def retrain(project: Project) -> None:
    """Another student in artifacts/student."""
    folder = project.root / "artifacts/student"
    config = json.loads((folder / "config.json").read_text())
    config["temperatures"] = {"en": 2.0}
    (folder / "config.json").write_text(json.dumps(config))
    seal(folder)


def test_the_default_is_named_on_stderr(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "--lang", "fr", "bonjour") == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["text"] == "bonjour"
    assert re.fullmatch(WRITTEN.format("student"), err)
    ready.rows("logs.jsonl", [{"text": "hi", "lang": "en"}])
    assert run("predict", "--data", "logs.jsonl", "--out", "scored.jsonl") == 0
    out, err = capfd.readouterr()
    assert out == "scored.jsonl: 1 rows\n"
    assert re.fullmatch(WRITTEN.format("student"), err)
    assert run("predict", "--model", "artifacts/student", "--lang", "fr", "bonjour") == 0
    assert capfd.readouterr().err == ""


def test_an_export_of_another_student_does_not_answer(
        ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["predict", "--runtime", "onnx", "--lang", "fr", "bonjour"]
    assert run("export", "--format", "onnx-int8") == 0
    capfd.readouterr()
    assert run(*asked) == 0
    assert re.fullmatch(WRITTEN.format("export/onnx"), capfd.readouterr().err)
    retrain(ready)
    stale = (r"amtss: artifacts/export/onnx: expected an export of the student in artifacts/student"
             r", \w{16}, found one of \w{16}, as after a retraining; run `amtss export --format "
             r"onnx-int8`, or add --model artifacts/export/onnx to use it all the same\n")
    for refused in (asked, ["serve-image"]):
        assert run(*refused) == 1
        out, err = capfd.readouterr()
        assert out == ""
        assert re.fullmatch(stale, err)
    for accepted in ([*asked, "--model", "artifacts/export/onnx"],
                     ["predict", "--model", "artifacts/export/onnx", "--lang", "fr", "bonjour"]):
        assert run(*accepted) == 0
        assert capfd.readouterr().err == ""
    shutil.rmtree(ready.root / "artifacts/student")  # a machine that only serves
    assert run(*asked) == 0


def test_a_registered_version_answers(ready: Project, capfd: pytest.CaptureFixture[str],
                                      tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.params(lambda values: values.update(project="asked"))
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
        assert run("predict", "--version", "champion", "hi") == 1
    assert capfd.readouterr().err == (
        "amtss: amtss-asked: expected version champion, found no versions; run `amtss register`\n")
    assert not (tmp_path / "none.db").exists()
    assert run("register") == 0
    ready.params(lambda values: values.update(project="asked", serving={"runtime": "onnx-int8"}))
    assert run("register") == 0
    capfd.readouterr()
    retrain(ready)
    asked = ["predict", "--lang", "fr", "bonjour", "--version"]
    said = {"1": "1 of amtss-asked answers, by its student",
            "challenger": "2 (challenger) of amtss-asked answers, by its ONNX export"}
    for reference, line in said.items():
        assert run(*asked, reference) == 0
        out, err = capfd.readouterr()
        assert json.loads(out)["text"] == "bonjour"
        assert err == f"amtss: version {line}\n"
    assert run(*asked, "2", "--runtime", "pytorch") == 0
    assert capfd.readouterr().err.endswith("answers, by its student\n")
    assert run(*asked, "1", "--runtime", "onnx") == 1
    assert "expected a version with an ONNX export, found the student alone; leave out --ru" in (
        capfd.readouterr().err)
    assert run(*asked, "champion") == 1
    assert "expected alias champion, found challenger (2); run `amtss promote`" in (
        capfd.readouterr().err)
    assert run(*asked, "2", "--model", "artifacts/student") == 1
    assert "--version: expected no --model with it, found one" in capfd.readouterr().err
    ready.rows("logs.jsonl", [{"text": "hi", "lang": "en"}])
    assert run("predict", "--version", "2", "--data", "logs.jsonl", "--out", "scored.jsonl") == 0
    assert capfd.readouterr().out == "scored.jsonl: 1 rows\n"
