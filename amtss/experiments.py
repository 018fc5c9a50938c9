"""DVC's experiments: runs of the pipeline with other settings, in copies of the project.

The only module that imports DVC.
"""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from amtss import dvc_cache, git, records
from amtss.config.schema import Params
from amtss.data import sources
from amtss.errors import AlteredError, AmtssError, DataError, first_line
from amtss.files import read_json, read_text, verify
from amtss.paths import Layout
from amtss.progress import bar
from amtss.registry import store
from amtss.temporary import temporary_folder
from amtss.terminal import say

PAUSE = 2.0
"""Seconds between two looks at what has finished."""
KILLS = 10
"""Times that DVC is asked to kill an experiment, `PAUSE` apart."""


def check_committed(params: Params, layout: Layout) -> None:
    """Check that the copies will have the data: git or DVC tracks all that lie in the project.

    Raises:
        DataError: it does not.
    """
    paths = {path for code in params.languages
             for path in sources.watched(params.data, code, layout)}
    left = git.untracked(layout.root, sorted(paths))
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        folder = os.path.commonpath([path.parent for path in left]) or left[0].parent
        raise DataError(
            f"{folder}: expected data that git or DVC tracks, because experiments run in copies of "
            f"the project, found {left[0]}{more} untracked; `git add {folder}`, or for large files "
            f"`dvc add {folder} && git add {folder}.dvc`")


def run(settings: Mapping[str, Sequence[str]], jobs: int) -> None:
    """Run experiments, `jobs` at a time, and print a line for each that has finished.

    One that an interrupted run has left in work is not begun twice.

    Args:
        settings: name -> what differs from params.yaml, as KEY=VALUE.

    Raises:
        AmtssError: DVC refuses.
    """
    in_work = _tidy_queue(settings)
    for name, changes in settings.items():
        if name not in in_work:
            # `++` also sets keys that params.yaml leaves to their defaults.
            _dvc("exp", "run", "--queue", "--name", name, *(
                argument for change in changes for argument in ("--set-param", f"++{change}")))
    say(f"{len(settings)} experiments to run, {jobs} at a time; `dvc queue status` and `dvc queue "
        "logs NAME` show more")
    started, left = time.monotonic(), set(settings)
    words = ("exp", "run", "--run-all", "--jobs", str(jobs))
    with bar(len(settings), "experiments") as advance, subprocess.Popen(
            _command(*words), stdout=subprocess.DEVNULL, env=_environment()) as running:
        while running.poll() is None:
            time.sleep(PAUSE)
            advance(0)
            for name in sorted(left & git.refs(Layout().root, "refs/exps")):
                left.remove(name)
                advance(1)
                minutes, seconds = divmod(round(time.monotonic() - started), 60)
                say(f"{name}: finished after {minutes}:{seconds:02d}, {len(left)} to go")
    _check(words, running.returncode)


def _tidy_queue(names: Collection[str]) -> set[str]:
    """Take out of DVC's queue what a run that was killed has left there; the names still in work.

    DVC would run a second time what is queued twice, and wait forever for what has no worker.
    """
    status = _dvc("queue", "status")
    has_worker = "Worker status: 0 active, 0 idle" not in status
    in_work = set()
    for task, name, *_, state in filter(lambda words: len(words) > 2,
                                        map(str.split, status.splitlines())):
        if state == "Running" and has_worker:
            in_work.add(name)
        elif state == "Running":
            _kill(task)
        elif state == "Queued" and name in names:
            _dvc("queue", "remove", task)
    return in_work


def _kill(task: str) -> None:
    """Kill an experiment without a worker. DVC counts it as failed only once its process is gone.

    Raises:
        AmtssError: its process does not go.
    """
    for _ in range(KILLS):
        if "has been killed" not in _dvc("queue", "kill", "--force", task):
            return
        time.sleep(PAUSE)
    raise AmtssError(f"dvc queue: expected experiment {task} to end, found that its process is "
                     f"still there after {KILLS} kills; end it, then run `dvc queue kill --force "
                     f"{task}` until it is no longer in `dvc queue status` as running")


def finished() -> set[str]:
    """Names of the experiments that have finished in this project."""
    return set(_dvc("exp", "list", "--name-only", "--all-commits").split())


def last_error(name: str) -> str:
    """The error that an experiment's stages have logged last; empty where there is none."""
    error = ""
    with suppress(AmtssError):  # it may have no log
        for line in _dvc("queue", "logs", name).splitlines():
            if line.startswith("amtss: ") and not line.startswith("amtss: warning: "):
                error = line.removeprefix("amtss: ")
    return error


def results(name: str, command: str) -> tuple[str, records.Metrics]:
    """An experiment's predictions.csv and metrics.json, checked as those of this folder are.

    Args:
        command: what runs it again once it has been removed.

    Raises:
        AmtssError: they are damaged, or not in DVC's cache.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    command = f"dvc exp remove {name} && {command}"
    with temporary_folder(Layout().artifacts, name) as folder:
        copy = Layout(folder)
        copy.artifacts.mkdir()
        try:
            files = DVCFileSystem(rev=name)
            files.get("artifacts/metrics.json", str(copy.metrics))
            files.get("artifacts/evaluation", str(copy.evaluation), recursive=True)
        except (DvcException, OSError) as error:
            raise AmtssError(f"{name}: expected its results in DVC's cache, found: "
                             f"{first_line(error)}; run `{command}`") from error
        try:
            verify(copy.evaluation, command)
            metrics = read_json(copy.metrics, records.Metrics, command)
        except AlteredError as error:  # its object is found as long as the file is here
            raise AmtssError(dvc_cache.message(error)) from error
        return read_text(copy.evaluation / "predictions.csv", command), metrics


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dvc", "--wait-for-lock", *words]


def _environment() -> dict[str, str]:
    # Experiments run in temporary folders; a store in there would be deleted with them.
    return os.environ | {"MLFLOW_TRACKING_URI": store.uri(Layout())}


def _dvc(*words: str) -> str:
    """Run a DVC command; returns its output.

    Raises:
        AmtssError: it failed; DVC has printed why.
    """
    done = subprocess.run(_command(*words), text=True, check=False, stdout=subprocess.PIPE,
                          env=_environment())
    _check(words, done.returncode)
    return done.stdout


def _check(words: Sequence[str], status: int) -> None:
    if status:
        raise AmtssError(f"expected `dvc {' '.join(words[:3])}` to succeed, found exit status "
                         f"{status}; fix what DVC reports above")
