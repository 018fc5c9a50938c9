"""A whole run: DVC's targets in an order in which those at once do not disturb each other, then
registration and promotion."""

import json
import re
import sys
from collections.abc import Sequence

from prefect.futures import wait

from amtss import dvc_status, records
from flows import remote_teachers, ui
from flows.tasks import ALONE, PULL, collect, compare, manage, outcome, pull, push, reproduce
from flows.workspace import Workspace


def run(work: Workspace, concurrency: int | None, spread: bool, message: str) -> str:
    """Run dvc.yaml, its teachers at once; then register the student and try to promote it.

    Args:
        concurrency: teachers at once on this machine; with `spread` they run on other machines.

    Returns: the project's branch with the run's params.yaml and dvc.lock.
    """
    if spread:
        check_machines(work)
    try:
        reproduce(work, "gate")
    finally:
        ui.findings(work)
    if spread:
        teach_remotely(work)
    else:
        teach(work, concurrency)
    for target in ("distil", "baseline", "evaluate", "report"):
        reproduce(work, target)
    compare(work)
    branch = work.publish(message)
    lines = manage(work, "register")
    try:
        lines += manage(work, "promote", "--version", registered_version(lines))
    finally:
        outcome(work, branch, lines)
    return branch


def registered_version(lines: Sequence[str]) -> str:
    """The version's number in the output of `amtss register`.

    The alias `challenger` would not do: a student that is champion already does not get it.
    """
    return next(match[1] for line in lines if (match := re.search(r" version (\d+), ", line)))


def teach(work: Workspace, concurrency: int | None) -> None:
    """Fine-tune all teachers, as many at once as there are shares of the machine; each teacher's
    logits follow as soon as it is ready."""
    work.divide(concurrency)
    taught = {name: reproduce.submit(work, f"teach@{name}", ALONE)
              for name in teachers(work)}
    scored = [reproduce.submit(work, f"score@{name}", ALONE, wait_for=[future])
              for name, future in taught.items()]
    futures = [*taught.values(), *scored]
    wait(futures)  # one teacher's failure does not stop the others
    for future in futures:
        future.result()


def check_machines(work: Workspace) -> None:
    """Make sure that there are a DVC remote and workers to send teachers to.

    Raises:
        AmtssError: one of them is missing.
    """
    work.connect()
    remote_teachers.check_worker()


def teach_remotely(work: Workspace) -> None:
    """Have other machines run every teacher that DVC would run, and fetch the results."""
    names = teachers(work)
    targets = [target for name in names for target in stages_of(name)]
    status = json.loads(work.dvc("status", "--json", *targets)[-1])
    stale = [name for name in names  # what is merely missing here DVC can pull
             if any(any(dvc_status.changes(status.get(stage, []))) for stage in stages_of(name))]
    if stale:
        push(work, "gate", "data")
        with work.pushed() as reference:
            remote_teachers.teach(stale, reference)
    collect(work, targets)


def teach_for_another(work: Workspace, name: str) -> None:
    """Run a teacher of another machine's run: pull what it reads, push what it gives."""
    work.connect()
    params = work.params
    codes = {*params.taught_on(name), *params.scored_by(name)}
    pull(work, "gate", *(f"data@{code}" for code in sorted(codes)))
    for target in stages_of(name):
        reproduce(work, target, ALONE, PULL)
    push(work, *stages_of(name))


def stages_of(name: str) -> tuple[str, str]:
    """A teacher's stages."""
    return f"teach@{name}", f"score@{name}"


def teachers(work: Workspace) -> list[str]:
    """Names of dvc.yaml's teachers, the longest training first, so that a short one ends last."""
    lines = work.run(sys.executable, "-m", "dvc", "stage", "list", "--name-only")
    names = [line.removeprefix("teach@") for line in lines if line.startswith("teach@")]
    params = work.params

    def examples(name: str) -> int:
        sizes = (records.corpus(work.layout, code)["rows"]
                 for code in params.taught_on(name))
        return max(1, params.most_epochs(name)) * sum(int(size["train"]) for size in sizes)

    return sorted(names, key=examples, reverse=True)
