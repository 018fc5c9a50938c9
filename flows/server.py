"""A Prefect server, workers and the deployments on this machine: up, down, work, run."""

import errno
import socket
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from amtss.errors import AmtssError
from flows import background, machine, project, remote_teachers
from flows.background import PREFECT, url

POOL = "local"


def up() -> None:
    """Start what does not run yet, and make the deployments of prefect.yaml.

    Raises:
        AmtssError: the port is taken, or something did not start.
    """
    if not Path("prefect.yaml").is_file():
        raise AmtssError("prefect.yaml: expected a file, found none; run in the project's folder")
    if background.running("server") is None:
        place = urlsplit(url())
        host, port = place.hostname or "", place.port or 80
        _check_free(host, port)
        background.start("server", "server", "start", "--host", host, "--port", str(port))
    background.until(_healthy, "server")
    for pool in (POOL, remote_teachers.POOL):
        made = httpx.post(f"{url()}/work_pools/", json={"name": pool, "type": "process"})
        if made.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
            raise AmtssError(f"{url()}: expected to make the work pool {pool}, found status "
                             f"{made.status_code}; see {background.home() / 'server.log'}")
    if background.running("worker") is None:
        # One run at a time: each uses the whole machine.
        background.start("worker", "worker", "start", "--pool", POOL, "--limit", "1")
    _prefect("deploy", "--all")
    background.until(lambda: bool(_online(POOL)), "worker")
    print(f"Prefect is at {_page()}; `python -m flows down` stops it")


def down() -> None:
    """Stop workers, runs and server, and whatever they have started."""
    for name in ("teachers", "worker", "server"):
        background.stop(name)


def work(at_once: int | None) -> None:
    """Start a worker that takes teachers of other machines' runs, `at_once` at a time.

    Raises:
        AmtssError: no DVC remote, no server, or it did not start.
    """
    if at_once is not None and at_once < 1:
        raise AmtssError(f"--at-once: expected 1 or more, found {at_once}")
    clone = Path().absolute()
    project.remote(clone)
    _check_server()
    if background.running("teachers"):
        raise AmtssError("worker: expected none in this folder, found one; run "
                         "`python -m flows down` first")
    # A name of its own each time: a worker that has come back has not what it had.
    name = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
    count = len(machine.shares(at_once))
    background.start("teachers", "worker", "start", "--pool", remote_teachers.POOL,
                     "--limit", str(count), "--name", name,
                     more=remote_teachers.settings(clone, count))
    background.until(lambda: name in _online(remote_teachers.POOL), "teachers")
    print(f"{name} takes teachers from {_page()}, {count} at once; `python -m flows down` stops it")


def run(deployment: str, arguments: Sequence[str]) -> None:
    """Run a deployment and watch it to its end.

    Args:
        arguments: of `prefect deployment run`, such as --param.

    Raises:
        AmtssError: no server, no such deployment, no worker, or the run did not end well.
    """
    _check_server()
    flows = {each["id"]: each["name"] for each in _ask("flows/filter")}
    known = sorted(f"{flows[each['flow_id']]}/{each['name']}"
                   for each in _ask("deployments/filter"))
    if deployment not in known:
        raise AmtssError(f"deployment: expected one of {', '.join(known) or 'none'}, found "
                         f"{deployment!r}; name one of them, or run `python -m flows up`")
    if not _online(POOL):
        raise AmtssError(f"work pool {POOL}: expected a worker, found none; run "
                         "`python -m flows up`")
    done = subprocess.run([*PREFECT, "deployment", "run", deployment, "--watch", *arguments],
                          check=False, env=background.environment())
    if done.returncode:
        raise AmtssError(f"{deployment}: expected the run to end well, found exit status "
                         f"{done.returncode}; see {_page()}")


def _page() -> str:
    return url().removesuffix("/api")


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AmtssError(f"{url()}: expected a free port, found {port} taken; stop what "
                                 "listens there, or change api.url in prefect.toml") from None
            raise AmtssError(f"{url()}: expected an address of this machine, found {host} "
                             f"({error.strerror}); start the server there, or "
                             "change api.url in prefect.toml") from None


def _prefect(*words: str) -> None:
    done = subprocess.run([*PREFECT, *words], text=True, check=False, capture_output=True,
                          env=background.environment())
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise AmtssError(f"expected `prefect {' '.join(words[:2])}` to end well, found: {said}; "
                         "mend that and run the same command again")


def _check_server() -> None:
    if not _healthy():
        raise AmtssError(f"{url()}: expected a Prefect server, found none; run "
                         "`python -m flows up`")


def _healthy() -> bool:
    try:
        return httpx.get(f"{url()}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _online(pool: str) -> list[str]:
    """Names of a pool's workers."""
    workers = _ask(f"work_pools/{pool}/workers/filter")
    return [each["name"] for each in workers if each["status"] == "ONLINE"]


def _ask(what: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{url()}/{what}", json={}, timeout=30)
    return answer.json() if answer.status_code == 200 else []
