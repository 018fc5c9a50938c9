"""Where a run works: a git clone of its own with the project's DVC cache and MLflow store. Results
return as a branch of the project."""

import fcntl
import itertools
import json
import os
import queue
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import Params, ProbeTeacher, TransformerTeacher
from amtss.errors import AmtssError, ParamsError
from amtss.files import write_text
from amtss.paths import LINEAGE, Layout
from flows import machine
from flows.project import origin, output, remote, store
from flows.subprocesses import QUIET, Commands

RUNS = Path(".dvc/tmp/runs")
"""Workspaces, below the project; git and DVC ignore this folder."""
OWN = "own"
"""Stands for the project's own params.yaml where a preset is named."""
AUTHOR = ("-c", "user.name=amtss flows", "-c", "user.email=flows@amtss.invalid",
          "-c", "commit.gpgsign=false")


class Workspace:
    """A clone of the project's HEAD that one run has to itself."""

    def __init__(self, project: Path, root: Path, lock: int) -> None:
        """Args: lock: descriptor of the locked file that says that the workspace is taken."""
        self.project, self.root, self.layout = project, root, Layout(root)
        self._commands = Commands(root, _environment(project, root), lock)
        self._shares: queue.Queue[Mapping[str, str]] = queue.Queue()

    @property
    def params(self) -> Params:
        """The settings in its params.yaml."""
        return load_params(self.layout.params)

    def run(self, *words: str, on_line: Callable[[str], object] = lambda line: None,
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run a command in the workspace; the lines of its output.

        Raises:
            CommandError: it failed.
        """
        return self._commands.run(words, on_line, environment)

    def stop(self) -> None:
        """Stop all commands that run in the workspace."""
        self._commands.stop()

    def divide(self, concurrency: int | None, one: bool = False) -> None:
        """Divide this machine's GPUs, or else its cores, among `concurrency` commands at once.

        Args:
            one: this workspace gets a single share, chosen by its number; the other workspaces of
                its name have the others.
        """
        shares = machine.shares(concurrency)
        number = int(self.root.name.rpartition("-")[2]) - 1
        for share in [shares[number % len(shares)]] if one else shares:
            self._shares.put(share)

    @contextmanager
    def share(self) -> Iterator[Mapping[str, str]]:
        """Wait for a free share of the machine; the variables of a command that uses it."""
        share = self._shares.get()
        try:
            yield share
        finally:
            self._shares.put(share)

    def update(self) -> None:
        """Check out the project's HEAD. Ignored files stay, so that DVC finds earlier results."""
        self._git("fetch", "--quiet", "origin", "HEAD")
        self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        self._git("clean", "--quiet", "--force", "-d")
        local = self.project / ".dvc" / "config.local"
        if local.is_file():
            shutil.copy(local, self.root / ".dvc")
        cache = output(self.project, sys.executable, "-m", "dvc", "cache", "dir")
        self.dvc("config", "--local", "cache.dir", str((self.project / cache).resolve()))

    def configure(self, preset: str, overrides: Mapping[str, Any]) -> Params:
        """Write params.yaml from a preset.

        Args:
            overrides: dotted key -> value that replaces the preset's.

        Relative paths that exist from the project's folder only become absolute.

        Raises:
            ParamsError: no such preset, or the result is not a valid params.yaml.
        """
        source = (self.project / "params.yaml" if preset == OWN
                  else self.root / "params" / f"{preset}.yaml")
        if not source.is_file():
            raise ParamsError(f"preset: expected a committed file of params/, found {preset!r}; "
                              f"commit {source.name} or name another one")
        text = edit.changed(source.read_text(encoding="utf-8"), _assignments(overrides))
        write_text(self.layout.params, text)
        absolute = {key: str((self.project / path).resolve())
                    for key, path in _paths(self.params).items()
                    if (self.project / path).exists() and not (self.root / path).exists()}
        write_text(self.layout.params, edit.changed(text, _assignments(absolute)))
        return self.params

    def matching(self, patterns: Sequence[str]) -> list[Path]:
        """The files that patterns such as `logs/*.csv` match, from the project's folder.

        Raises:
            AmtssError: a pattern matches none.
        """
        paths = []
        for pattern in patterns:
            found = sorted(glob(str(self.project / pattern), recursive=True))
            if not found:
                raise AmtssError(f"files: expected some that match {pattern}, found none in "
                                 f"{self.project}; correct the pattern")
            paths += [Path(path) for path in found]
        return paths

    def publish(self, message: str) -> str:
        """Commit params.yaml and dvc.lock to a branch of the project.

        Returns:
            The branch's name. It contains the hash of the commit's files: the same results give
            the same branch, and no second commit.
        """
        self._git("add", "--force", "--", *LINEAGE)
        branch = f"runs/{self.root.name.rpartition('-')[0]}-{self._git('write-tree')[:8]}"
        if self._git("ls-remote", "origin", f"refs/heads/{branch}"):
            self._git("fetch", "--quiet", "origin", branch)
            self._git("reset", "--quiet", "--soft", "FETCH_HEAD")
        else:
            self._git(*AUTHOR, "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
            self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return branch

    def connect(self) -> None:
        """Use the project's DVC remote; a relative address would lead elsewhere from here.

        Raises:
            AmtssError: the project has none.
        """
        name, url = remote(self.project)
        self.dvc("config", "--local", f"remote.{name}.url", url)

    @contextmanager
    def pushed(self) -> Iterator[str]:
        """Push params.yaml and dvc.lock to the git repository that all machines' clones come from.

        Yields:
            A git reference for `receive`; it is deleted when the context ends.
        """
        self._git("add", "--force", "--", *LINEAGE)
        commit = self._git(*AUTHOR, "commit-tree", self._git("write-tree"), "-p", "HEAD",
                           "-m", "For other machines")
        address, reference = origin(self.project), f"refs/amtss/{uuid.uuid4()}"
        self._git("push", "--quiet", address, f"{commit}:{reference}")
        try:
            yield reference
        finally:
            self._git("push", "--quiet", address, f":{reference}")

    def receive(self, reference: str) -> None:
        """Check out the commit that another machine has `pushed`."""
        self._git("fetch", "--quiet", origin(self.project), reference)
        self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")

    def dvc(self, *words: str, on_line: Callable[[str], object] = lambda line: None,
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run DVC in the workspace, waiting for its lock; the lines of its output.

        Raises:
            CommandError: it failed.
        """
        return self.run(sys.executable, "-m", "dvc", "--wait-for-lock", *words, on_line=on_line,
                        environment=environment)

    def _git(self, *words: str) -> str:
        return "\n".join(self.run("git", *words))


@contextmanager
def claimed(project: Path, name: str) -> Iterator[Workspace]:
    """The first free workspace `NAME-1`, `NAME-2`, ... with the project's HEAD checked out; its
    commands are stopped when the context ends.

    Raises:
        AmtssError: the project has no commit, or does not use DVC.
    """
    output(project, "git", "rev-parse", "--verify", "--quiet", "HEAD")
    folder = project.resolve() / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        root = folder / f"{name}-{number}"
        # Commands hold the lock as well: a workspace is free when the last of them has ended.
        with open(folder / f"{root.name}.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not (root / ".git").is_dir():
                shutil.rmtree(root, ignore_errors=True)
                output(project, "git", "clone", "--quiet", str(project.resolve()), str(root))
            workspace = Workspace(project.resolve(), root, lock.fileno())
            try:
                workspace.update()
                yield workspace
            finally:
                workspace.stop()
            return


def _environment(project: Path, root: Path) -> dict[str, str]:
    """The variables of commands in a workspace: they run its code and use the project's MLflow."""
    def prepended(name: str, path: Path) -> str:
        return os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))

    return QUIET | os.environ | {
        "PYTHONPATH": prepended("PYTHONPATH", root), "PYTHONUNBUFFERED": "1",
        "PATH": prepended("PATH", Path(sys.executable).parent), "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": store(project)}


def _assignments(values: Mapping[str, Any]) -> list[str]:
    """`KEY=VALUE` for each entry, as `edit.changed` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _paths(params: Params) -> dict[str, str]:
    """Settings that may be a folder: dotted key -> value."""
    settings = {"data.path": params.data.path, "student.checkpoint": params.student.checkpoint,
                "student.tokenizer": params.student.tokenizer}
    settings |= {f"teachers.{name}.checkpoint": teacher.checkpoint
                 for name, teacher in params.teachers.items()
                 if isinstance(teacher, ProbeTeacher | TransformerTeacher)}
    return {key: value for key, value in settings.items() if value}
