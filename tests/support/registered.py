"""Evaluated students and a model registry, real and made once, for the tests of a model's life."""

import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from amtss.config.schema import Params
from amtss.evaluation import evaluate
from amtss.files import seal, write_json
from amtss.paths import Layout
from amtss.registry import register as registration
from amtss.registry import store, versions
from amtss.registry.versions import Version
from support.shared import once
from support.training import LABELS, LANGUAGES, Project, distilled


def _evaluated(root: Path) -> None:
    project = distilled(root)
    for code in LANGUAGES:
        write_json(project.layout.validation(code) / "validation.json", {
            "fingerprint": "", "errors": 0, "warnings": 0})
    evaluate.evaluate(project.params, project.layout)


def evaluated(root: Path, **changed: Any) -> Project:
    """A copy in `root` of a project whose student is ready to be registered."""
    shutil.copytree(once("evaluated", _evaluated), root, dirs_exist_ok=True)
    return Project(root, **changed)


def register(project: Project) -> tuple[Version, bool]:
    return registration.register(project.params, project.layout)


@cache
def database() -> str:
    """A MLflow store's URI. Making one takes seconds: tests share it, each with a project's name.
    """
    root = Path(tempfile.mkdtemp(prefix="amtss-tests-"))
    project = Project(root)
    store.connect(project.params, Layout(root))
    return store.uri(Layout(root))


def unregistered(root: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Project:
    """An evaluated student, and a registry that holds nothing of it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database())
    return evaluated(root, project=f"p-{uuid.uuid4().hex}", **changed)


def retrained(project: Project, add: float = 0.1) -> Project:
    """The same with another student, evaluated."""
    path = project.layout.student / "model.safetensors"
    weights = load_file(path)
    weights["heads.en.out_proj.bias"][0] += add
    save_file(weights, path, metadata={"format": "pt"})
    seal(project.layout.student)
    evaluate.evaluate(project.params, project.layout)
    return project


def place(project: Project, number: int = 1) -> Path:
    """The folder that holds a version."""
    client = store.connect(project.params, project.layout)
    found = client.get_model_version_download_uri(versions.name(project.params), str(number))
    return Path(found.removeprefix("file://"))


def settings(project: str = "pure", **promotion: Any) -> Params:
    """Of two languages and one teacher."""
    return Params.model_validate({
        "project": project, "languages": ("en", "fr"), "promotion": promotion,
        "distil": {"top_k": 1}, "teachers": {"multilingual": {"languages": ("all",)}}})


def version(number: int, *, errors: int = 0, labels: tuple[str, ...] = LABELS, test: str = "same",
            floor: dict[str, float] | None = None, majority: dict[str, float] | None = None,
            **accuracy: float) -> Version:
    """One with these figures, of no student; without a `floor` it is one level with them."""
    return Version(
        number=number, fingerprint=f"{number:016x}", parent=None, languages=tuple(accuracy),
        labels=labels, accuracy=accuracy, test=dict.fromkeys(accuracy, test),
        errors=dict.fromkeys(accuracy, errors), commit="", lock="", floor=floor or accuracy,
        majority=majority or {})
