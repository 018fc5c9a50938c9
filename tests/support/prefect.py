"""What tests of flows share: a tiny project, a free port, questions to a server."""

import socket
from typing import Any

import httpx

from support.pipeline import SMALL, demo


def tiny() -> dict[str, Any]:
    """One language and two teachers."""
    params = demo("en", scores=None)
    params["teachers"] = {name: {"languages": ["en"], "architecture": SMALL}
                          for name in ("en", "more")}
    params["distil"]["top_k"] = 1
    return params | {"baseline": {"teacher": "en"}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.post(f"{url}/{what}/filter", json={}).json()
    return found
