"""The steps of every run: DVC's targets, in waves that do not get into each other's way."""

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait

from amtss.config import Params
from amtss.errors import RegistryError
from amtss.layout import read_json
from flows import artifacts
from flows.commands import CommandError
from flows.workspace import Workspace

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
def reproduce(work: Workspace, target: str, alone: bool = False) -> None:
    """Run a DVC target and all that it needs; `alone`, only itself, in a share of the machine."""
    log = get_run_logger()
    epochs = longest(work.params, target)
    progress = artifacts.Progress(target, epochs) if epochs else None

    def tell(line: str) -> None:
        log.info(line)
        if progress:
            progress.read(line)

    place: AbstractContextManager[Mapping[str, str]] = (
        work.slot() if alone else nullcontext({}))
    with place as environment:
        work.run(sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--keep-going",
                 *(["--single-item"] if alone else []), target, tell=tell, environment=environment)
    if progress:
        progress.end()


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
    artifacts.accuracies(work)


@step("outcome")
def outcome(work: Workspace, branch: str, told: list[str]) -> None:
    """Show where everything is."""
    artifacts.outcome(work, branch, told)


def pipeline(work: Workspace, concurrency: int | None, message: str) -> str:
    """What dvc.yaml says, teachers and their scores at once; then the registry and the gate.

    Returns:
        The project's branch with params.yaml and dvc.lock.
    """
    try:
        reproduce(work, "gate")
    finally:
        artifacts.findings(work)
    teach(work, concurrency)
    for target in ("distil", "baseline", "evaluate", "report"):
        reproduce(work, target)
    compare(work)
    branch = work.publish(message)
    told = manage(work, "register")
    try:
        told += manage(work, "promote", "--version", registered(told))
    finally:
        outcome(work, branch, told)
    return branch


def registered(told: Sequence[str]) -> str:
    """The version's number in what `amtss register` says. Its alias tells nothing: it is no
    challenger where it is champion already."""
    return next(found[1] for line in told if (found := re.search(r" version (\d+), ", line)))


def teach(work: Workspace, concurrency: int | None) -> None:
    """Every teacher at once, as far as the machine goes; its scores as soon as it is taught."""
    work.share(concurrency)
    taught = {name: reproduce.submit(work, f"teach@{name}", alone=True)
              for name in teachers(work)}
    scored = [reproduce.submit(work, f"score@{name}", alone=True, wait_for=[done])
              for name, done in taught.items()]
    every = [*taught.values(), *scored]
    wait(every)  # a teacher that fails stops no other one
    for each in every:
        each.result()


def teachers(work: Workspace) -> list[str]:
    """As dvc.yaml has them, those with most to read first: the last to end is then a short one."""
    listed = work.run(sys.executable, "-m", "dvc", "stage", "list", "--name-only")
    names = [line.removeprefix("teach@") for line in listed if line.startswith("teach@")]
    params = work.params

    def examples(name: str) -> int:
        rows = (read_json(work.layout.corpus(code) / "corpus.json", "dvc repro data")["rows"]
                for code in params.taught_on(name))
        return params.training_of(name).epochs * sum(int(each["train"]) for each in rows)

    return sorted(names, key=examples, reverse=True)


def longest(params: Params, target: str) -> int:
    """The epochs that a training may take; 0 for what is no training."""
    stage, _, name = target.partition("@")
    if stage == "teach":
        return params.training_of(name).epochs if params.teachers[name].fine_tune else 0
    return params.schedule.max_epochs if stage in ("distil", "baseline") else 0
