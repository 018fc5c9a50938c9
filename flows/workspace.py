"""Where a run works: a git clone of its own, the project's DVC cache and MLflow, and the way back,
a branch of the project."""

import fcntl
import itertools
import json
import os
import queue
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import Params
from amtss.errors import ParamsError
from amtss.files import write_text
from amtss.paths import LINEAGE, Layout
from flows import machine
from flows.project import origin, output, remote, store
from flows.subprocesses import QUIET, Commands

RUNS = Path(".dvc/tmp/runs")
"""Workspaces below the project; git and DVC ignore what is there."""
OWN = "own"
"""In place of a preset's name: the project's params.yaml as it stands."""
AUTHOR = ("-c", "user.name=amtss flows", "-c", "user.email=flows@amtss.invalid",
          "-c", "commit.gpgsign=false")


class Workspace:
    """A clone of a project's HEAD that one run has for itself."""

    def __init__(self, project: Path, root: Path, lock: int) -> None:
        self.project, self.root, self.layout = project, root, Layout(root)
        self._commands = Commands(root, _environment(project, root), lock)
        self._slots: queue.Queue[Mapping[str, str]] = queue.Queue()

    @property
    def params(self) -> Params:
        """What its params.yaml says."""
        return load_params(self.layout.params)

    def run(self, *words: str, tell: Callable[[str], object] = lambda line: None,
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run a command in it; its lines.

        Raises:
            CommandError: it failed.
        """
        return self._commands.run(words, tell, environment)

    def stop(self) -> None:
        """Stop all commands that run in it."""
        self._commands.stop()

    def share(self, concurrency: int | None, alone: bool = False) -> None:
        """Split this machine's GPUs, or else its cores, among `concurrency` commands at once;
        `alone`, take one share: other workspaces of this name have the others."""
        every = machine.shares(concurrency)
        number = int(self.root.name.rpartition("-")[2]) - 1
        for share in [every[number % len(every)]] if alone else every:
            self._slots.put(share)

    @contextmanager
    def slot(self) -> Iterator[Mapping[str, str]]:
        """Wait for a share of the machine: the environment of a command that runs in it."""
        taken = self._slots.get()
        try:
            yield taken
        finally:
            self._slots.put(taken)

    def update(self) -> None:
        """Be what the project's HEAD is; what earlier runs have made stays."""
        self._git("fetch", "--quiet", "origin", "HEAD")
        self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        self._git("clean", "--quiet", "--force", "-d")
        local = self.project / ".dvc" / "config.local"
        if local.is_file():
            shutil.copy(local, self.root / ".dvc")
        cache = output(self.project, sys.executable, "-m", "dvc", "cache", "dir")
        self.dvc("config", "--local", "cache.dir", str((self.project / cache).resolve()))

    def configure(self, preset: str, overrides: Mapping[str, Any]) -> Params:
        """Write params.yaml: a preset, `overrides` by dotted key, relative paths made to lead where
        they lead from the project.

        Raises:
            ParamsError: no such preset, or together they are no params.yaml.
        """
        source = (self.project / "params.yaml" if preset == OWN
                  else self.root / "params" / f"{preset}.yaml")
        if not source.is_file():
            raise ParamsError(f"preset: expected a committed file of params/, found {preset!r}; "
                              f"commit {source.name} or name another one")
        text = edit.changed(source.read_text(encoding="utf-8"), _changes(overrides))
        write_text(self.layout.params, text)
        moved = {key: str((self.project / value).resolve()) for key, value in _paths(self.params)
                 if (self.project / value).exists() and not (self.root / value).exists()}
        write_text(self.layout.params, edit.changed(text, _changes(moved)))
        return self.params

    def publish(self, message: str) -> str:
        """Commit params.yaml and dvc.lock onto a branch of the project: its name. The same results
        are the same branch."""
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
        """Have the project's DVC remote, wherever a relative path of it led from.

        Raises:
            AmtssError: the project has none.
        """
        name, url = remote(self.project)
        self.dvc("config", "--local", f"remote.{name}.url", url)

    @contextmanager
    def sent(self) -> Iterator[str]:
        """Its params.yaml and dvc.lock as a commit at the git repository that all machines' clones
        come from: the reference to `receive`, as long as the context lasts."""
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
        """Be what another machine has `sent`."""
        self._git("fetch", "--quiet", origin(self.project), reference)
        self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")

    def dvc(self, *words: str, tell: Callable[[str], object] = lambda line: None,
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run DVC in it, after whoever holds its lock; its lines."""
        return self.run(sys.executable, "-m", "dvc", "--wait-for-lock", *words, tell=tell,
                        environment=environment)

    def _git(self, *words: str) -> str:
        return "\n".join(self.run("git", *words))


@contextmanager
def taken(project: Path, name: str) -> Iterator[Workspace]:
    """The first free workspace of `name`, as the project's HEAD is; its commands end with the
    context.

    Raises:
        AmtssError: the project has no commit, or is none of DVC.
    """
    output(project, "git", "rev-parse", "--verify", "--quiet", "HEAD")
    folder = project.resolve() / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        root = folder / f"{name}-{number}"
        # Commands hold the lock as well: a workspace is free when the last of them has gone.
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
    """Of commands in a workspace: its own code, the project's MLflow."""
    def first(name: str, value: Path) -> str:
        return os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))

    return QUIET | os.environ | {
        "PYTHONPATH": first("PYTHONPATH", root), "PYTHONUNBUFFERED": "1",
        "PATH": first("PATH", Path(sys.executable).parent), "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": store(project)}


def _changes(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _paths(params: Params) -> Iterator[tuple[str, str]]:
    """Settings that may be folders: their keys and values."""
    found = {"data.path": params.data.path, "student.checkpoint": params.student.checkpoint,
             "student.tokenizer": params.student.tokenizer}
    found |= {f"teachers.{name}.checkpoint": teacher.checkpoint
              for name, teacher in params.teachers.items()}
    return ((key, value) for key, value in found.items() if value)
