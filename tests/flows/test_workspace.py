import sys
from pathlib import Path

import pytest
from support.pipeline import Pipeline

from amtss.config import yaml
from amtss.errors import AmtssError, ParamsError
from flows import workspace

pytestmark = pytest.mark.slow


class TestWorkspace:
    def test_two_runs_have_a_workspace_each_and_leave_the_project_alone(
            self, pipeline: Pipeline) -> None:
        before = pipeline.run("git", "status", "--porcelain")
        with (workspace.claimed(Path(), "demo") as one, workspace.claimed(Path(), "demo") as two):
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
        with workspace.claimed(Path(), "demo") as again:  # the next run resumes there
            assert again.root == first
            assert (first / "artifacts").is_dir()
            assert yaml.load((first / "params.yaml").read_text())["project"] == "mine"

    def test_relative_paths_become_absolute(self, pipeline: Pipeline, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        with workspace.claimed(Path(), "demo") as work:
            params = work.configure("demo", {
                "data.path": "../elsewhere", "teachers.en.checkpoint": "../elsewhere",
                "student.tokenizer": "hub/id"})
        assert params.data.path == params.teachers["en"].checkpoint == str(tmp_path / "elsewhere")
        assert params.student.tokenizer == "hub/id"

    def test_ones_own_settings_find_data_that_are_not_committed(self, pipeline: Pipeline) -> None:
        (pipeline.root / "data/mine").mkdir()
        with workspace.claimed(Path(), workspace.OWN) as work:
            params = work.configure(workspace.OWN, {"data.path": "data/mine"})
        assert (params.project, params.data.path) == ("mine", str(pipeline.root / "data/mine"))

    def test_wrong_settings_are_refused_in_one_line(self, pipeline: Pipeline) -> None:
        with workspace.claimed(Path(), "demo") as work:
            with pytest.raises(ParamsError, match=r"distil.top_k: expected a valid integer"):
                work.configure("demo", {"distil.top_k": "x"})
            with pytest.raises(ParamsError, match="committed file of params/, found 'nosuch'"):
                work.configure("nosuch", {})

    def test_the_same_results_are_published_once(self, pipeline: Pipeline) -> None:
        with workspace.claimed(Path(), "demo") as work:
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

    def test_a_folder_without_a_project_is_refused_in_one_line(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with (pytest.raises(AmtssError, match="a DVC project with a commit in git, found"),
              workspace.claimed(tmp_path, "demo")):
            pass
