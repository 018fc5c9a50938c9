"""A Prefect server, a worker and the deployments on this machine: up, down, run."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from prefect.settings import get_current_settings

from amtss.errors import AmtssError
from flows.workspace import QUIET

POOL = "local"
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
PATIENCE = 120.0
"""Seconds that a server, and then a worker, has to be there."""


def up() -> None:
    """Start what does not run yet, and make the deployments of prefect.yaml.

    Raises:
        AmtssError: the port is taken, or something did not start.
    """
    if not Path("prefect.yaml").is_file():
        raise AmtssError("prefect.yaml: expected a file, found none; run in the project's folder")
    _home().mkdir(parents=True, exist_ok=True)
    if _running("server") is None:
        place = urlsplit(_url())
        host, port = place.hostname or "", place.port or 80
        _check_free(host, port)
        _start("server", "server", "start", "--host", host, "--port", str(port))
    _until(_healthy, "server")
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect("deploy", "--all")
    if _running("worker") is None:
        # One run at a time: each uses the whole machine.
        _start("worker", "worker", "start", "--pool", POOL, "--limit", "1")
    _until(_served, "worker")
    print(f"Prefect is at {_page()}; `python -m flows down` stops it")


def down() -> None:
    """Stop worker, runs and server, and whatever they have started."""
    for name in ("worker", "server"):
        process = _running(name)
        if process is not None:
            _end(process)
        (_home() / f"{name}.pid").unlink(missing_ok=True)


def run(deployment: str, arguments: Sequence[str]) -> None:
    """Run a deployment and watch it to its end.

    Args:
        arguments: of `prefect deployment run`, such as --param.

    Raises:
        AmtssError: no server, no such deployment, no worker, or the run did not end well.
    """
    if not _healthy():
        raise AmtssError(f"{_url()}: expected a Prefect server, found none; run "
                         "`python -m flows up`")
    flows = {each["id"]: each["name"] for each in _ask("flows/filter")}
    known = sorted(f"{flows[each['flow_id']]}/{each['name']}"
                   for each in _ask("deployments/filter"))
    if deployment not in known:
        raise AmtssError(f"deployment: expected one of {', '.join(known) or 'none'}, found "
                         f"{deployment!r}; name one of them, or run `python -m flows up`")
    if not _served():
        raise AmtssError(f"work pool {POOL}: expected a worker, found none; run "
                         "`python -m flows up`")
    done = subprocess.run([*PREFECT, "deployment", "run", deployment, "--watch", *arguments],
                          check=False, env=_environment())
    if done.returncode:
        raise AmtssError(f"{deployment}: expected the run to end well, found exit status "
                         f"{done.returncode}; see {_page()}")


def _home() -> Path:
    return Path(get_current_settings().home).absolute()


def _url() -> str:
    url = get_current_settings().api.url
    if url is None:
        raise AmtssError("PREFECT_API_URL: expected an address, found none; run in the project's "
                         "folder, whose prefect.toml has it")
    return str(url)


def _page() -> str:
    return _url().removesuffix("/api")


def _environment() -> dict[str, str]:
    """What prefect.toml says, for processes in other folders."""
    settings = get_current_settings()
    return QUIET | os.environ | {
        "PREFECT_HOME": str(_home()), "PREFECT_API_URL": _url(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": str(settings.server.analytics_enabled),
        "PREFECT_WORKER_QUERY_SECONDS": str(settings.worker.query_seconds)}


def _start(name: str, *words: str) -> None:
    """In the background; its log and its number go to Prefect's folder."""
    with open(_home() / f"{name}.log", "ab") as log:
        process = subprocess.Popen([*PREFECT, *words], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True, env=_environment())
    began = psutil.Process(process.pid).create_time()
    (_home() / f"{name}.pid").write_text(f"{process.pid} {began}", encoding="utf-8")


def _running(name: str) -> psutil.Process | None:
    """The process that `_start` has started, and no other that has got its number since."""
    path = _home() / f"{name}.pid"
    if not path.is_file():
        return None
    number, began = path.read_text(encoding="utf-8").split()
    try:
        process = psutil.Process(int(number))
        alive = process.create_time() == float(began) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _end(process: psutil.Process) -> None:
    """Stop it with all that descends from it: flow runs first, which stop their commands."""
    family = [process, *process.children(recursive=True)]
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for each in family:
            try:
                ask(each)
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=10)


def _check_free(host: str, port: int) -> None:
    if host not in ("127.0.0.1", "localhost"):
        raise AmtssError(f"{_url()}: expected an address of this machine, found {host}; start the "
                         "server there, or change api.url in prefect.toml")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise AmtssError(f"{_url()}: expected a free port, found {port} taken; stop what "
                             "listens there, or change api.url in prefect.toml") from None


def _until(ready: Callable[[], bool], name: str) -> None:
    """Wait for what was started."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if _running(name) is None or time.monotonic() > end:
            log = _home() / f"{name}.log"
            last = log.read_text(encoding="utf-8").strip().splitlines() if log.exists() else []
            down()
            raise AmtssError(f"{name}: expected it to start, found: {(last or ['nothing'])[-1]}; "
                             f"see {log}")
        time.sleep(0.5)


def _prefect(*words: str) -> None:
    done = subprocess.run([*PREFECT, *words], text=True, check=False, capture_output=True,
                          env=_environment())
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise AmtssError(f"expected `prefect {' '.join(words[:2])}` to end well, found: {said}; "
                         "mend that and run the same command again")


def _healthy() -> bool:
    try:
        return httpx.get(f"{_url()}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _served() -> bool:
    """Whether a worker of the pool is online."""
    workers = _ask(f"work_pools/{POOL}/workers/filter")
    return any(each["status"] == "ONLINE" for each in workers)


def _ask(what: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{_url()}/{what}", json={}, timeout=30)
    return answer.json() if answer.status_code == 200 else []
