"""Temporary folders that outlive no kill for long: the next process removes them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from amtss.files import refused
from amtss.locks import alone


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder in `parent`, where libraries put their temporary files as well. Those that
    killed processes have left there under this name are removed: each live one holds a lock.

    Raises:
        AmtssError: the file system refuses (disk full, no permission).
    """
    outside = tempfile.tempdir
    with ExitStack() as held:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with _locked(parent):  # so that nobody removes the folder before it has its own lock
                for stale in parent.glob(f".{name}-????????"):
                    _remove_unlocked(stale)
                folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent)).resolve()
                held.callback(shutil.rmtree, folder, ignore_errors=True)
                held.enter_context(alone(folder / "lock"))
        except OSError as error:
            raise refused(parent, error) from error
        try:
            tempfile.tempdir = str(folder)
            yield folder
        finally:
            tempfile.tempdir = outside


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_unlocked(folder: Path) -> None:
    try:
        with open(folder / "lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # locked, or being removed by its own process
        pass
