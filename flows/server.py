"""Start and stop a Prefect server and workers on this machine, and run deployments."""

import errno
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from amtss.errors import AmtssError
from amtss.terminal import say
from flows import background, login, machine, project, remote_teachers
from flows.background import PREFECT, home, url

POOL = "local"
TRIES = 5
"""Of a request that the server cannot answer at the moment."""


def up() -> None:
    """Start server and worker if they do not run, and create the deployments of prefect.yaml.

    Raises:
        AmtssError: the port is taken, server or worker did not start, or the server that runs asks
            for no string or for another one.
    """
    if not Path("prefect.yaml").is_file():
        raise AmtssError("prefect.yaml: expected a file, found none; run in the project's folder")
    if background.running("server") is None:
        address = urlsplit(url())
        host, port = address.hostname or "", address.port or 80
        _check_free(host, port)
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        background.start("server", "server", "start", "--host", host, "--port", str(port),
                         variables={login.SERVER_VARIABLE: login.make(home(), url())})
    background.wait_until(_healthy, "server")
    _check_closed()
    for pool in (POOL, remote_teachers.POOL):
        response = _post("work_pools/", {"name": pool, "type": "process"})
        if response.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
            raise AmtssError(f"{url()}: expected to create the work pool {pool}, found status "
                             f"{response.status_code}; see {home() / 'server.log'}")
    if background.running("worker") is None:
        # One run at a time: each uses the whole machine.
        background.start("worker", "worker", "start", "--pool", POOL, "--limit", "1")
    _prefect("deploy", "--all")
    background.wait_until(lambda: bool(_online(POOL)), "worker")
    file = login.path(home())
    say(f"Prefect is at {_page()}, `python -m flows down` stops it"
        + (f"; its page asks for what is in {file}" if file.exists() else ""))


def down() -> None:
    """Stop workers, server and everything that they have started."""
    for name in ("teachers", "worker", "server"):
        background.stop(name)


def work(at_once: int | None) -> None:
    """Start a worker for teachers of other machines' runs, at most `at_once` at a time.

    Raises:
        AmtssError: no DVC remote, no server, or the worker did not start.
    """
    if at_once is not None and at_once < 1:
        raise AmtssError(f"--at-once: expected 1 or more, found {at_once}")
    clone = Path().absolute()
    project.remote(clone)
    _check_server()
    if background.running("teachers"):
        raise AmtssError("worker: expected none in this folder, found one; run "
                         "`python -m flows down` first")
    # A new name each time: a restarted worker must not pass for the one that had a lost run.
    name = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
    count = len(machine.shares(at_once))
    background.start("teachers", "worker", "start", "--pool", remote_teachers.POOL,
                     "--limit", str(count), "--name", name,
                     variables=remote_teachers.worker_variables(clone, count))
    background.wait_until(lambda: name in _online(remote_teachers.POOL), "teachers")
    say(f"{name} takes teachers from {_page()}, {count} at once; `python -m flows down` stops it")


def run(deployment: str, arguments: Sequence[str]) -> None:
    """Run a deployment and watch it until it ends.

    Args:
        arguments: further ones for `prefect deployment run`, such as --param.

    Raises:
        AmtssError: no server, no such deployment, no worker, or the run failed.
    """
    _check_server()
    flows = {flow["id"]: flow["name"] for flow in _filter("flows")}
    known = sorted(f"{flows[entry['flow_id']]}/{entry['name']}"
                   for entry in _filter("deployments"))
    if deployment not in known:
        raise AmtssError(f"deployment: expected one of {', '.join(known) or 'none'}, found "
                         f"{deployment!r}; name one of them, or run `python -m flows up`")
    if not _online(POOL):
        raise AmtssError(f"work pool {POOL}: expected a worker, found none; run "
                         "`python -m flows up`")
    done = subprocess.run([*PREFECT, "deployment", "run", deployment, "--watch", *arguments],
                          check=False, env=background.environment())
    if done.returncode:
        raise AmtssError(f"{deployment}: expected the run to succeed, found exit status "
                         f"{done.returncode}; see {_page()}")


def _page() -> str:
    """Address of the server's page."""
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
        message = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise AmtssError(f"expected `prefect {' '.join(words[:2])}` to succeed, found: {message}; "
                         "fix that and run the same command again")


def _check_server() -> None:
    if not _healthy():
        raise AmtssError(f"{url()}: expected a Prefect server, found none; run "
                         "`python -m flows up`")


def _check_closed() -> None:
    """Make sure that the server answers nobody who has not the string."""
    status = httpx.post(f"{url()}/work_pools/filter", json={}, timeout=30).status_code
    if status != httpx.codes.UNAUTHORIZED:
        raise AmtssError(f"{url()}: expected a server that asks for a string, found one that asks "
                         "for none; run `python -m flows down`, then `python -m flows up`")


def _healthy() -> bool:
    try:
        return httpx.get(f"{url()}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _online(pool: str) -> list[str]:
    """Names of the pool's workers whose heartbeats arrive."""
    workers = _filter(f"work_pools/{pool}/workers")
    return [worker["name"] for worker in workers if worker["status"] == "ONLINE"]


def _post(path: str, body: dict[str, Any]) -> httpx.Response:
    """What the server's API answers. Like Prefect's client, it asks again where the server's SQLite
    is locked for a moment.

    Raises:
        AmtssError: it does not know who asks.
    """
    headers = login.headers(home(), url())
    for _ in range(TRIES):
        response = httpx.post(f"{url()}/{path}", json=body, timeout=30, headers=headers)
        if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            break
        time.sleep(1)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise AmtssError(f"{url()}: expected the string that this server asks for, found "
                         f"{'another' if headers else 'none'}; run `export {login.VARIABLE}=$(cat "
                         f"{login.path(home())})` with that file of the server's machine, or there "
                         "`python -m flows down`, then `python -m flows up`")
    return response


def _filter(path: str) -> list[dict[str, Any]]:
    """All objects below `path` of the server's API; none where it refuses."""
    response = _post(f"{path}/filter", {})
    return response.json() if response.status_code == 200 else []
