"""DVC's cache, where it is itself damaged: DVC restores an object as it is, and looks at none."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from amtss.errors import AlteredError


def message(error: AlteredError) -> str:
    """The error's message, and which object of the cache to remove where it is damaged too."""
    if (damaged := damaged_object(error.path)) is None:
        return str(error)
    return f"{error}; remove first {damaged}, the damaged object of DVC's cache that it came from"


def damaged_object(path: Path) -> Path | None:
    """The object of DVC's cache that the damaged file `path` was restored from, if there is one: it
    has the same bytes, whose MD5 is not the object's name."""
    if not any((folder / ".dvc").is_dir() for folder in path.absolute().parents):
        return None
    try:
        size, md5 = path.stat().st_size, _md5(path)
        objects = _folder(path) / "files" / "md5"
        return next((file for prefix in os.scandir(objects) for file in map(Path, _files(prefix))
                     if file.stat().st_size == size and file.parent.name + file.name != md5
                     and _md5(file) == md5), None)
    except (OSError, subprocess.SubprocessError):  # no such file, no cache, or no DVC
        return None


def _files(prefix: "os.DirEntry[str]") -> list[str]:
    return [entry.path for entry in os.scandir(prefix)] if prefix.is_dir() else []


def _folder(path: Path) -> Path:
    """DVC's cache for the project that `path` lies in."""
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], cwd=path.parent,
                          capture_output=True, text=True, check=True)
    return path.parent / done.stdout.strip()


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
