import os
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows import background, login


def test_another_process_with_the_same_number_is_not_ours(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".prefect"))
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "server.pid").write_text(f"{os.getpid()} 1.0")
    assert background.running("server") is None


def test_processes_get_the_string_of_a_server_here_alone(tmp_path: Path) -> None:
    here, there = "http://127.0.0.1:4200/api", "https://api.prefect.cloud/api/accounts/1"
    made = login.make(tmp_path, here)
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_API_URL: here}):
        assert background.environment()["PREFECT_API_AUTH_STRING"] == made
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_API_URL: there}):
        assert made not in background.environment().values()
