"""A small, real project in a folder of its own, and the real command line."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, settings

from amtss.cli.main import main, quiet

# No test needs the network or the user's cache; libraries read these when they are imported.
_HOME = tempfile.TemporaryDirectory(prefix="amtss-tests-")
os.environ |= {"HF_HOME": _HOME.name, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
               "HF_HUB_DISABLE_PROGRESS_BARS": "1",
               "MLFLOW_TRACKING_URI": f"sqlite:///{_HOME.name}/mlflow.db"}
quiet()

# A busy machine is no failure.
settings.register_profile("amtss", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amtss")

SHARED = Path(__file__).parents[2] / "shared" / "data"
LABELS = ("pay", "ship", "chat")
WORDS = {"en": {"pay": "my card was refused for invoice", "ship": "where is parcel number",
                "chat": "hello there robot"},
         "fr": {"pay": "ma carte est refusée pour la facture", "ship": "où est le colis numéro",
                "chat": "bonjour cher robot"}}
ROWS = {"train": range(0, 8), "validation": range(8, 12), "test": range(12, 16)}
_ENCODER = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300}
PARAMS: dict[str, Any] = {
    "project": "tiny",
    "languages": ["en", "fr"],
    "data": {"source": "files", "path": "data", "files": "{language}/{split}.jsonl"},
    "teaching": {"epochs": 1, "batch_size": 8, "max_length": 16, "precision": "fp32"},
    "teachers": {"en": {"languages": ["en"], "architecture": _ENCODER},
                 "multilingual": {"languages": ["all"], "architecture": _ENCODER}},
    "scoring": {"precision": "fp32"},
    "student": {"architecture": _ENCODER, "max_length": 16},
    "distil": {"top_k": 1, "max_epochs": 1, "batch_size": 8, "precision": "fp32"},
    "evaluation": {"bootstrap": 100},
}
"""params.yaml of the tests' project: two languages, two teachers, models of a few kilobytes."""
Row = dict[str, Any]


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


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


class Project:
    """A folder with a params.yaml and two languages' texts; it is the working directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def params(self, edit: Callable[[dict[str, Any]], Any] | None = None) -> None:
        """Write params.yaml: `PARAMS` after `edit`."""
        values = json.loads(json.dumps(PARAMS))
        if edit:
            edit(values)
        self.write("params.yaml", yaml.safe_dump(values, sort_keys=False))

    def write(self, name: str, content: str | bytes) -> Path:
        """Write the file `name` of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, name: str, rows: Iterable[Row]) -> None:
        """Write `rows` as the JSONL file `name`."""
        self.write(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def texts(self) -> None:
        """Write data/en and data/fr."""
        for language in WORDS:
            for split in ROWS:
                self.rows(f"data/{language}/{split}.jsonl", examples(language, split))

    def amtss(self, *arguments: str, stdin: bytes = b"", **more: Any) -> Outcome:
        """Run the command line as a process of its own."""
        done = subprocess.run([sys.executable, "-m", "amtss.cli", *arguments], cwd=self.root,
                              input=stdin, capture_output=True, check=False, **more)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def snapshot(self) -> dict[str, bytes | None]:
        """Every file and folder below the project's, with its bytes."""
        return {str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None
                for path in sorted(self.root.rglob("*"))}


def examples(language: str, split: str) -> list[Row]:
    """Labelled rows of a split, no text twice."""
    return [{"id": f"{split}-{label}-{at}", "text": f"{WORDS[language][label]} {at}",
             "label": label} for at in ROWS[split] for label in LABELS]


def run(*arguments: str) -> int:
    """Run the command line in this process; its exit status."""
    before = sys.argv
    sys.argv = ["amtss", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = before
    return 0


STAGES = ("data en", "data fr", "validate en", "validate fr", "gate", "teach en",
          "teach multilingual", "score en", "score multilingual", "vocabulary", "distil",
          "baseline", "evaluate", "report")


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


@contextlib.contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: writing more fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in `folder`, then go back."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
