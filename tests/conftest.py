"""Fixtures for all tests: small real projects, and data sets of the authors' machines."""

import gc
import json
import os
import shutil
import tempfile
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.pipeline import Pipeline, demo
from support.project import SHARED, STAGES, Project, inside, run
from support.shared import once
from support.warm import programs

from amtss.cli.main import quiet

# No test uses the network or the user's cache. Libraries read these when they are imported.
_HOME = tempfile.TemporaryDirectory(prefix="amtss-tests-")
os.environ |= {"HF_HOME": _HOME.name, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
               "COLUMNS": "100",  # pytest's own processes believe in a terminal of 80
               "DVC_NO_ANALYTICS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
               "MLFLOW_TRACKING_URI": f"sqlite:///{_HOME.name}/mlflow.db"}
quiet()
gc.set_threshold(100_000, 10, 10)  # as in our commands

# A test must not fail because the machine is busy.
settings.register_profile("amtss", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amtss")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests for `--dist worksteal`, which gives each worker an equal run of them.

    Each run begins with slow tests, whose modules are dealt out in turns: no worker is left alone
    with slow tests at the end. The first worker has all that begin with `reproduced`: another one
    that began with them would wait until it is made. Who ends first takes of the others' fast ones.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = iter([item for item in items if item not in slow])
    sharing = {item.path for item in slow if "reproduced" in getattr(item, "fixturenames", ())}
    others = [path for path in dict.fromkeys(item.path for item in slow) if path not in sharing]
    runs: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for item in slow:
        turn = 0 if item.path in sharing else 1 + others.index(item.path) % max(workers - 1, 1)
        runs[turn % workers].append(item)
    ordered: list[pytest.Item] = []
    for number, run_of_slow in enumerate(runs, start=1):
        ordered += run_of_slow
        ordered += islice(fast, max(len(items) * number // workers - len(ordered), 0))
    items[:] = [*ordered, *fast]


def pytest_collection_finish() -> None:
    """Leave what is imported out of all later garbage collections."""
    gc.freeze()


@pytest.fixture(scope="session")
def finished() -> Project:
    """A project whose stages have all run. Do not change it; `ready` is a copy."""
    return Project(once("finished", _finish))


def _finish(root: Path) -> None:
    project = Project(root)
    project.params()
    project.texts()
    with inside(root):
        for stage in STAGES:
            assert run(*stage.split()) == 0, stage
    for docs in root.glob("artifacts/validation/*/docs"):
        shutil.rmtree(docs)


@pytest.fixture(scope="session")
def reproduced() -> Pipeline:
    """A DVC project of three languages where `dvc repro` has run, committed; tests work on copies.

    `repro.json` beside it names the stages that ran.
    """
    params = demo("en", "fr", "ko", scores=None)

    def reproduce(root: Path) -> None:
        pipeline = Pipeline(root, params, programs())
        ran = pipeline.repro()
        pipeline.commit()
        (root.parent / "repro.json").write_text(json.dumps(ran))

    return Pipeline(once("reproduced", reproduce), params, programs())


@pytest.fixture
def ready(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `finished` that a test may change, as working directory."""
    project = Project(tmp_path / "project")
    shutil.copytree(finished.root, project.root)
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose stages have not run yet, as working directory."""
    project = Project(tmp_path)
    project.params()
    project.texts()
    monkeypatch.chdir(tmp_path)
    return project


@pytest.fixture(scope="session")
def massive() -> Path:
    """MASSIVE in the hub's layout."""
    return _shared("massive")


@pytest.fixture(scope="session")
def xnli() -> Path:
    """XNLI in the hub's layout."""
    return _shared("xnli")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"needs {path}, which only the authors' machines have")
    return path
