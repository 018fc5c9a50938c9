"""Teachers on other machines: sent to workers of the pool `machines`, watched, and sent again where
a worker is lost."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelling, Crashed

from amtss.errors import AmtssError
from flows.subprocesses import CommandError

POOL = "machines"
DEPLOYMENT = "teacher/remote"
CLONE, AT_ONCE = "AMTSS_CLONE", "AMTSS_AT_ONCE"
"""What a worker tells its flow runs: where it works, and how many others do there."""
LOOK = 2.0
"""Seconds from one look at the server to the next."""
TRIES = 3
"""For each teacher, counting those of lost workers."""


def settings(clone: Path, at_once: int) -> Mapping[str, str]:
    """The environment that a worker of `clone` runs in."""
    return {CLONE: str(clone), AT_ONCE: str(at_once)}


def check() -> None:
    """Make sure that somebody is there.

    Raises:
        AmtssError: the pool has no worker.
    """
    with get_client(sync_client=True) as client:
        if not _online(client):
            raise AmtssError(f"work pool {POOL}: expected a worker, found none; run `python -m "
                             "flows work` on each machine that shall take teachers")


def teach(names: Sequence[str], reference: str) -> None:
    """Have teachers taught and scored, each by any worker; leave nothing running behind.

    Args:
        reference: where in git workers find what to run.

    Raises:
        CommandError: of some, after the others have ended.
    """
    with get_client(sync_client=True) as client, _sent(client, names, reference) as away:
        while away.waiting:
            time.sleep(LOOK)
            away.look()
    if away.failures:
        raise CommandError("\n".join(away.failures))


class Away:
    """Teachers that were sent and have not come back."""

    def __init__(self, client: SyncPrefectClient, reference: str) -> None:
        self._client, self._reference = client, reference
        self._tries = Counter[str]()
        self._silent: set[UUID] = set()
        self.waiting: dict[UUID, str] = {}
        self.failures: list[str] = []

    def send(self, name: str) -> None:
        """Let any worker take it."""
        self._tries[name] += 1
        run = run_deployment(DEPLOYMENT, timeout=0, flow_run_name=f"teacher {name}",
                             parameters={"name": name, "reference": self._reference})
        self.waiting[run.id] = name

    def look(self) -> None:
        """See who has ended, and whose worker has been silent at two looks.

        A run does not know that its worker, with all its processes, was killed: its state stays
        Running. That a worker lives is known by its heartbeats.
        """
        online = _online(self._client)
        silent = set()
        for run in self._begun():
            if run.state.is_final():
                self._end(run)
            elif run.labels.get("prefect.worker.name") not in online:
                silent.add(run.id)
        for number in silent & self._silent:
            self._client.set_flow_run_state(number, Crashed(message="Its worker is lost."),
                                            force=True)
        self._silent = silent

    def cancel(self) -> None:
        """Stop what was sent."""
        for number in self.waiting:
            self._client.set_flow_run_state(number, Cancelling())

    def _begun(self) -> list[FlowRun]:
        """Runs that some worker has taken."""
        begun: list[FlowRun] = self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({
                "id": {"any_": list(self.waiting)},
                "state": {"type": {"not_any_": ["SCHEDULED"]}}}))
        return begun

    def _end(self, run: FlowRun) -> None:
        name = self.waiting.pop(run.id)
        if run.state.is_crashed() and self._tries[name] < TRIES:
            self.send(name)
        elif not run.state.is_completed():
            self.failures.append(f"teacher {name}: {run.state.name}: {run.state.message}")


@contextmanager
def _sent(client: SyncPrefectClient, names: Sequence[str], reference: str) -> Iterator[Away]:
    away = Away(client, reference)
    try:
        for name in names:
            away.send(name)
        yield away
    finally:
        away.cancel()


def _online(client: SyncPrefectClient) -> set[str]:
    """Names of the workers that have been heard of lately."""
    try:
        workers = client.read_workers_for_work_pool(POOL)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise
        return set()
    return {each.name for each in workers if each.status == "ONLINE"}
