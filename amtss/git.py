"""git, for the lineage of models: the commit, files that differ from it, and committing files."""

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
