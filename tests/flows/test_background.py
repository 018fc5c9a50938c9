import os
from pathlib import Path

import pytest

from flows import background


def test_another_process_with_the_same_number_is_not_ours(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".prefect"))
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "server.pid").write_text(f"{os.getpid()} 1.0")
    assert background.running("server") is None
