"""For tests of flows: a tiny project's settings, a free port, a server's objects."""

import socket
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


def ask(url: str, kind: str) -> list[dict[str, Any]]:
    """All of a Prefect server's objects of a kind, such as `flow_runs`."""
    objects: list[dict[str, Any]] = httpx.post(f"{url}/{kind}/filter", json={}).json()
    return objects
