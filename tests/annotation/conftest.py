"""A small project with teachers that have learnt their rows, and others that have not."""

import pytest
from support.training import Project


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """English and Russian have a cross-fitted linear teacher, French one that is not; Russian has
    logs. Do not change it."""
    project = Project(tmp_path_factory.mktemp("annotated"), teachers={
        "en": None, "fr": None, "ru": None,
        "lin": {"kind": "linear", "languages": ["en", "ru"], "cross_fit": 4},
        "fitted": {"kind": "linear", "languages": ["fr"], "cross_fit": 0}},
        distil={"teachers": ["lin", "fitted"]}).write()
    project.teach("lin", "fitted")
    project.score("lin", "fitted")
    return project
