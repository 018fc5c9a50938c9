"""A small, real project in a folder of its own, and the real command line."""

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

from amtss.cli.main import quiet
from amtss.files import alone

# No test needs the network or the user's cache; libraries read these when they are imported.
_HOME = tempfile.TemporaryDirectory(prefix="amtss-tests-")
os.environ |= {"HF_HOME": _HOME.name, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
               "HF_HUB_DISABLE_PROGRESS_BARS": "1",
               "MLFLOW_TRACKING_URI": f"sqlite:///{_HOME.name}/mlflow.db"}
quiet()

# A busy machine is no failure.
settings.register_profile("amtss", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amtss")

def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first in every worker's share of `--dist worksteal`, module by module in turns:
    so that no worker is left alone with them at the end.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = iter([item for item in items if item not in slow])
    modules = list(dict.fromkeys(item.path for item in slow))
    ends = [len(items) * at // workers for at in range(workers + 1)]
    made: list[pytest.Item] = []
    for worker, end in enumerate(ends[1:]):
        made += [item for item in slow if item.path in modules[worker::workers]]
        made += islice(fast, max(end - len(made), 0))
    items[:] = [*made, *fast]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project all of whose stages have run; not to be changed."""
    made = Project(tmp_path_factory.mktemp("finished"))
    made.params()
    made.texts()
    with inside(made.root):
        for stage in STAGES:
            assert run(*stage.split()) == 0, stage
    for docs in made.root.glob("artifacts/validation/*/docs"):
        shutil.rmtree(docs)
    return made


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A DVC project of three languages where `dvc repro` has run, committed; tests work on copies.

    Made once for all workers; `repro.json` beside it names the stages that ran.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    params = demo("en", "fr", "ko", scores=None)
    with alone(folder / "reproduced.lock"):
        if not (folder / "repro.json").exists():
            pipeline = Pipeline(folder / "reproduced", params)
            ran = pipeline.repro()
            pipeline.commit()
            (folder / "repro.json").write_text(json.dumps(ran))
    return Pipeline(folder / "reproduced", params)


@pytest.fixture
def ready(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `finished` to spoil; it is the working directory."""
    made = Project(tmp_path / "project")
    shutil.copytree(finished.root, made.root)
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose stages have not run yet."""
    made = Project(tmp_path)
    made.params()
    made.texts()
    monkeypatch.chdir(tmp_path)
    return made


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


