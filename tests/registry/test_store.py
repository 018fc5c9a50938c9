import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from support.project import Project

from amtss.config.params import load_params
from amtss.errors import RegistryError
from amtss.paths import Layout
from amtss.registry import store

pytestmark = pytest.mark.slow


class TestUnreachable:
    @pytest.mark.parametrize("server", ["closed", "silent"])
    def test_connect(self, ready: Project, server: str, request: pytest.FixtureRequest,
                     monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(server))
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with pytest.raises(RegistryError, match="expected MLflow to answer at http://127") as found:
            store.connect(load_params(Path("params.yaml")), Layout())
        assert "\n" not in str(found.value)
        assert "secret" not in str(found.value)

    @pytest.mark.parametrize(("uri", "why"), [
        ("sqlite:///params.yaml", "file is not a database"),
        ("sqlite:////proc/none/mlflow.db", r"/proc/none"),
        ("postgresql+nobody://u:secret@host/x", "nobody"), ("./mlruns", "filesystem"),
        ("nobody://host", "nobody")])
    def test_connect_to_what_is_no_store(self, ready: Project, uri: str, why: str,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(RegistryError, match=f"found: .*{why}") as found:
            store.connect(load_params(Path("params.yaml")), Layout())
        assert "\n" not in str(found.value)
        assert "secret" not in str(found.value)


class TestDefaultStore:
    def test_uri(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
        assert store.uri(Layout()) == "http://host:5000"
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert store.uri(Layout()) == f"sqlite:///{project.root.resolve()}/mlflow.db"

    def test_four_processes_at_once_on_a_fresh_one(self, tmp_path: Path) -> None:
        root = Project(tmp_path / "with a space")
        root.params()
        code = ("from pathlib import Path\n"
                "from amtss.cli.main import quiet\n"
                "from amtss.registry import tracking\n"
                "from amtss.paths import Layout\n"
                "from amtss.config.params import load_params\n"
                "quiet()\n"
                "with tracking.run(load_params(Path('params.yaml')), Layout(), 'report') as run:\n"
                "    run.artifacts(Path('params'))\n")
        root.write("params/tiny.yaml", "a file")
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("MLFLOW_")}
        started = [subprocess.Popen([sys.executable, "-c", code], cwd=root.root, env=environment,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for _ in range(4)]
        assert [process.communicate()[0] for process in started] == [""] * 4
        assert [process.returncode for process in started] == [0] * 4
        client = mlflow.MlflowClient(f"sqlite:///{root.root}/mlflow.db")
        experiment = client.get_experiment_by_name("amtss-tiny")
        done = client.search_runs([experiment.experiment_id])
        assert [each.info.status for each in done] == ["FINISHED"] * 4
        for each in done:
            kept = root.root / "mlartifacts" / each.info.run_id / "artifacts/params/tiny.yaml"
            assert kept.read_text() == "a file"
        assert not list(root.root.glob(".mlflow*"))


class TestReader:
    def test_creates_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        with pytest.raises(RegistryError, match=r"mlflow\.db: expected MLflow's database, found "
                           "none; set MLFLOW_TRACKING_URI, or work in the project's folder"):
            store.reader(Layout(tmp_path))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "public"), [
    ("http://user:secret@host:5000/x", "http://host:5000/x"),
    ("see postgresql+psycopg://u:p@h/d and http://a@b", "see postgresql+psycopg://h/d and http://b"),
    ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"), ("./mlruns", "./mlruns")])
def test_without_password(text: str, public: str) -> None:
    assert store.without_password(text) == public
