"""Evaluated students and a model registry, real and made once, for the tests of a model's life."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file
from training import LANGUAGES, Project, distilled

from amtss import evaluating, tracking
from amtss.layout import Layout, write_json


@cache
def _evaluated() -> Path:
    project = distilled(Path(tempfile.mkdtemp(prefix="amtss-tests-")) / "project")
    for code in LANGUAGES:
        write_json(project.layout.validation(code) / "validation.json", {"errors": 0})
    evaluating.evaluate(project.params, project.layout)
    return project.layout.root


def evaluated(root: Path, **changed: Any) -> Project:
    """A copy in `root` of a project whose student is ready to be registered."""
    shutil.copytree(_evaluated(), root, dirs_exist_ok=True)
    return Project(root, **changed)


@cache
def database() -> str:
    """A MLflow store's URI. Making one takes seconds: tests share it, each with a project's name.
    """
    root = Path(tempfile.mkdtemp(prefix="amtss-tests-"))
    project = Project(root)
    tracking.connect(project.params, Layout(root))
    return tracking.uri(Layout(root))


def retrained(project: Project, add: float = 0.1) -> Project:
    """The same with another student, evaluated."""
    path = project.layout.student / "model.safetensors"
    weights = load_file(path)
    weights["heads.en.out_proj.bias"][0] += add
    save_file(weights, path, metadata={"format": "pt"})
    evaluating.evaluate(project.params, project.layout)
    return project
