"""git, for the lineage of models: the commit, files that differ from it, and committing files."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from amtss.errors import AmtssError


def inside(folder: Path) -> bool:
    """Whether `folder` is in a git repository."""
    return _git(folder, "rev-parse", "--git-dir").returncode == 0


def head(folder: Path) -> str:
    """The commit that is checked out; empty outside git and before the first commit."""
    done = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return done.stdout.strip() if done.returncode == 0 else ""


def changed(folder: Path, files: Iterable[str]) -> list[str]:
    """Those of `files` that are not as in the commit, or not in it; none outside git."""
    return [file for file in files if _git(
        folder, "status", "--porcelain", "--untracked-files=all", "--ignored", "--", file).stdout]


def untracked(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` below `folder` that git does not track, and neither does DVC by a file
    NAME.dvc beside them or beside a folder that they lie in; none outside git.

    Returns: relative to `folder`.
    """
    if not inside(folder):
        return []
    tracked = {Path(name) for name in _git(folder, "ls-files", "-z").stdout.split("\0") if name}
    whole = Path(os.path.abspath(folder))  # a link may lead out of the repository
    below = [path.relative_to(whole) for path in map(Path, map(os.path.abspath, paths))
             if path.is_relative_to(whole)]
    return [path for path in below if not any(
        part in tracked or part.with_name(f"{part.name}.dvc") in tracked
        for part in (path, *path.parents[:-1]))]


def refs(folder: Path, place: str) -> set[str]:
    """The last parts of the names of the references below `place`."""
    return set(_git(folder, "for-each-ref", "--format=%(refname:lstrip=-1)", place).stdout.split())


def commit(folder: Path, files: Sequence[str], message: str) -> None:
    """Commit `files`, and nothing else; outside git and without changes nothing happens.

    Raises:
        AmtssError: git refuses.
    """
    if not inside(folder):
        return
    _git(folder, "add", "--", *files)
    if _git(folder, "diff", "--cached", "--quiet", "--", *files).returncode == 0:
        return
    done = _git(folder, "commit", "--quiet", "--message", message, "--", *files)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "no reason"
        raise AmtssError(f"git: expected to commit {' and '.join(files)}, found: "
                         f"{said.splitlines()[-1]}; fix that and run the same command again")


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *words], cwd=folder, check=False, text=True,
                          capture_output=True)
