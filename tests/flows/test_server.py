"""Flows against a real Prefect server: whatever is missing is reported in one line, and a registry
that does not answer for some seconds stops no run."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness
from support.metrics import metrics
from support.prefect import free_port, tiny

from amtss.config import yaml
from amtss.errors import AmtssError
from amtss.files import write_json
from flows import remote_teachers, tasks
from flows import server as prefect_server
from flows.distill import distill
from flows.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A real one that asks for a string, with neither deployments nor workers."""
    with (temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "of:server",
                              PREFECT_API_AUTH_STRING: "of:server"}), prefect_test_harness()):
        yield


@pytest.mark.usefixtures("server")
def test_a_wrong_or_missing_string_is_one_line(tmp_path: Path) -> None:
    wrong = temporary_settings({PREFECT_API_AUTH_STRING: "of:another"})
    missing = temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults={
        PREFECT_API_AUTH_STRING, PREFECT_SERVER_API_AUTH_STRING})
    for settings, found in ((wrong, "another"), (missing, "none")):
        with settings, pytest.raises(AmtssError, match=(
                rf"the string that this server asks for, found {found}; run `export "
                r"PREFECT_API_AUTH_STRING=\$\(cat /.*/auth_string\)` with that file")):
            prefect_server.run("distill/demo", [])
    prefect_server._check_closed()


def test_a_server_that_asks_for_nothing_is_one_line() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Open) as open_server:
        threading.Thread(target=open_server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{open_server.server_port}/api"
        with (temporary_settings({PREFECT_API_URL: address}),
              pytest.raises(AmtssError, match=r"found one that asks for none; run `python -m f")):
            prefect_server._check_closed()
        open_server.shutdown()


class Open(BaseHTTPRequestHandler):
    """A server that answers whoever asks."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("server")
def test_a_missing_deployment_or_worker_is_one_line() -> None:
    with pytest.raises(AmtssError, match="expected one of none, found 'distill/demo'; name one"):
        prefect_server.run("distill/demo", [])
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(distill), "demo")
    with pytest.raises(AmtssError, match="expected one of distill/demo, found 'distill/deom'"):
        prefect_server.run("distill/deom", [])
    with pytest.raises(AmtssError, match="work pool local: expected a worker, found none; run"):
        prefect_server.run("distill/demo", [])
    with pytest.raises(AmtssError, match="work pool machines: expected a worker, found none; run"):
        remote_teachers.check_worker()


def test_a_worker_without_a_server_or_without_places(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["init", "--quiet", "--no-scm"],
                  ["remote", "add", "--quiet", "--default", "shared", "s3://there"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)
    with (temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
          pytest.raises(AmtssError, match="expected a Prefect server, found none; run `python")):
        prefect_server.work(None)
    with pytest.raises(AmtssError, match="--at-once: expected 1 or more, found 0"):
        prefect_server.work(0)


class TestStarting:
    def test_without_a_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(AmtssError, match=r"prefect.yaml: expected a file, found none; run in"):
            prefect_server.up()

    def test_a_taken_port(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(AmtssError, match=r"expected a free port, found .* taken; stop"):
                prefect_server._check_free("127.0.0.1", other.getsockname()[1])

    def test_an_address_of_another_machine(self) -> None:
        with pytest.raises(AmtssError, match="expected an address of this machine, found host"):
            prefect_server._check_free("host", 4200)

    def test_a_run_without_a_server(self) -> None:
        with (temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
              pytest.raises(AmtssError, match="expected a Prefect server, found none; run `pyth")):
            prefect_server.run("distill/demo", [])


def test_up_where_the_port_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prefect.yaml").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
              pytest.raises(AmtssError, match=f"expected a free port, found {port} taken; stop")):
            prefect_server.up()


class Registry(BaseHTTPRequestHandler):
    """An MLflow server without any model; its first `failures` answers are status 503."""

    failures = 2

    def do_GET(self) -> None:
        Registry.failures -= 1
        self.send_response(200 if Registry.failures < 0 else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"experiment": {
            "experiment_id": "1", "name": "amtss-demo", "lifecycle_stage": "active"}}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("server")
def test_a_task_is_retried_until_the_registry_answers(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(yaml.dump(tiny()))
    (tmp_path / "artifacts").mkdir()
    write_json(tmp_path / "artifacts" / "metrics.json", metrics(("en",)))
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    work = Workspace(tmp_path, tmp_path, os.open(tmp_path / "lock", os.O_CREAT))
    compare = tasks.compare.with_options(retry_delay_seconds=3.0)

    @flow
    def trial() -> int:
        state = compare(work, return_state=True)
        assert state.is_completed()
        with get_client(sync_client=True) as client:
            return int(client.read_task_run(state.state_details.task_run_id).run_count)

    def serve() -> None:
        ThreadingHTTPServer(("127.0.0.1", port), Registry).serve_forever()

    timer = threading.Timer(2.0, serve)
    timer.daemon = True
    timer.start()
    assert trial() > 1
