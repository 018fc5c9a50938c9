"""Prefect processes in the background; their logs and process ids are in Prefect's folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from prefect.settings import get_current_settings

from amtss.errors import AmtssError
from flows import login
from flows.subprocesses import QUIET

PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
START_TIMEOUT = 120.0
"""Seconds that a server or a worker has to start."""


def home() -> Path:
    """Prefect's folder."""
    return Path(get_current_settings().home).absolute()


def url() -> str:
    """Address of the server's API.

    Raises:
        AmtssError: none is configured.
    """
    address = get_current_settings().api.url
    if address is None:
        raise AmtssError("PREFECT_API_URL: expected an address, found none; run in the project's "
                         "folder, whose prefect.toml has it")
    return str(address)


def environment() -> dict[str, str]:
    """The settings of prefect.toml as variables, for processes in other folders, and the server's
    string: command lines can be seen by others, variables only by the same user."""
    settings = get_current_settings()
    return QUIET | os.environ | {
        login.VARIABLE: login.string(home(), url()) or "",  # so that our profile's is not taken
        "PREFECT_HOME": str(home()), "PREFECT_API_URL": url(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": str(settings.server.analytics_enabled),
        "PREFECT_WORKER_QUERY_SECONDS": str(settings.worker.query_seconds),
        "PREFECT_WORKER_HEARTBEAT_SECONDS": str(settings.worker.heartbeat_seconds)}


def start(name: str, *words: str, variables: Mapping[str, str] | None = None) -> None:
    """Run `prefect WORDS` in the background as the process `name`.

    Args:
        variables: added to its environment.
    """
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(home() / f"{name}.log", "ab") as log:
        process = subprocess.Popen([*PREFECT, *words], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True,
                                   env=environment() | dict(variables or {}))
    created = psutil.Process(process.pid).create_time()
    (home() / f"{name}.pid").write_text(f"{process.pid} {created}", encoding="utf-8")


def running(name: str) -> psutil.Process | None:
    """The process that `start` started, if it still runs.

    Its time of creation is compared too: another process may have got the same id since.
    """
    path = home() / f"{name}.pid"
    if not path.is_file():
        return None
    pid, created = path.read_text(encoding="utf-8").split()
    try:
        process = psutil.Process(int(pid))
        alive = (process.create_time() == float(created)
                 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def wait_until(ready: Callable[[], bool], name: str) -> None:
    """Wait until the process `name` is `ready`.

    Raises:
        AmtssError: it has ended or took longer than `START_TIMEOUT`; it is stopped then.
    """
    end = time.monotonic() + START_TIMEOUT
    while not ready():
        if running(name) is None or time.monotonic() > end:
            log = home() / f"{name}.log"
            lines = log.read_text(encoding="utf-8").strip().splitlines() if log.exists() else []
            stop(name)
            raise AmtssError(f"{name}: expected it to start, found: {(lines or ['nothing'])[-1]}; "
                             f"see {log}")
        time.sleep(0.5)


def stop(name: str) -> None:
    """End the process and its descendants: terminate them, then kill those that still run."""
    process = running(name)
    family = [process, *process.children(recursive=True)] if process else []
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            try:
                end(member)
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=10)
    (home() / f"{name}.pid").unlink(missing_ok=True)
