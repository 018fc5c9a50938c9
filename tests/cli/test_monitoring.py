"""`amtss drift` as a user runs it."""

import os

import mlflow
import pytest
from support.project import Project, examples, run

pytestmark = pytest.mark.slow


def logs(project: Project, *codes: str) -> None:
    for code in codes:
        project.rows(f"logs/{code}.jsonl", [row | {"lang": code} for row in examples(code, "test")])


def test_no_drift(ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
    logs(ready, "en", "fr")
    assert run("drift", "--data", "logs/en.jsonl", "logs/fr.jsonl") == 0
    out, err = capfd.readouterr()
    assert "No drift in en, fr" in out
    assert f"Page: {ready.root}/artifacts/drift/drift.html" in out
    assert err == ""


def test_drift_has_an_exit_status_of_its_own(ready: Project, capfd: pytest.CaptureFixture[str]
                                             ) -> None:
    ready.params(lambda values: values.update(project="drifting"))
    ready.rows("log.jsonl", [{"text": "漢字 " + "bonjour " * 60}] * 100)
    assert run("drift", "--data", "log.jsonl", "--lang", "fr") == 3
    out, _ = capfd.readouterr()
    assert "Drift in fr: " in out
    assert "fr, unknown: from 25.0% to 100.0% of the texts; limit 5.0%" in out
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    logged, = client.search_runs([client.get_experiment_by_name("amtss-drifting").experiment_id])
    assert (logged.info.run_name, logged.info.status) == ("drift", "FINISHED")
    assert logged.data.metrics["unknown.fr"] == 0.75
    assert logged.data.metrics["passed.fr"] >= 2
    assert logged.data.params["drift.cut"] == "0.05"
    assert {file.path for file in client.list_artifacts(logged.info.run_id, "drift")} == {
        "drift/drift.html", "drift/drift.md", "drift/drift.json"}


@pytest.mark.parametrize(("arguments", "says"), [
    (["--data", "none.csv"], "none.csv: expected a file of logs, found none"),
    (["--data", "bad.csv"], "bad.csv: row 1: expected a language of en, fr, found ko"),
    (["--data", "bad.csv", "--model", "artifacts"], "artifacts: expected a student with"),
    (["--data", "bad.csv", "--model", "m", "--version", "1"], "--version: expected it without"),
    (["--data", "bad.csv", "--version", "7"], "expected version 7, found none")])
def test_mistakes_are_one_line_and_have_another(
        ready: Project, capfd: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    ready.write("bad.csv", "text,lang\nhi,ko\n")
    assert run("drift", *arguments) == 1
    out, err = capfd.readouterr()
    assert says in err
    assert (out, err.count("\n")) == ("", 1)
    assert not (ready.root / "artifacts/drift").exists()
