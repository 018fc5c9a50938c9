"""The pipeline as flows run it: DVC's targets, in waves that do not get into each other's way."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from prefect.futures import wait

from amtss.files import read_json
from flows import remote_teachers, ui
from flows.tasks import ALONE, PULL, collect, compare, manage, outcome, pull, push, reproduce
from flows.workspace import Workspace


def run(work: Workspace, concurrency: int | None, spread: bool, message: str) -> str:
    """What dvc.yaml says, teachers and their scores at once; then the registry and the gate.

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
