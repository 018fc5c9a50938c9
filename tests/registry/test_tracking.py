"""What the stages tell MLflow, and that they go on where it does not answer."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
from support.project import Project, inside, run, unfolded
from support.training import scored, stopping_after

from amtss.config.params import load_params
from amtss.distillation import algorithm1
from amtss.paths import Layout
from amtss.registry import tracking

pytestmark = pytest.mark.slow
LOGGED = ("teach en", "distil", "baseline", "evaluate", "report")


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])


def runs(project: str) -> list[Any]:
    """The project's runs, the newest first."""
    experiment = client().get_experiment_by_name(f"amtss-{project}")
    return list(client().search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def tracked(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of its own name in git, all of whose logged stages have run once."""
    made = Project(tmp_path_factory.mktemp("tracked") / "project")
    shutil.copytree(finished.root, made.root)
    # a worker that is given tests of this module twice makes it twice
    made.params(lambda values: values.update(project=made.root.parent.name))
    made.write("dvc.lock", "schema: '2.0'\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "params.yaml"), (*identity, "commit", "-qm", "one")):
        subprocess.run(["git", *command], cwd=made.root, check=True)
    with inside(made.root):
        for stage in LOGGED:
            assert run(*stage.split()) == 0, stage
    return made


@pytest.fixture(scope="module")
def by_name(tracked: Project) -> dict[str, Any]:
    """Name -> run."""
    return {each.info.run_name: each for each in runs(tracked.root.parent.name)}


class TestTold:
    def test_a_run_per_stage(self, tracked: Project, by_name: dict[str, Any]) -> None:
        assert set(by_name) == {"teach@en", "distil", "baseline", "evaluate", "report"}
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tracked.root, check=True,
                              capture_output=True, text=True).stdout.strip()
        for name, each in by_name.items():
            assert each.info.status == "FINISHED"
            assert each.data.tags["stage"] == name
            assert each.data.tags["mlflow.source.git.commit"] == head
            assert each.data.tags["dvc.lock"] == hashlib.sha256(b"schema: '2.0'\n").hexdigest()

    def test_params(self, by_name: dict[str, Any]) -> None:
        teacher, student = by_name["teach@en"].data.params, by_name["distil"].data.params
        assert teacher["teachers.en.architecture.width"] == "16"
        assert teacher["teachers.en.training.batch_size"] == "4"  # as in `teaching`
        assert student["languages"] == "['en', 'fr']"
        assert student["distil.top_k"] == "1"
        assert student["student.architecture.layers"] == "1"
        assert not any(key.startswith("teach") for key in student)
        assert by_name["evaluate"].data.params["evaluation.bootstrap"] == "100"

    def test_epochs(self, tracked: Project, by_name: dict[str, Any]) -> None:
        history = (tracked.root / "artifacts/training/distil/history.jsonl").read_text()
        row = json.loads(history.splitlines()[-1])
        metrics = by_name["distil"].data.metrics
        assert metrics["loss"] == row["loss"]
        for language in ("en", "fr"):
            assert metrics[f"accuracy.{language}"] == row["accuracy"][language]
            assert metrics[f"margin.{language}"] == row["margin"][language]
            weight = row["weights"]["multilingual"][language]
            assert metrics[f"weights.multilingual.{language}"] == weight
        assert "accuracy.fr" in by_name["baseline"].data.metrics
        assert {"accuracy", "loss"} <= set(by_name["teach@en"].data.metrics)

    def test_figures(self, tracked: Project, by_name: dict[str, Any]) -> None:
        measured = json.loads((tracked.root / "artifacts/metrics.json").read_text())
        metrics = by_name["evaluate"].data.metrics
        for model in ("student", "baseline", "floor"):
            for key in ("accuracy", "macro_f1", "ece"):
                for language in ("en", "fr", "average"):
                    assert (metrics[f"{model}.{key}.{language}"]
                            == measured[model][key][language])
        assert by_name["evaluate"].data.tags["student"] == measured["measured"]["student"]

    def test_data_sets(self, tracked: Project, by_name: dict[str, Any]) -> None:
        digests = {code: json.loads((tracked.root / f"artifacts/data/{code}/corpus.json")
                                    .read_text())["fingerprint"] for code in ("en", "fr")}
        both = sorted(digests.items())
        expected = {"teach@en": (both[:1], "train"), "distil": (both, "train"),
                    "baseline": (both, "train"), "evaluate": (both, "test"), "report": ([], "")}
        for name, (sets, context) in expected.items():
            inputs = by_name[name].inputs.dataset_inputs
            assert sorted((each.dataset.name, each.dataset.digest) for each in inputs) == sets
            assert all([(tag.key, tag.value) for tag in each.tags]
                       == [("mlflow.data.context", context)] for each in inputs)

    def test_the_report(self, by_name: dict[str, Any]) -> None:
        files = client().list_artifacts(by_name["report"].info.run_id, "report")
        assert {"report/report.html", "report/report.md"} <= {each.path for each in files}

    def test_epochs_from_before_a_kill(self, tmp_path: Path) -> None:
        project = scored(tmp_path / "project", project="resumed", distil={"max_epochs": 3})
        with stopping_after(2) as stop:
            algorithm1.distil(project.params, project.layout, stop)
        with inside(project.layout.root):
            assert run("distil") == 0
        done, = runs("resumed")
        losses = client().get_metric_history(done.info.run_id, "loss")
        history = project.history("distil")
        assert sorted((each.step, each.value) for each in losses) == [
            (row["epoch"], row["loss"]) for row in history]
        assert len(history) == 3


class TestEnds:
    @pytest.mark.parametrize(("error", "status"), [
        (ValueError("of the body"), "FAILED"), (KeyboardInterrupt("of the body"), "KILLED")])
    def test_with_the_body(self, ready: Project, error: BaseException, status: str) -> None:
        params, layout = load_params(Path("params.yaml")), Layout()
        with (pytest.raises(type(error), match="of the body") as caught,
              tracking.run(params, layout, "distil")):
            raise error
        assert caught.value is error
        assert runs("tiny")[0].info.status == status

    def test_a_mistake_is_still_one_line(self, ready: Project,
                                         capfd: pytest.CaptureFixture[str]) -> None:
        shutil.rmtree("artifacts/data/en")
        assert run("distil") == 1
        err = capfd.readouterr().err
        assert err.startswith("amtss: artifacts/data/en/corpus.json: expected a file")
        assert err.count("\n") == 1
        assert runs("tiny")[0].info.status == "FAILED"

    def test_a_failure_midway_ends_the_logging_and_not_the_stage(
            self, ready: Project, capfd: pytest.CaptureFixture[str]) -> None:
        with tracking.run(load_params(Path("params.yaml")), Layout(), "distil") as logged:
            client().delete_run(runs("tiny")[0].info.run_id)  # somebody does in MLflow's pages
            for epoch in (1, 2):
                logged.epoch({"epoch": epoch, "loss": 1.0})
        err = unfolded(capfd.readouterr().err)
        assert err.startswith("amtss: warning: distil continues without MLflow at sqlite:///")
        assert err.count("\n") == 1


class TestUnreachable:
    @pytest.mark.parametrize("server", ["closed", "silent"])
    def test_a_stage_goes_on(self, ready: Project, server: str, capfd: pytest.CaptureFixture[str],
                             request: pytest.FixtureRequest,
                             monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(server))
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        shutil.rmtree("artifacts/teachers/en")
        assert run("teach", "en") == 0
        assert (ready.root / "artifacts/teachers/en/teacher.json").is_file()
        out, err = capfd.readouterr()
        assert out.startswith("en epoch 1: accuracy ")
        assert err.startswith("amtss: warning: teach@en continues without MLflow at http://127.0.0.1")
        assert unfolded(err).count("\n") == 1

    def test_waits_are_bounded(self, ready: Project, silent: str) -> None:
        chosen = {name: value for name, value in os.environ.items()
                  if not name.startswith("MLFLOW_HTTP_REQUEST")}
        seconds = []
        for store in (chosen["MLFLOW_TRACKING_URI"], silent):
            started = time.perf_counter()
            done = ready.amtss("report", env=chosen | {"MLFLOW_TRACKING_URI": store})
            seconds.append(time.perf_counter() - started)
            assert done.status == 0
        assert seconds[1] - seconds[0] < 15


def test_a_killed_run_is_ended_by_the_next_stage(tracked: Project) -> None:
    params, layout = load_params(tracked.root / "params.yaml"), Layout(tracked.root)
    gone = subprocess.Popen(["true"])
    gone.wait()
    experiment = client().get_experiment_by_name(f"amtss-{params.project}").experiment_id
    own = tracking.process(layout)
    dead = {"process": str(gone.pid)}
    killed, other, alive = (client().create_run(experiment, tags=own | tags).info.run_id
                            for tags in (dead, dead | {"host": "elsewhere"}, {}))
    with tracking.run(params, layout, "report"):
        pass
    assert [client().get_run(run).info.status for run in (killed, other, alive)] == [
        "KILLED", "RUNNING", "RUNNING"]
    for made in (killed, other, alive):
        client().delete_run(made)
