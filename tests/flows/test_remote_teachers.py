"""Several machines: who is asked, what travels by git and DVC, and two workers of which one is
killed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from support.pipeline import SMALL, Pipeline
from support.prefect import ask, free_port, tiny
from support.project import ROOT

from amtss.errors import AmtssError
from flows import pipeline, workspace
from flows.project import remote

NAMES = ["en", "more", "last"]
STAND_IN = """
# Stands for `amtss` up to the scores: a teacher tells who teaches it, and waits to be let go.
import json, os, pathlib, sys, time
stage, *rest = sys.argv[1:]
A, told = pathlib.Path("artifacts"), pathlib.Path(os.environ["TOLD"])
settings = pathlib.Path("params.yaml").read_text()
def write(path, what):
    (A / path).parent.mkdir(parents=True, exist_ok=True)
    (A / path).write_text(what if isinstance(what, str) else json.dumps(what))
if stage == "sources":
    write("sources.json", {"en": 1})
elif stage == "data":
    write(f"data/{rest[0]}/corpus.json", {"rows": {"train": 1}})
elif stage == "validate":
    write(f"validation/{rest[0]}/validation.md", "fine")
elif stage == "gate":
    write("gate/summary.md", "fine")
    write("gate.json", {what: {name: settings for name in NAMES} for what in ("teach", "score")})
else:
    with open(told / "log", "a") as log:
        log.write(f"{stage} {rest[0]} {pathlib.Path.cwd().parents[3].name} {os.getpid()}\\n")
    while stage == "teach" and not (told / rest[0]).exists():
        time.sleep(0.1)
    write(f"{dict(teach='teachers', score='logits')[stage]}/{rest[0]}/x", stage)
""".replace("NAMES", str(NAMES))
TRIAL = """
from pathlib import Path
from prefect import flow
from flows import pipeline, tasks, workspace

