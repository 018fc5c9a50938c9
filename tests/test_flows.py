"""Flows: what may be asked for, where a run works, how its commands end, and one run of it all."""

import inspect
import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from test_pipeline import ROOT, SMALL, Pipeline, demo

from amtss.config.params import _tuples
from amtss.config.schema import Params
from amtss.errors import AmtssError, ParamsError, RegistryError
from flows import background, parameters, server, subprocesses, tasks, ui, workspace
from flows.distill import distill
from flows.onboard import onboard_language
from flows.subprocesses import CommandError, Commands, StoppedError
from flows.teacher import teacher

SHELL = ("sh", "-c")


def tiny() -> dict[str, Any]:
    """One language and two teachers."""
    params = demo("en", scores=None)
    params["teachers"] = {name: {"languages": ["en"], "architecture": SMALL}
                          for name in ("en", "more")}
    params["distil"]["top_k"] = 1
    return params | {"baseline": {"teacher": "en"}}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A project with flows and the preset `demo`, committed; its params.yaml says something else.
    """
    made = Pipeline(tmp_path / "project", tiny() | {"project": "mine"})
    shutil.copytree(ROOT / "flows", made.root / "flows",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, made.root)
    (made.root / "params").mkdir()
    (made.root / "params" / "demo.yaml").write_text(yaml.safe_dump(tiny(), sort_keys=False))
    made.commit()
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return made


def runner(folder: Path) -> Commands:
    with open(folder / "lock", "a") as lock:
        return Commands(folder, os.environ, os.dup(lock.fileno()))


class TestParameters:
    @pytest.mark.parametrize("key", ["nosuch.x", "distil.", "distil.top k", ""])
    def test_a_key_that_leads_nowhere_is_refused(self, key: str) -> None:
        with pytest.raises(ValidationError, match="match pattern"):
            TypeAdapter(parameters.Overrides).validate_python({key: 1})

    def test_a_preset_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(ValidationError, match=r"expected one of .*demo.*, found 'nosuch'"):
            TypeAdapter(parameters.Preset).validate_python("nosuch")

    @pytest.mark.parametrize("codes", [[], ["Korean"]], ids=str)
    def test_what_is_no_language_is_refused(self, codes: list[str]) -> None:
        with pytest.raises(ValidationError, match=r"at least 1 item|match pattern"):
            TypeAdapter(parameters.Languages).validate_python(codes)

    def test_the_server_is_told_as_much(self) -> None:
        schema = distill.parameters.model_dump()["properties"]
        assert schema["preset"]["enum"] == parameters.PRESETS
        assert schema["overrides"]["additionalProperties"] is False
        assert schema["concurrency"]["anyOf"][0]["minimum"] == 1


class TestDeployments:
    def test_are_of_flows_and_presets_that_are_there(self) -> None:
        flows = {"flows/distill.py:distill": distill,
                 "flows/onboard.py:onboard_language": onboard_language}
        declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
        assert [f"{each['entrypoint']} {each['name']}" for each in declared
                if each["entrypoint"] not in flows] == ["flows/teacher.py:teacher remote"]
        for each in (each for each in declared if each["entrypoint"] in flows):
            flows[each["entrypoint"]].validate_parameters(each["parameters"])
            assert (ROOT / "params" / f"{each['parameters']['preset']}.yaml").is_file()
            assert not any(schedule["active"] for schedule in each.get("schedules", []))

    def test_bodies_fit_a_screen(self) -> None:
        for each in (distill, onboard_language, teacher, tasks.pipeline, tasks.teach,
                     tasks.send):
            assert len(inspect.getsource(getattr(each, "fn", each)).splitlines()) <= 30


class TestCommands:
    def test_lines_come_as_they_are_written(self, tmp_path: Path) -> None:
        told: list[str] = []
        assert runner(tmp_path).run([*SHELL, "echo a; echo; echo b >&2"], told.append) == [
            "a", "", "b"]
        assert told == ["a", "b"]

    def test_a_failure_tells_its_last_lines(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"exit status 3\n11\n(.*\n)*30$") as caught:
            runner(tmp_path).run([*SHELL, "seq 30; exit 3"], print)
        assert not caught.value.passing

    @pytest.mark.parametrize(("line", "passing"), [
        ("amtss: MLFLOW_TRACKING_URI: expected MLflow to answer at http://h, found: no", True),
        ("requests.exceptions.ConnectionError: refused", True),
        ("ERROR: failed to run: amtss teach en, exited with -9", True),
        ("python -m dvc repro gate: exit status -15", True),
        ("found: Couldn't reach 'owner/name' on the Hub (LocalEntryNotFoundError)", True),
        ("ERROR: failed to run: amtss teach en, exited with 1", False),
        ("such as 'it timed out'\nERROR: failed to run: amtss validate en, exited with 1", False),
        ("such as 'it timed out'\nERROR: failed to run: amtss validate en, exited with -9", True),
        ("amtss: version 2 does not pass the gate", False),
        ("amtss: params.yaml: distil.top_k: expected a valid integer, found 'x'", False)])
    def test_only_what_may_pass_is_tried_again(self, line: str, passing: bool) -> None:
        assert CommandError(line).passing == passing

    def test_stopping_ends_whole_groups_and_what_would_begin(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import threading

        monkeypatch.setattr(subprocesses, "PATIENCE", 1.0)
        made, ended = runner(tmp_path), []

        def run() -> None:
            with pytest.raises(StoppedError, match="stopped"):
                made.run([*SHELL, "trap '' INT; sleep 60 & echo $! > pid; wait; wait"], print)
            ended.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.02)
        grandchild = psutil.Process(int((tmp_path / "pid").read_text()))
        made.stop()
        thread.join(timeout=10)
        assert ended
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
        with pytest.raises(StoppedError, match="before it began"):
            made.run(["true"], print)


class TestWorkspace:
    def test_a_machine_is_shared_out(self) -> None:
        assert workspace.places(None, 4, []) == [{"OMP_THREAD_LIMIT": "1"}] * 5
        assert workspace.places(2, 5, []) == [{"OMP_THREAD_LIMIT": "2"}] * 2
        assert workspace.places(8, 4, [])[0] == {"OMP_THREAD_LIMIT": "1"}
        gpus = workspace.places(None, 16, ["0", "3"])
        assert [each["CUDA_VISIBLE_DEVICES"] for each in gpus] == ["0", "3"]

    def test_two_runs_have_one_each_and_the_project_is_left_alone(
            self, pipeline: Pipeline) -> None:
        before = pipeline.run("git", "status", "--porcelain")
        with (workspace.taken(Path(), "demo") as one, workspace.taken(Path(), "demo") as two):
            assert one.root != two.root
            params = one.configure("demo", {"distil.max_epochs": 7})
            assert (params.project, params.distil.max_epochs) == ("demo", 7)
            assert one.run(sys.executable, "-c", "import amtss; print(amtss.__file__)") == [
                str(one.root / "amtss" / "__init__.py")]
            cache = one.run(sys.executable, "-m", "dvc", "cache", "dir")
            assert cache == [str(pipeline.root / ".dvc" / "cache")]
            first = one.root
        assert pipeline.run("git", "status", "--porcelain") == before
        (first / "artifacts").mkdir()
        with workspace.taken(Path(), "demo") as again:  # and it goes on where that one was
            assert again.root == first
            assert (first / "artifacts").is_dir()
            assert yaml.safe_load((first / "params.yaml").read_text())["project"] == "mine"

    def test_relative_paths_lead_where_they_led(self, pipeline: Pipeline, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        with workspace.taken(Path(), "demo") as work:
            params = work.configure("demo", {
                "data.path": "../elsewhere", "teachers.en.checkpoint": "../elsewhere",
                "student.tokenizer": "hub/id"})
        assert params.data.path == params.teachers["en"].checkpoint == str(tmp_path / "elsewhere")
        assert params.student.tokenizer == "hub/id"

    def test_what_is_no_setting_is_one_line(self, pipeline: Pipeline) -> None:
        with workspace.taken(Path(), "demo") as work:
            with pytest.raises(ParamsError, match=r"distil.top_k: expected a valid integer"):
                work.configure("demo", {"distil.top_k": "x"})
            with pytest.raises(ParamsError, match="committed file of params/, found 'nosuch'"):
                work.configure("nosuch", {})

    def test_results_come_back_as_a_branch_once(self, pipeline: Pipeline) -> None:
        with workspace.taken(Path(), "demo") as work:
            work.configure("demo", {})
            (work.root / "dvc.lock").write_text("schema: '2.0'\n")
            branch = work.publish("Distil demo")
            assert branch.startswith("runs/demo-")
            assert work.publish("Distil demo") == branch
            head = work.run("git", "rev-parse", "HEAD")
        assert pipeline.run("git", "rev-parse", branch).split() == head
        assert pipeline.run("git", "diff", "--name-only", "HEAD", branch).split() == [
            "dvc.lock", "params.yaml"]
        pipeline.run("git", "merge", "--quiet", branch)
        assert "project: demo" in (pipeline.root / "params.yaml").read_text()

    def test_a_folder_that_is_no_project_is_one_line(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with (pytest.raises(AmtssError, match="a DVC project with a commit in git, found"),
              workspace.taken(tmp_path, "demo")):
            pass

    @pytest.mark.parametrize(("uri", "expected"), [
        ("sqlite:///mlflow.db", "sqlite:///{project}/mlflow.db"),
        ("sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db"),
        ("http://host:5000", "http://host:5000")])
    def test_mlflow_is_the_projects(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                    uri: str, expected: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert workspace.store(tmp_path) == expected.format(project=tmp_path)


class TestStages:
    def test_trainings_have_epochs(self) -> None:
        params = Params.model_validate(_tuples(tiny()))
        assert [tasks.longest(params, target) for target in (
            "teach@en", "score@en", "distil", "baseline", "evaluate")] == [1, 0, 2, 2, 0]

    def test_the_registered_version_is_found(self) -> None:
        assert tasks.registered(["2026 Creating", "amtss-demo version 12, registered before: 2 "
                                 "points; now champion"]) == "12"

    @pytest.mark.parametrize(("error", "again"), [
        (CommandError("exited with -9"), True), (CommandError("exited with 1"), False),
        (RegistryError("MLFLOW_TRACKING_URI: expected MLflow to answer at h, found: no"), True),
        (ParamsError("Connection refused"), False), (StoppedError("stopped"), False)], ids=str)
    def test_tries_again_where_that_may_help(self, error: Exception, again: bool) -> None:
        from prefect.states import Failed

        assert tasks.may_help(None, None, Failed(data=error)) == again


class TestArtifacts:
    def test_a_newcomer_has_no_champion(self) -> None:
        metrics = {"student": {"accuracy": {"en": 80.0, "ko": 70.0}},
                   "baseline": {"accuracy": {"en": 78.123, "ko": 60.0}},
                   "teachers": {"t": {"accuracy": {"en": 81.0, "ko": 71.0}}},
                   "best_teacher": {"en": "t", "ko": "t"}}
        made = ui.rows(("en", "ko"), metrics, {"en": 79.0})
        assert [row["champion"] for row in made] == ["79.00", "", ""]
        assert made[0] == {"language": "en", "student": "80.00", "X-LM-Tiny": "78.12",
                           "best teacher": "81.00", "its name": "t", "champion": "79.00"}
        assert made[-1]["student"] == "75.00"

    def test_keys_are_what_prefect_takes(self) -> None:
        assert ui.key("teach@zh_Hant") == "teach-zh-hant"


class TestLocal:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".prefect"))

    def test_without_a_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(AmtssError, match=r"prefect.yaml: expected a file, found none; run in"):
            server.up()

    def test_a_taken_port(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(AmtssError, match=r"expected a free port, found .* taken; stop"):
                server._check_free("127.0.0.1", other.getsockname()[1])

    def test_a_server_elsewhere(self) -> None:
        with pytest.raises(AmtssError, match="expected an address of this machine, found host"):
            server._check_free("host", 4200)

    def test_without_a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with (temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
              pytest.raises(AmtssError, match="expected a Prefect server, found none; run `pyth")):
            server.run("distill/demo", [])

    def test_a_number_that_another_process_has_got(self, tmp_path: Path) -> None:
        (tmp_path / ".prefect").mkdir()
        (tmp_path / ".prefect" / "server.pid").write_text(f"{os.getpid()} 1.0")
        assert background.running("server") is None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_deployment_runs_from_data_to_champion(pipeline: Pipeline) -> None:
    declared = pipeline.root / "prefect.yaml"
    read = yaml.safe_load(declared.read_text())
    read["deployments"] = [each for each in read["deployments"]
                           if each.get("parameters") == {"preset": "demo"}]
    declared.write_text(yaml.safe_dump(read))
    pipeline.commit()
    url = f"http://127.0.0.1:{free_port()}/api"
    pipeline.environment |= {"PREFECT_API_URL": url,
                             "MLFLOW_TRACKING_URI": f"sqlite:///{pipeline.root / 'mlflow.db'}"}
    before = (pipeline.root / "params.yaml").read_bytes()
    try:
        pipeline.run(sys.executable, "-m", "flows", "up")
        number = next(each["id"] for each in ask(url, "deployments") if each["name"] == "demo")
        refused = httpx.post(f"{url}/deployments/{number}/create_flow_run",
                             json={"parameters": {"preset": "nosuch"}})
        assert "'nosuch' is not one of" in refused.text
        pipeline.run(sys.executable, "-m", "flows", "run", "distill/demo")
        ended = ask(url, "flow_runs")
        assert [each["state"]["type"] for each in ended] == ["COMPLETED"]
        names = {each["name"] for each in ask(url, "task_runs")}
        assert names >= {"gate", "teach@en", "teach@more", "score@en", "score@more", "distil",
                         "baseline", "evaluate", "report", "register", "promote"}
        shown = {each["key"]: each["data"] for each in ask(url, "artifacts")}
        assert shown["teach-en"] == shown["distil"] == 100.0
        assert [row["language"] for row in json.loads(shown["accuracy"])] == ["en", "average"]
        assert "is champion now" in shown["outcome"]
    finally:
        pipeline.run(sys.executable, "-m", "flows", "down")
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(f"{url}/health")
    assert not (pipeline.root / ".prefect" / "worker.pid").exists()
    assert (pipeline.root / "params.yaml").read_bytes() == before
    assert pipeline.run("git", "status", "--porcelain") == ""
    branch = pipeline.run("git", "branch", "--list", "runs/*", "--format=%(refname:short)").strip()
    pipeline.run("git", "merge", "--quiet", branch)
    pipeline.run("dvc", "checkout")  # from the cache they share
    assert (pipeline.root / "artifacts" / "report" / "report.html").is_file()
    assert pipeline.repro() == []


def ask(url: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.post(f"{url}/{what}/filter", json={}).json()
    return found
