"""The steps of every run: DVC's targets, in waves that do not get into each other's way."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait

from amtss.config.schema import Params
from amtss.errors import RegistryError
from amtss.files import read_json
from flows import remote_teachers, ui
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


def pipeline(work: Workspace, concurrency: int | None, spread: bool, message: str) -> str:
    """What dvc.yaml says, teachers and their scores at once; then the registry and its rules.

    Args:
        spread: teachers go to other machines.

    Returns:
        The project's branch with params.yaml and dvc.lock.
    """
    if spread:
        meet(work)
    try:
        reproduce(work, "gate")
    finally:
        ui.findings(work)
    if spread:
        send(work)
    else:
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
    taught = {name: reproduce.submit(work, f"teach@{name}", ALONE)
              for name in teachers(work)}
    scored = [reproduce.submit(work, f"score@{name}", ALONE, wait_for=[done])
              for name, done in taught.items()]
    every = [*taught.values(), *scored]
    wait(every)  # a teacher that fails stops no other one
    for each in every:
        each.result()


def meet(work: Workspace) -> None:
    """Know the DVC remote, and that workers are there.

    Raises:
        AmtssError: one of them is missing.
    """
    work.connect()
    remote_teachers.check()


def send(work: Workspace) -> None:
    """Every teacher that DVC would run, by other machines; what they have made comes here."""
    names = teachers(work)
    targets = [target for name in names for target in cells(name)]
    status = json.loads(work.dvc("status", "--json", *targets)[-1])
    stale = [name for name in names if any(changed(status.get(cell, [])) for cell in cells(name))]
    if stale:
        push(work, "gate", "data")
        with work.sent() as reference:
            remote_teachers.teach(stale, reference)
    collect(work, targets)


def changed(differences: list[Any]) -> bool:
    """Whether DVC would run a stage with these; what is only not here can be had."""
    return any(isinstance(each, str)
               or any(what != "deleted" for what in each.get("changed deps", {}).values())
               for each in differences)


def visit(work: Workspace, name: str) -> None:
    """A teacher of another machine's run and its scores, from the DVC remote and back to it."""
    work.connect()
    params = work.params
    codes = {*params.taught_on(name), *params.scored_by(name)}
    pull(work, "gate", *(f"data@{code}" for code in sorted(codes)))
    for target in cells(name):
        reproduce(work, target, ALONE, PULL)
    push(work, *cells(name))


def cells(name: str) -> tuple[str, str]:
    """A teacher's stages."""
    return f"teach@{name}", f"score@{name}"


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
