"""Several machines: what is checked first, what travels by git and DVC, and two workers of which
one is killed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.pipeline import SMALL, Pipeline
from support.prefect import ask, free_port, post, string, tiny
from support.project import ROOT

from amtss.config import yaml
from amtss.errors import AmtssError
from flows import workspace
from flows.project import remote

pytestmark = pytest.mark.slow
NAMES = ["en", "more", "last"]
STAND_IN = """
# Stands for `amtss` up to the scores. A teacher logs which worker runs it and waits for a file.
import hashlib, json, os, pathlib, sys, time
stage, *rest = sys.argv[1:]
A, signals = pathlib.Path("artifacts"), pathlib.Path(os.environ["SIGNALS"])
settings = pathlib.Path("params.yaml").read_text()
def write(path, content):
    (A / path).parent.mkdir(parents=True, exist_ok=True)
    (A / path).write_text(content if isinstance(content, str) else json.dumps(content))
if stage == "settings":
    keys = ("languages", "data", "validation", "teachers", "teaching", "scoring", "onboarding")
    student = ("checkpoint", "teacher", "tokenizer", "revision", "max_length")
    write("settings.json", dict.fromkeys(keys, settings) | {
        "student": dict.fromkeys(student) | {"architecture": {"vocabulary": 300}}})
elif stage == "sources":
    write("sources.json", {"en": 1})
elif stage == "data":
    about = {"labels": None, "fingerprint": "", "rows": {"train": 1}}
    checksum = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    write(f"data/{rest[0]}/corpus.json", about | {"checksum": checksum})
elif stage == "validate":
    write(f"validation/{rest[0]}/validation.md", "fine")
elif stage == "gate":
    write("gate/summary.md", "fine")
    write("gate.json", {kind: {name: settings for name in NAMES} for kind in ("teach", "score")})
else:
    with open(signals / "log", "a") as log:
        log.write(f"{stage} {rest[0]} {pathlib.Path.cwd().parents[3].name} {os.getpid()}\\n")
    while stage == "teach" and not (signals / rest[0]).exists():
        time.sleep(0.1)
    write(f"{dict(teach='teachers', score='logits')[stage]}/{rest[0]}/x", stage)
""".replace("NAMES", str(NAMES))
TRIAL = """
from pathlib import Path
from prefect import flow
from flows import pipeline, tasks, workspace

