"""For tests of flows: a tiny project's settings, a free port, a server's objects."""

import socket
import time
from pathlib import Path
from typing import Any

import httpx

from support.pipeline import SMALL, demo


def tiny() -> dict[str, Any]:
    """A params.yaml of one language and two teachers."""
    params = demo("en", scores=None)
    params["teachers"] = {name: {"languages": ["en"], "architecture": SMALL}
                          for name in ("en", "more")}
    params["distil"]["top_k"] = 1
    return params | {"baseline": {"teacher": "en"}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def string(project: Path) -> str:
    """What the server of the project in this folder asks for."""
    return (project / ".prefect" / "auth_string").read_text().strip()


def post(project: Path, url: str, body: Any) -> httpx.Response:
    """A request to the server that `python -m flows up` started in the project.

    Like Prefect's own client, it asks again where the server's SQLite is locked for a moment.
    """
    user, _, password = string(project).partition(":")
    for _ in range(10):
        response = httpx.post(url, json=body, auth=(user, password), timeout=60)
        if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            break
        time.sleep(1)
    return response


def ask(project: Path, url: str, kind: str) -> list[dict[str, Any]]:
    """All of its objects of a kind, such as `flow_runs`."""
    objects: list[dict[str, Any]] = post(project, f"{url}/{kind}/filter", {}).json()
    return objects
