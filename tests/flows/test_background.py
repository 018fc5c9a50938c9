import os
import socket
from pathlib import Path

import pytest
from support.prefect import free_port

from amtss.errors import AmtssError
from flows import background, server


class TestServer:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".prefect"))

    def test_without_a_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(AmtssError, match=r"prefect.yaml: expected a file, found none; run in"):
            server.up()

    def test_a_taken_port(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(AmtssError, match=r"expected a free port, found .* taken; stop"):
                server._check_free("127.0.0.1", other.getsockname()[1])

    def test_a_server_elsewhere(self) -> None:
        with pytest.raises(AmtssError, match="expected an address of this machine, found host"):
            server._check_free("host", 4200)

    def test_without_a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with (temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
              pytest.raises(AmtssError, match="expected a Prefect server, found none; run `pyth")):
            server.run("distill/demo", [])

    def test_a_number_that_another_process_has_got(self, tmp_path: Path) -> None:
        (tmp_path / ".prefect").mkdir()
        (tmp_path / ".prefect" / "server.pid").write_text(f"{os.getpid()} 1.0")
        assert background.running("server") is None
