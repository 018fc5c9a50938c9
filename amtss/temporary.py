"""Temporary folders that outlive no kill for long: the next process removes them."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amtss.files import alone, refused


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder in `parent`, where libraries put their temporary files as well. Those that
    killed processes have left there under this name are removed: each live one holds a lock.

    Raises:
        AmtssError: the file system refuses (disk full, no permission).
    """
    outside = tempfile.tempdir
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f".{name}-????????"):
            _remove_unlocked(stale)
        folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent)).resolve()
    except OSError as error:
        raise refused(parent, error) from error
    try:
        with alone(folder / "lock"):
            tempfile.tempdir = str(folder)
            yield folder
    finally:
        tempfile.tempdir = outside
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unlocked(folder: Path) -> None:
    try:
        with open(folder / "lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # locked, or being removed by its own process
        pass
