"""What a run needs to know of its project: DVC remote, git repository and MLflow store."""

import subprocess
import sys
from pathlib import Path

from amtss.errors import AmtssError
from amtss.paths import Layout
from amtss.registry.store import uri as store_uri


def remote(project: Path) -> tuple[str, str]:
    """Name and address of the project's default DVC remote.

    Raises:
        AmtssError: it has none.
    """
    lines = output(project, sys.executable, "-m", "dvc", "config", "--list").splitlines()
    config = dict(line.split("=", 1) for line in lines if "=" in line)
    if (name := config.get("core.remote")) is None:
        raise AmtssError(f"{project.resolve()}: expected a DVC remote that all machines share, "
                         "found none; run `dvc remote add --default NAME URL` in it, and commit "
                         ".dvc/config")
    return name, config[f"remote.{name}.url"]


def origin(project: Path) -> str:
    """The git repository that the project was cloned from, or the project itself."""
    remotes = output(project, "git", "remote").split()
    return (output(project, "git", "remote", "get-url", "origin") if "origin" in remotes
            else str(project))


def store(project: Path) -> str:
    """Address of the project's MLflow store; the path of a SQLite file is made absolute."""
    uri, scheme = store_uri(Layout(project)), "sqlite:///"
    if uri.startswith(scheme) and not uri.startswith(f"{scheme}/"):
        return scheme + str((project / uri.removeprefix(scheme)).resolve())
    return uri


def output(project: Path, *words: str) -> str:
    """Run a git or DVC command in the project; what it prints.

    Raises:
        AmtssError: it failed.
    """
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (done.stderr.strip() or done.stdout.strip() or "no commit").splitlines()[-1]
        raise AmtssError(f"{project.resolve()}: expected a DVC project with a commit in git, "
                         f"found: {message}; run in the project's folder, and commit its files")
    return done.stdout.strip()
