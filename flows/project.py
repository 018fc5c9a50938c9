"""What a run has to know of its project: its DVC remote, where git pushes to, MLflow's store."""

import subprocess
import sys
from pathlib import Path

from amtss.errors import AmtssError
from amtss.paths import Layout
from amtss.registry import tracking


def remote(project: Path) -> tuple[str, str]:
    """The name and the address of a project's DVC remote.

    Raises:
        AmtssError: it has none.
    """
    listed = output(project, sys.executable, "-m", "dvc", "config", "--list").splitlines()
    config = dict(line.split("=", 1) for line in listed if "=" in line)
    if (name := config.get("core.remote")) is None:
        raise AmtssError(f"{project.resolve()}: expected a DVC remote that all machines share, "
                         "found none; run `dvc remote add --default NAME URL` in it, and commit "
                         ".dvc/config")
    return name, config[f"remote.{name}.url"]


def origin(project: Path) -> str:
    """The git repository that a project was cloned from, or itself."""
    remotes = output(project, "git", "remote").split()
    return (output(project, "git", "remote", "get-url", "origin") if "origin" in remotes
            else str(project))


def store(project: Path) -> str:
    """MLflow's, the same wherever a run works."""
    uri, scheme = tracking.uri(Layout(project)), "sqlite:///"
    if uri.startswith(scheme) and not uri.startswith(f"{scheme}/"):
        return scheme + str((project / uri.removeprefix(scheme)).resolve())
    return uri


def output(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip() or "no commit").splitlines()[-1]
        raise AmtssError(f"{folder.resolve()}: expected a DVC project with a commit in git, found: "
                         f"{told}; run in the project's folder, and commit its files")
    return done.stdout.strip()
