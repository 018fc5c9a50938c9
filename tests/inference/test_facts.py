import shutil
from pathlib import Path

import pytest
from support.registered import evaluated
from support.training import Project

from amtss.files import seal
from amtss.inference import facts


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return evaluated(tmp_path)


def test_another_students_figures_are_not_told(project: Project) -> None:
    other = project.layout.root / "other"
    shutil.copytree(project.layout.student, other)
    assert facts.known(project.layout, other) is not None
    (other / "tokenizer_config.json").write_text("{}")
    seal(other)
    assert facts.known(project.layout, other) is None
    project.layout.metrics.unlink()
    assert facts.known(project.layout, project.layout.student) is None


def test_without_the_corpora(project: Project) -> None:
    shutil.rmtree(project.layout.artifacts / "data")
    found = facts.gather(project.params, project.layout, project.layout.student)
    assert [own["texts"] for own in found["languages"].values()] == [None] * 3


def test_folders_of_this_machine_are_not_told(project: Project) -> None:
    folder = project.layout.root / "secret" / "encoder"
    for teacher in project.settings["teachers"].values():
        teacher |= {"kind": "probe", "checkpoint": str(folder)}
        teacher.pop("architecture", None)
    project.settings["teachers"]["en"]["checkpoint"] = "intfloat/multilingual-e5-small"
    project.set()
    found = facts.gather(project.params, project.layout, project.layout.student)
    assert {name: teacher["checkpoint"] for name, teacher in found["teachers"].items()} == {
        "en": "intfloat/multilingual-e5-small", "fr": "encoder (a local folder)",
        "ru": "encoder (a local folder)", "multilingual": "encoder (a local folder)"}
