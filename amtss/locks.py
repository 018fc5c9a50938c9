"""Locks between processes of one machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amtss import terminal


@contextmanager
def alone(path: Path, warning: str = "") -> Iterator[None]:
    """Wait for the lock file `path` and hold it. The system frees it when the process ends.

    Args:
        warning: printed if there is anything to wait for.

    Raises:
        OSError: the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if warning:
                terminal.warn(warning)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
