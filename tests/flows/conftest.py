"""A project with flows, committed."""

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
    """A project with flows and the preset `demo`, committed; its params.yaml says something else.
    """
    made = Pipeline(tmp_path / "project", tiny() | {"project": "mine"})
    shutil.copytree(ROOT / "flows", made.root / "flows",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, made.root)
    (made.root / "params").mkdir()
    (made.root / "params" / "demo.yaml").write_text(yaml.dump(tiny()))
    made.commit()
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return made
