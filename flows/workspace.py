"""Where a run works: a git clone of its own, the project's DVC cache and MLflow, and the way back,
a branch of the project."""

import fcntl
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amtss.config import edit
from amtss.config.params import load_params
from amtss.config.schema import Params
from amtss.errors import AmtssError, ParamsError
from amtss.files import write_text
from amtss.paths import LINEAGE, Layout
from amtss.registry.store import uri as store_uri
from flows.subprocesses import Commands

RUNS = Path(".dvc/tmp/runs")
"""Workspaces below the project; git and DVC ignore what is there."""
OWN = "own"
"""In place of a preset's name: the project's params.yaml as it stands."""
QUIET = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
         "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GX_ANALYTICS_ENABLED": "false"}
"""No telemetry, and no bars in a log; the user's own environment wins."""
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
        every = shares(concurrency)
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
        cache = _output(self.project, sys.executable, "-m", "dvc", "cache", "dir")
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
        origin, reference = _origin(self.project), f"refs/amtss/{uuid.uuid4()}"
        self._git("push", "--quiet", origin, f"{commit}:{reference}")
        try:
            yield reference
        finally:
            self._git("push", "--quiet", origin, f":{reference}")

    def receive(self, reference: str) -> None:
        """Be what another machine has `sent`."""
        self._git("fetch", "--quiet", _origin(self.project), reference)
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
    _output(project, "git", "rev-parse", "--verify", "--quiet", "HEAD")
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
                _output(project, "git", "clone", "--quiet", str(project.resolve()), str(root))
            workspace = Workspace(project.resolve(), root, lock.fileno())
            try:
                workspace.update()
                yield workspace
            finally:
                workspace.stop()
            return


def remote(project: Path) -> tuple[str, str]:
    """The name and the address of a project's DVC remote.

    Raises:
        AmtssError: it has none.
    """
    listed = _output(project, sys.executable, "-m", "dvc", "config", "--list").splitlines()
    config = dict(line.split("=", 1) for line in listed if "=" in line)
    if (name := config.get("core.remote")) is None:
        raise AmtssError(f"{project.resolve()}: expected a DVC remote that all machines share, "
                         "found none; run `dvc remote add --default NAME URL` in it, and commit "
                         ".dvc/config")
    return name, config[f"remote.{name}.url"]


def _origin(project: Path) -> str:
    """The git repository that a project was cloned from, or itself."""
    remotes = _output(project, "git", "remote").split()
    return (_output(project, "git", "remote", "get-url", "origin") if "origin" in remotes
            else str(project))


def shares(concurrency: int | None) -> list[dict[str, str]]:
    """`places` of this machine."""
    return places(concurrency, len(os.sched_getaffinity(0)), _gpus())


def places(concurrency: int | None, cores: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each of `concurrency` commands at once adds to its environment.

    By default one per GPU, or else one more than there are cores: five teachers on four cores
    then take five quarters of the time of one, not twice. The limit of threads is not their
    number: a narrow model still computes on one.
    """
    count = concurrency or len(gpus) or cores + 1
    share = {"OMP_THREAD_LIMIT": str(max(1, cores // count))}
    return [share | ({"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {})
            for index in range(count)]


def _gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES takes."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [each for each in chosen.split(",") if each]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
                            capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []


def _environment(project: Path, root: Path) -> dict[str, str]:
    """Of commands in a workspace: its own code, the project's MLflow."""
    def first(name: str, value: Path) -> str:
        return os.pathsep.join(filter(None, [str(value), os.environ.get(name)]))

    return QUIET | os.environ | {
        "PYTHONPATH": first("PYTHONPATH", root), "PYTHONUNBUFFERED": "1",
        "PATH": first("PATH", Path(sys.executable).parent), "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": store(project)}


def store(project: Path) -> str:
    """MLflow's, the same wherever a run works."""
    uri, scheme = store_uri(Layout(project)), "sqlite:///"
    if uri.startswith(scheme) and not uri.startswith(f"{scheme}/"):
        return scheme + str((project / uri.removeprefix(scheme)).resolve())
    return uri


def _changes(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _paths(params: Params) -> Iterator[tuple[str, str]]:
    """Settings that may be folders: their keys and values."""
    found = {"data.path": params.data.path, "student.checkpoint": params.student.checkpoint,
             "student.tokenizer": params.student.tokenizer}
    found |= {f"teachers.{name}.checkpoint": teacher.checkpoint
              for name, teacher in params.teachers.items()}
    return ((key, value) for key, value in found.items() if value)


def _output(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip() or "no commit").splitlines()[-1]
        raise AmtssError(f"{folder.resolve()}: expected a DVC project with a commit in git, found: "
                         f"{told}; run in the project's folder, and commit its files")
    return done.stdout.strip()
