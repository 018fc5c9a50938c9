"""The steps of a run as Prefect tasks, one command each. A task is tried again only where the error
may pass."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from amtss.config.schema import Params
from amtss.errors import RegistryError
from amtss.registry.versions import CHAMPION
from flows import ui
from flows.subprocesses import CommandError
from flows.workspace import Workspace

ALONE = "--single-item"
"""DVC's flag: run the target alone, nothing that it depends on."""
PULL = "--pull"
"""DVC's flag: take results from the remote where it has them."""
RETRY_DELAYS = [5.0, 30.0]
"""Seconds before the second and the third try."""


def worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task may succeed another time: only after trouble with the network or the
    registry, or a killed command."""
    error = state.result(raise_on_failure=False)
    return (isinstance(error, CommandError | RegistryError)
            and CommandError(str(error)).transient)


def step(name: str) -> Any:
    """Decorator: the function is a task whose runs are called `name`. DVC is the only cache."""
    return task(task_run_name=name, cache_policy=NO_CACHE, retries=len(RETRY_DELAYS),
                retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=worth_retrying)


@step("{target}")
def reproduce(work: Workspace, target: str, *flags: str) -> None:
    """Run a DVC target with everything it depends on; with `ALONE`, the target alone, in a share
    of the machine."""
    log = get_run_logger()
    epochs = max_epochs(work.params, target)
    progress = ui.Progress(target, epochs) if epochs else None

    def on_line(line: str) -> None:
        log.info(line)
        if progress:
            progress.read(line)

    share: AbstractContextManager[Mapping[str, str]] = (
        work.share() if ALONE in flags else nullcontext({}))
    with share as environment:
        work.dvc("repro", "--keep-going", *flags, target, on_line=on_line,
                 environment=environment)
    if progress:
        progress.end()


@step("push")
def push(work: Workspace, *targets: str) -> None:
    """Push the results of targets, and their entries of the run-cache, to the DVC remote."""
    work.dvc("push", "--run-cache", *targets, on_line=get_run_logger().info)


@step("pull")
def pull(work: Workspace, *targets: str) -> None:
    """Pull the results that dvc.lock records for targets from the DVC remote."""
    work.dvc("pull", "--force", *targets, on_line=get_run_logger().info)


@step("collect")
def collect(work: Workspace, targets: list[str]) -> None:
    """Take what other machines have computed for targets from the DVC remote."""
    work.dvc("repro", ALONE, PULL, *targets, on_line=get_run_logger().info)


@step("{command}")
def manage(work: Workspace, command: str, *arguments: str) -> list[str]:
    """Run `amtss COMMAND`; the lines of its output."""
    return work.run("amtss", command, *arguments, on_line=get_run_logger().info)


@step("pin")
def pin(work: Workspace, languages: list[str]) -> None:
    """Write the new languages, and the champion that shall learn them, into params.yaml."""
    work.run(sys.executable, "-m", "flows.pin", *languages, on_line=get_run_logger().info)


@step("compare")
def compare(work: Workspace) -> None:
    """Show the student's accuracies beside its teachers' and the champion's."""
    ui.accuracies(work)


@step("outcome")
def outcome(work: Workspace, branch: str, lines: list[str]) -> None:
    """Show what the registry said and where report, model and commit are."""
    ui.outcome(work, branch, lines)


@step("drift")
def drift(work: Workspace, paths: list[Path], language: str) -> None:
    """Compare new texts with the champion's data; the task fails where a limit is passed."""
    shutil.rmtree(work.layout.drift, ignore_errors=True)  # an earlier run's
    try:
        work.run("amtss", "drift", "--version", CHAMPION, "--lang", language, "--data",
                 *map(str, paths), on_line=get_run_logger().info)
    finally:
        ui.drift(work)


def max_epochs(params: Params, target: str) -> int:
    """The most epochs that a training target may take; 0 for other targets."""
    stage, _, name = target.partition("@")
    if stage == "teach":
        return params.most_epochs(name)
    # A task does not know the rows, and few rows may have more epochs than many.
    if stage not in ("distil", "baseline"):
        return 0
    return params.schedule.epochs(rows=1, languages=len(params.languages))
