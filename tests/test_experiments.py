import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer

import psutil
import pytest
from support.pipeline import Pipeline
from support.project import ROOT, Project

from amtss import experiments
from amtss.config import yaml
from amtss.config.params import load_project
from amtss.errors import DataError


@pytest.fixture
def repository(project: Project) -> Project:
    """A project whose data nobody tracks."""
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    return project


def track(*names: str) -> None:
    subprocess.run(["git", "add", *names], check=True)


def test_data_that_copies_would_lack_are_refused(repository: Project) -> None:
    with pytest.raises(DataError, match=r"^data: expected data that git or DVC tracks, because "
                       r"experiments run in copies of the project, found data/en/test\.jsonl and 5 "
                       r"more untracked; `git add data`, or for large files `dvc add data && git "
                       r"add data\.dvc`$"):
        experiments.check_committed(*load_project())
    track("data/fr")
    with pytest.raises(DataError, match=r"^data/en: .* and 2 more untracked; `git add data/en`"):
        experiments.check_committed(*load_project())


def test_data_that_git_or_dvc_tracks_are_not(repository: Project) -> None:
    track("data/fr")
    repository.write("data/en.dvc", "outs: []\n")
    track("data/en.dvc")
    experiments.check_committed(*load_project())


def test_corrections_are_data_too(repository: Project) -> None:
    track("data")
    path = load_project()[1].corrections("fr")
    repository.write(str(path), "split,id,key,old,new\n")
    with pytest.raises(DataError, match=r"^corrections: .* corrections/fr\.csv untracked; `git "):
        experiments.check_committed(*load_project())


def test_data_elsewhere_are_there_for_copies_too(repository: Project) -> None:
    elsewhere = repository.root.parent / f"{repository.root.name}-elsewhere"
    Path("data").rename(elsewhere)
    repository.params(lambda params: params["data"].update(path=str(elsewhere)))
    experiments.check_committed(*load_project())


WAITING = """stages:
  evaluate:
    cmd:
      - echo ${distil.seed} >> FOLDER/begun
      - until test -e FOLDER/go; do sleep 0.1; done
      - mkdir -p artifacts && echo ${distil.seed} > artifacts/metrics.json
    params: [distil]
    metrics: [artifacts/metrics.json]
"""
"""A pipeline in one stage, which says that it has begun and waits until it may end."""


@pytest.mark.slow
@pytest.mark.parametrize(("worker", "runs"), [
    ("killed too", "112"), ("killed alone", "112"), ("goes on", "12")])
def test_what_a_killed_run_has_left_in_the_queue_is_run_once(
        worker: str, runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "project"
    pipeline = Pipeline(root, yaml.load((ROOT / "params/demo.yaml").read_text()))
    (root / "dvc.yaml").write_text(WAITING.replace("FOLDER", str(tmp_path)))
    pipeline.commit()
    pipeline.enter(monkeypatch)
    settings = {f"seed-{seed}": (f"distil.seed={seed}",) for seed in (1, 2)}
    begun = tmp_path / "begun"

    killed = subprocess.Popen([sys.executable, "-c",
                               f"from amtss import experiments; experiments.run({settings}, 1)"])
    while not begun.exists():
        assert killed.poll() is None
        time.sleep(0.1)
    started = psutil.Process(killed.pid).children()
    if worker == "killed alone":  # its experiment goes on
        own = next(root.glob(".dvc/tmp/exps/celery/dvc-exp-worker-*.pid"))
        started.append(psutil.Process(int(own.read_text())))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == killed.pid or process in started or (
                    worker == "killed too" and process.pid != os.getpid()
                    and Path(process.cwd()).is_relative_to(root)):
                process.kill()
    killed.wait()

    Timer(5, (tmp_path / "go").touch).start()
    experiments.run(settings, 1)
    assert experiments.finished() == set(settings)
    assert sorted(begun.read_text().split()) == [*runs]
