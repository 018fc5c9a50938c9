"""Prefect's processes in the background: their logs and numbers are in Prefect's folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
from prefect.settings import get_current_settings

from amtss.errors import AmtssError
from flows.subprocesses import QUIET

PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
PATIENCE = 120.0
"""Seconds that a server, or a worker, has to be there."""


def home() -> Path:
    """Prefect's folder."""
    return Path(get_current_settings().home).absolute()


def url() -> str:
    """The server's.

    Raises:
        AmtssError: nothing says where it is.
    """
    found = get_current_settings().api.url
    if found is None:
        raise AmtssError("PREFECT_API_URL: expected an address, found none; run in the project's "
                         "folder, whose prefect.toml has it")
    return str(found)


def environment() -> dict[str, str]:
    """What prefect.toml says, for processes in other folders."""
    settings = get_current_settings()
    return QUIET | os.environ | {
        "PREFECT_HOME": str(home()), "PREFECT_API_URL": url(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": str(settings.server.analytics_enabled),
        "PREFECT_WORKER_QUERY_SECONDS": str(settings.worker.query_seconds),
        "PREFECT_WORKER_HEARTBEAT_SECONDS": str(settings.worker.heartbeat_seconds)}


def start(name: str, *words: str, more: Mapping[str, str] | None = None) -> None:
    """Run `prefect` with `words` as the process `name`, with `more` in its environment."""
    home().mkdir(parents=True, exist_ok=True)
    with open(home() / f"{name}.log", "ab") as log:
        process = subprocess.Popen([*PREFECT, *words], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True,
                                   env=environment() | dict(more or {}))
    began = psutil.Process(process.pid).create_time()
    (home() / f"{name}.pid").write_text(f"{process.pid} {began}", encoding="utf-8")


def running(name: str) -> psutil.Process | None:
    """The process that `start` has started, and no other that has got its number since."""
    path = home() / f"{name}.pid"
    if not path.is_file():
        return None
    number, began = path.read_text(encoding="utf-8").split()
    try:
        process = psutil.Process(int(number))
        alive = process.create_time() == float(began) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def until(ready: Callable[[], bool], name: str) -> None:
    """Wait for what was started.

    Raises:
        AmtssError: it has ended, or takes too long; it is stopped.
    """
    end = time.monotonic() + PATIENCE
    while not ready():
        if running(name) is None or time.monotonic() > end:
            log = home() / f"{name}.log"
            last = log.read_text(encoding="utf-8").strip().splitlines() if log.exists() else []
            stop(name)
            raise AmtssError(f"{name}: expected it to start, found: {(last or ['nothing'])[-1]}; "
                             f"see {log}")
        time.sleep(0.5)


def stop(name: str) -> None:
    """End it with all that descends from it: flow runs first, which stop their commands."""
    process = running(name)
    family = [process, *process.children(recursive=True)] if process else []
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for each in family:
            try:
                ask(each)
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=10)
    (home() / f"{name}.pid").unlink(missing_ok=True)