@flow(name="trial")
def trial(epochs: int):
    with workspace.claimed(Path(), "demo") as work:
        work.configure("demo", {"teaching.epochs": epochs})
        pipeline.check_machines(work)
        tasks.reproduce(work, "gate")
        pipeline.teach_remotely(work)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A project with three teachers, `amtss` replaced, and a DVC remote by a relative path."""
    params = tiny()
    params["teachers"] |= {"last": {"languages": ["en"], "architecture": SMALL}}
    pipeline = Pipeline(tmp_path / "project", params)
    shutil.copytree(ROOT / "flows", pipeline.root / "flows",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.toml", pipeline.root)
    settings = yaml.load((ROOT / "prefect.yaml").read_text())
    settings["deployments"] = [entry for entry in settings["deployments"]
                               if entry["name"] == "remote"]
    settings["deployments"].append({"name": "here", "entrypoint": "flows/trial.py:trial",
                                    "work_pool": {"name": "local"}})
    for name, text in {"params/demo.yaml": yaml.dump(params),
                       "prefect.yaml": yaml.dump(settings), "stand_in.py": STAND_IN,
                       "flows/trial.py": TRIAL,
                       "dvc.yaml": (ROOT / "dvc.yaml").read_text().replace(
                           "cmd: amtss", f"cmd: {sys.executable} -SE stand_in.py")}.items():
        (pipeline.root / name).parent.mkdir(exist_ok=True)
        (pipeline.root / name).write_text(text)
    pipeline.run("dvc", "remote", "add", "--quiet", "--default", "shared", "../remote")
    pipeline.commit()
    monkeypatch.chdir(pipeline.root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "signals").mkdir()
    monkeypatch.setenv("SIGNALS", str(tmp_path / "signals"))
    return pipeline


class TestMachines:
    def test_a_project_without_a_remote_is_one_line(self, project: Pipeline) -> None:
        project.run("dvc", "remote", "remove", "shared")
        with pytest.raises(AmtssError, match=r"a DVC remote .*, found none; run `dvc remote add"):
            remote(project.root)

    def test_a_workspace_uses_the_projects_relative_remote(self, project: Pipeline) -> None:
        with workspace.claimed(Path(), "demo") as work:
            work.connect()
            assert remote(work.root) == ("shared", str(project.root.parent / "remote"))

    def test_settings_travel_by_git_and_leave_no_reference_behind(self, project: Pipeline) -> None:
        origin = project.root.parent / "origin.git"
        project.run("git", "clone", "--quiet", "--bare", ".", str(origin))
        project.run("git", "remote", "add", "origin", str(origin))
        clone = project.root.parent / "clone"
        project.run("git", "clone", "--quiet", str(origin), str(clone))
        with (workspace.claimed(Path(), "demo") as here,
              workspace.claimed(clone, "teacher") as there):
            here.configure("demo", {"distil.max_epochs": 7})
            (here.root / "dvc.lock").write_text("schema: '2.0'\n")
            with here.pushed() as reference:
                there.receive(reference)
            assert there.params.distil.max_epochs == 7
            assert (there.root / "dvc.lock").is_file()
            assert here.run("git", "log", "--format=%s") == ["state", "state"]
        assert "amtss" not in project.run("git", "ls-remote", "origin")

    def test_each_workspace_has_a_share_of_the_machine(self, project: Pipeline,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
        seen = []
        with (workspace.claimed(Path(), "teacher") as one,
              workspace.claimed(Path(), "teacher") as two,
              workspace.claimed(Path(), "teacher") as three):
            for work in (one, two, three):
                work.divide(2, one=True)
                with work.share() as share:
                    seen.append(share["CUDA_VISIBLE_DEVICES"])
        assert seen == ["4", "5", "4"]


@pytest.fixture
def machines(project: Pipeline) -> Iterator[dict[str, Path]]:
    """A server, and a worker in each of two clones."""
    clones = {name: project.root.parent / name for name in ("one", "two")}
    for clone in clones.values():
        project.run("git", "clone", "--quiet", ".", str(clone))
    project.environment |= {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
                            "PREFECT_WORKER_HEARTBEAT_SECONDS": "4",
                            "SIGNALS": os.environ["SIGNALS"]}
    folders = [*clones.values(), project.root]
    try:
        flows(project, "up", project.root)
        project.environment["PREFECT_API_AUTH_STRING"] = string(project.root)
        flows(project, "work", *clones.values())
        yield clones
    finally:
        flows(project, "down", *folders)


def flows(project: Pipeline, command: str, *folders: Path) -> None:
    """Run `python -m flows COMMAND` in all folders at once."""
    options = ["--at-once", "1"] if command == "work" else []
    running = [subprocess.Popen([sys.executable, "-m", "flows", command, *options], cwd=folder,
                                env=project.environment | {"PYTHONPATH": str(folder)})
               for folder in folders]
    assert [process.wait() for process in running] == [0] * len(folders)


def test_two_workers_one_of_which_is_killed(project: Pipeline, machines: dict[str, Path]) -> None:
    url, signals = project.environment["PREFECT_API_URL"], Path(os.environ["SIGNALS"])
    (signals / "log").touch()

    def log() -> list[list[str]]:
        return [line.split() for line in (signals / "log").read_text().splitlines()]

    def start(epochs: int) -> str:
        deployment = next(entry["id"] for entry in ask(project.root, url, "deployments")
                          if entry["name"] == "here")
        response = post(project.root, f"{url}/deployments/{deployment}/create_flow_run",
                        {"parameters": {"epochs": epochs}})
        return str(response.json()["id"])

    def states(*runs: str) -> set[str]:
        return {run["state"]["type"] for run in ask(project.root, url, "flow_runs")
                if run["id"] in runs}

    run = start(1)
    until(lambda: len({clone for _, _, clone, _ in log()}) == 2)  # each worker has a teacher
    for name in NAMES[:2]:
        (signals / name).touch()
    until(lambda: any(words[:2] == ["teach", "last"] for words in log()))
    lost = next(clone for _, name, clone, _ in log() if name == "last")
    worker = psutil.Process(int((machines[lost] / ".prefect/teachers.pid").read_text().split()[0]))
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    (signals / "last").touch()
    until(lambda: not states(run) & {"SCHEDULED", "PENDING", "RUNNING"})
    assert states(run) == {"COMPLETED"}

    other = next(name for name in machines if name != lost)
    ran = [tuple(words[:2]) for words in log()]
    assert sorted(ran) == sorted([("teach", "last"), *(
        (stage, name) for stage in ("teach", "score") for name in NAMES)])
    assert [clone for _, name, clone, _ in log() if name == "last"] == [lost, other, other]
    assert {clone for _, _, clone, _ in log()} == {lost, other}
    crashed = [entry for entry in ask(project.root, url, "flow_runs")
               if entry["state"]["type"] == "CRASHED"]
    assert [(entry["name"], entry["state"]["message"]) for entry in crashed] == [
        ("teacher last", "Its worker is lost.")]
    work = project.root / ".dvc/tmp/runs/demo-1"
    assert all((work / "artifacts/logits" / name / "x").is_file() for name in NAMES)

    # cancelling the run cancels its teachers on all machines
    before = len(log())
    for name in NAMES:
        (signals / name).unlink()
    run = start(2)
    until(lambda: len(log()) > before)
    post(project.root, f"{url}/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    until(lambda: not any(psutil.pid_exists(int(words[3])) for words in log()[before:]))
    children = {entry["id"] for entry in ask(project.root, url, "flow_runs")
                if entry["name"].startswith("teacher")}
    until(lambda: states(run, *children) == {"COMPLETED", "CRASHED", "CANCELLED"})
    assert len(log()) == before + 1


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)
