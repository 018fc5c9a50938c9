"""A committed project with the flows and a preset."""

import os
import shutil
from pathlib import Path

import pytest
from support.pipeline import Pipeline
from support.prefect import tiny
from support.project import ROOT

from amtss.config import yaml


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The project, as working directory. Its params.yaml differs from the preset `demo`."""
    project = Pipeline(tmp_path / "project", tiny() | {"project": "mine"})
    shutil.copytree(ROOT / "flows", project.root / "flows",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, project.root)
    (project.root / "params").mkdir()
    (project.root / "params" / "demo.yaml").write_text(yaml.dump(tiny()))
    project.commit()
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return project
