"""Folders that are made once for all workers of a run of the tests."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from amtss.locks import alone

VARIABLE = "AMTSS_TESTS"
"""The folder of all, which the workers inherit from the process that starts them and removes it."""
if VARIABLE not in os.environ:
    _OWN = tempfile.TemporaryDirectory(prefix="amtss-tests-")
    os.environ[VARIABLE] = _OWN.name


def once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` has filled; other workers wait for it instead of making their own.

    Nobody may change it: tests work on copies.
    """
    folder, done = (Path(os.environ[VARIABLE], file) for file in (name, f"{name}.done"))
    with alone(folder.with_name(f"{name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that has failed
            make(folder)
            done.touch()
    return folder