@flow(name="trial")
def trial(epochs: int):
    with workspace.taken(Path(), "demo") as work:
        work.configure("demo", {"teaching.epochs": epochs})
        pipeline.meet(work)
        tasks.reproduce(work, "gate")
        pipeline.send(work)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A project with three teachers, `amtss` replaced, and a DVC remote by a relative path."""
    params = tiny()
    params["teachers"] |= {"last": {"languages": ["en"], "architecture": SMALL}}
    made = Pipeline(tmp_path / "project", params)
    shutil.copytree(ROOT / "flows", made.root / "flows",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.toml", made.root)
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    declared["deployments"] = [each for each in declared["deployments"] if each["name"] == "remote"]
    declared["deployments"].append({"name": "here", "entrypoint": "flows/trial.py:trial",
                                    "work_pool": {"name": "local"}})
    for name, text in {"params/demo.yaml": yaml.safe_dump(params, sort_keys=False),
                       "prefect.yaml": yaml.safe_dump(declared), "stand_in.py": STAND_IN,
                       "flows/trial.py": TRIAL,
                       "dvc.yaml": (ROOT / "dvc.yaml").read_text().replace(
                           "cmd: amtss", f"cmd: {sys.executable} -SE stand_in.py")}.items():
        (made.root / name).parent.mkdir(exist_ok=True)
        (made.root / name).write_text(text)
    made.run("dvc", "remote", "add", "--quiet", "--default", "shared", "../remote")
    made.commit()
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "told").mkdir()
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return made


class TestMeeting:
    def test_a_project_without_a_remote_is_one_line(self, project: Pipeline) -> None:
        project.run("dvc", "remote", "remove", "shared")
        with pytest.raises(AmtssError, match=r"a DVC remote .*, found none; run `dvc remote add"):
            remote(project.root)

    def test_a_relative_remote_is_found_from_a_workspace(self, project: Pipeline) -> None:
        with workspace.taken(Path(), "demo") as work:
            work.connect()
            assert remote(work.root) == ("shared", str(project.root.parent / "remote"))

    def test_git_brings_what_is_to_be_run_and_keeps_nothing(self, project: Pipeline) -> None:
        origin = project.root.parent / "origin.git"
        project.run("git", "clone", "--quiet", "--bare", ".", str(origin))
        project.run("git", "remote", "add", "origin", str(origin))
        clone = project.root.parent / "clone"
        project.run("git", "clone", "--quiet", str(origin), str(clone))
        with workspace.taken(Path(), "demo") as here, workspace.taken(clone, "teacher") as there:
            here.configure("demo", {"distil.max_epochs": 7})
            (here.root / "dvc.lock").write_text("schema: '2.0'\n")
            with here.sent() as reference:
                there.receive(reference)
            assert there.params.distil.max_epochs == 7
            assert (there.root / "dvc.lock").is_file()
            assert here.run("git", "log", "--format=%s") == ["state", "state"]
        assert "amtss" not in project.run("git", "ls-remote", "origin")

    def test_workspaces_of_a_machine_have_a_share_each(self, project: Pipeline,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
        seen = []
        with (workspace.taken(Path(), "teacher") as one, workspace.taken(Path(), "teacher") as two,
              workspace.taken(Path(), "teacher") as three):
            for work in (one, two, three):
                work.share(2, alone=True)
                with work.slot() as share:
                    seen.append(share["CUDA_VISIBLE_DEVICES"])
        assert seen == ["4", "5", "4"]

    @pytest.mark.parametrize(("differences", "stale"), [
        ([], False), ([{"changed outs": {"artifacts/teachers/en": "deleted"}}], False),
        ([{"changed deps": {"artifacts/teachers/en": "deleted"}}], False),
        ([{"changed deps": {"artifacts/gate.json": {"teach.en": "modified"}}}], True),
        ([{"changed deps": {"amtss/teaching.py": "modified"}}], True),
        (["changed command"], True)], ids=str)
    def test_what_only_is_not_here_is_not_sent(self, differences: list[Any], stale: bool) -> None:
        assert pipeline.changed(differences) == stale


@pytest.fixture
def machines(project: Pipeline) -> Iterator[dict[str, Path]]:
    """A server, and a worker in each of two clones."""
    clones = {name: project.root.parent / name for name in ("one", "two")}
    for clone in clones.values():
        project.run("git", "clone", "--quiet", ".", str(clone))
    project.environment |= {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
                            "PREFECT_WORKER_HEARTBEAT_SECONDS": "4", "TOLD": os.environ["TOLD"]}
    folders = [*clones.values(), project.root]
    try:
        flows(project, "up", project.root)
        flows(project, "work", *clones.values())
        yield clones
    finally:
        flows(project, "down", *folders)


def flows(project: Pipeline, command: str, *folders: Path) -> None:
    """`python -m flows COMMAND` in folders, at once."""
    more = ["--at-once", "1"] if command == "work" else []
    running = [subprocess.Popen([sys.executable, "-m", "flows", command, *more], cwd=folder,
                                env=project.environment | {"PYTHONPATH": str(folder)})
               for folder in folders]
    assert [each.wait() for each in running] == [0] * len(folders)


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed(project: Pipeline, machines: dict[str, Path]) -> None:
    url, told = project.environment["PREFECT_API_URL"], Path(os.environ["TOLD"])
    (told / "log").touch()

    def log() -> list[list[str]]:
        return [line.split() for line in (told / "log").read_text().splitlines()]

    def start(epochs: int) -> str:
        number = next(each["id"] for each in ask(url, "deployments") if each["name"] == "here")
        made = httpx.post(f"{url}/deployments/{number}/create_flow_run",
                          json={"parameters": {"epochs": epochs}})
        return str(made.json()["id"])

    def states(*runs: str) -> set[str]:
        return {each["state"]["type"] for each in ask(url, "flow_runs") if each["id"] in runs}

    run = start(1)
    until(lambda: len({where for _, _, where, _ in log()}) == 2)  # each worker has one
    for name in NAMES[:2]:
        (told / name).touch()
    until(lambda: any(words[:2] == ["teach", "last"] for words in log()))
    lost = next(where for _, name, where, _ in log() if name == "last")
    worker = psutil.Process(int((machines[lost] / ".prefect/teachers.pid").read_text().split()[0]))
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    (told / "last").touch()
    until(lambda: not states(run) & {"SCHEDULED", "PENDING", "RUNNING"})
    assert states(run) == {"COMPLETED"}

    other = next(name for name in machines if name != lost)
    ran = [tuple(words[:2]) for words in log()]
    assert sorted(ran) == sorted([("teach", "last"), *(
        (stage, name) for stage in ("teach", "score") for name in NAMES)])
    assert [where for stage, name, where, _ in log() if name == "last"] == [lost, other, other]
    assert {where for _, _, where, _ in log()} == {lost, other}
    crashed = [each for each in ask(url, "flow_runs") if each["state"]["type"] == "CRASHED"]
    assert [(each["name"], each["state"]["message"]) for each in crashed] == [
        ("teacher last", "Its worker is lost.")]
    work = project.root / ".dvc/tmp/runs/demo-1"
    assert all((work / "artifacts/logits" / name / "x").is_file() for name in NAMES)

    # what is cancelled is cancelled everywhere
    before = len(log())
    for name in NAMES:
        (told / name).unlink()
    run = start(2)
    until(lambda: len(log()) > before)
    httpx.post(f"{url}/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}})
    until(lambda: not any(psutil.pid_exists(int(words[3])) for words in log()[before:]))
    children = {each["id"] for each in ask(url, "flow_runs") if each["name"].startswith("teacher")}
    until(lambda: states(run, *children) == {"COMPLETED", "CRASHED", "CANCELLED"})
    assert len(log()) == before + 1


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)
