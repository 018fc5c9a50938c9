import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def silent() -> Iterator[str]:
    """URI of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://somebody:secret@127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """URI of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://somebody:secret@127.0.0.1:{server.getsockname()[1]}"
