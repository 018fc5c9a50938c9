from pathlib import Path

import pytest

from flows import project


@pytest.mark.parametrize(("uri", "expected"), [
    ("sqlite:///mlflow.db", "sqlite:///{project}/mlflow.db"),
    ("sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db"),
    ("http://host:5000", "http://host:5000")])
def test_the_store_has_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        uri: str, expected: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert project.store(tmp_path) == expected.format(project=tmp_path)
