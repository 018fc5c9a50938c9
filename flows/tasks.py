"""The steps of a run as Prefect's tasks: a command each, tried again where that may help."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from amtss.config.schema import Params
from amtss.errors import RegistryError
from flows import ui
from flows.subprocesses import CommandError
from flows.workspace import Workspace

ALONE = "--single-item"
PULL = "--pull"
"""DVC's flags: of what the target needs, nothing runs; what is in the remote is taken from there.
"""
DELAYS = [5.0, 30.0]
"""Seconds before the second and the third try."""


def may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Whether to try again: after the network, the registry or a killed stage, nothing else."""
    error = state.result(raise_on_failure=False)
    return (isinstance(error, CommandError | RegistryError)
            and CommandError(str(error)).passing)


def step(name: str) -> Any:
    """Make a function a task whose runs are called `name`. DVC is the only cache."""
    return task(task_run_name=name, cache_policy=NO_CACHE, retries=len(DELAYS),
                retry_delay_seconds=DELAYS, retry_condition_fn=may_help)


@step("{target}")
def reproduce(work: Workspace, target: str, *flags: str) -> None:
    """Run a DVC target and all that it needs; or with `ALONE`, itself, in a share of the machine.
    """
    log = get_run_logger()
    epochs = longest(work.params, target)
    progress = ui.Progress(target, epochs) if epochs else None

    def tell(line: str) -> None:
        log.info(line)
        if progress:
            progress.read(line)

    place: AbstractContextManager[Mapping[str, str]] = (
        work.slot() if ALONE in flags else nullcontext({}))
    with place as environment:
        work.dvc("repro", "--keep-going", *flags, target, tell=tell, environment=environment)
    if progress:
        progress.end()


@step("push")
def push(work: Workspace, *targets: str) -> None:
    """Bring what targets have made to the DVC remote."""
    work.dvc("push", "--run-cache", *targets, tell=get_run_logger().info)


@step("pull")
def pull(work: Workspace, *targets: str) -> None:
    """Have what targets have made on another machine, by its dvc.lock."""
    work.dvc("pull", "--force", *targets, tell=get_run_logger().info)


@step("collect")
def collect(work: Workspace, targets: list[str]) -> None:
    """Have from the DVC remote what other machines have made of targets: DVC would run them."""
    work.dvc("repro", ALONE, PULL, *targets, tell=get_run_logger().info)


@step("{command}")
def manage(work: Workspace, command: str, *arguments: str) -> list[str]:
    """Run a command of a model's life; what it says."""
    return work.run("amtss", command, *arguments, tell=get_run_logger().info)


@step("pin")
def pin(work: Workspace, languages: list[str]) -> None:
    """Write into params.yaml which languages are new, and the champion that they are new to."""
    work.run(sys.executable, "-m", "flows.pin", *languages, tell=get_run_logger().info)


@step("compare")
def compare(work: Workspace) -> None:
    """Show the student's accuracies beside its teachers' and the champion's."""
    ui.accuracies(work)


@step("outcome")
def outcome(work: Workspace, branch: str, told: list[str]) -> None:
    """Show where everything is."""
    ui.outcome(work, branch, told)


def longest(params: Params, target: str) -> int:
    """The epochs that a training may take; 0 for what is no training."""
    stage, _, name = target.partition("@")
    if stage == "teach":
        return params.training_of(name).epochs if params.teachers[name].fine_tune else 0
    return params.schedule.max_epochs if stage in ("distil", "baseline") else 0
