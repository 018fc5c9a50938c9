"""Teachers on other machines: send them to the workers of the pool `machines`, watch them, and send
them again when a worker is lost."""

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
"""Variables that a worker gives its flow runs: its folder, and how many of them run there."""
POLL_SECONDS = 2.0
"""Time between two questions to the server."""
MAX_TRIES = 3
"""Tries for each teacher, those on lost workers included."""


def worker_variables(clone: Path, at_once: int) -> Mapping[str, str]:
    """What a worker in the folder `clone` needs in its environment."""
    return {CLONE: str(clone), AT_ONCE: str(at_once)}


def check_worker() -> None:
    """Make sure that some worker can take teachers.

    Raises:
        AmtssError: the pool has no worker.
    """
    with get_client(sync_client=True) as client:
        if not _online_workers(client):
            raise AmtssError(f"work pool {POOL}: expected a worker, found none; run `python -m "
                             "flows work` on each machine that shall take teachers")


def teach(names: Sequence[str], reference: str) -> None:
    """Have teachers fine-tuned and their logits computed, each by any worker. Whatever happens, no
    run is left behind.

    Args:
        reference: git reference of the commit that workers run.

    Raises:
        CommandError: some have failed; the others have ended before it is raised.
    """
    with get_client(sync_client=True) as client, _sent(client, names, reference) as sent:
        while sent.waiting:
            time.sleep(POLL_SECONDS)
            sent.poll()
    if sent.failures:
        raise CommandError("\n".join(sent.failures))


class SentTeachers:
    """Teachers that were sent to workers and have not ended."""

    def __init__(self, client: SyncPrefectClient, reference: str) -> None:
        self._client, self._reference = client, reference
        self._tries = Counter[str]()
        self._offline: set[UUID] = set()
        """Runs whose worker was offline at the last poll."""
        self.waiting: dict[UUID, str] = {}
        """Flow run -> teacher."""
        self.failures: list[str] = []

    def send(self, name: str) -> None:
        """Create a flow run for the teacher, which any worker may take."""
        self._tries[name] += 1
        run = run_deployment(DEPLOYMENT, timeout=0, flow_run_name=f"teacher {name}",
                             parameters={"name": name, "reference": self._reference})
        self.waiting[run.id] = name

    def poll(self) -> None:
        """Note which runs have ended; mark those as crashed whose worker is offline twice in a row.

        The state of a run stays Running when its worker is killed with all its processes. Only the
        worker's heartbeats tell that it is gone.
        """
        online = _online_workers(self._client)
        offline = set()
        for run in self._started_runs():
            if run.state.is_final():
                self._end(run)
            elif run.labels.get("prefect.worker.name") not in online:
                offline.add(run.id)
        for run_id in offline & self._offline:
            self._client.set_flow_run_state(run_id, Crashed(message="Its worker is lost."),
                                            force=True)
        self._offline = offline

    def cancel(self) -> None:
        """Cancel all runs that have not ended."""
        for run_id in self.waiting:
            self._client.set_flow_run_state(run_id, Cancelling())

    def _started_runs(self) -> list[FlowRun]:
        """Runs that some worker has taken."""
        runs: list[FlowRun] = self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({
                "id": {"any_": list(self.waiting)},
                "state": {"type": {"not_any_": ["SCHEDULED"]}}}))
        return runs

    def _end(self, run: FlowRun) -> None:
        name = self.waiting.pop(run.id)
        if run.state.is_crashed() and self._tries[name] < MAX_TRIES:
            self.send(name)
        elif not run.state.is_completed():
            self.failures.append(f"teacher {name}: {run.state.name}: {run.state.message}")


@contextmanager
def _sent(client: SyncPrefectClient, names: Sequence[str], reference: str
          ) -> Iterator[SentTeachers]:
    sent = SentTeachers(client, reference)
    try:
        for name in names:
            sent.send(name)
        yield sent
    finally:
        sent.cancel()


def _online_workers(client: SyncPrefectClient) -> set[str]:
    """Names of the pool's workers whose heartbeats arrive; none where there is no pool."""
    try:
        workers = client.read_workers_for_work_pool(POOL)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise
        return set()
    return {worker.name for worker in workers if worker.status == "ONLINE"}
