"""Commands as process groups: their lines as they come, their last ones where they fail, and all of
them stopped at once."""

import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

QUIET = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
         "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GX_ANALYTICS_ENABLED": "false"}
"""No telemetry, and no bars in a log; the user's own environment wins."""
LAST = 20
"""Lines of a failed command that its error tells."""
PATIENCE = 4.0
"""Seconds that a command has to stop by itself, and then to be gone once it is killed."""
PASSING = re.compile(
    r"expected (MLflow|the model registry) to answer|Connection ?(Error|refused|reset)|"
    r"Name or service not known|Temporary failure in name resolution|Timeout|timed out|"
    r"[Cc]ould(n't| not) (connect|reach)|"
    r"(50[234]|429) (Server|Client) Error|(exited with|exit status) -(9|15)\b")
"""What the network, a registry or a killed process leaves behind: worth another try."""
REFUSED = re.compile(r"failed to run: amtss (validate|gate)\b.*exited with [1-9]")
"""Data that no other try makes better, whatever words are in it."""


class CommandError(Exception):
    """A command failed; the message is its last lines."""

    @property
    def passing(self) -> bool:
        """Whether the same command may end well another time."""
        return PASSING.search(str(self)) is not None and REFUSED.search(str(self)) is None


class StoppedError(Exception):
    """A run was stopped while, or before, a command ran."""


class Commands:
    """The commands that run in a folder; after `stop` none does, nor ever will."""

    def __init__(self, folder: Path, environment: Mapping[str, str], lock: int) -> None:
        """Args: lock: a file descriptor that commands hold open too, as long as they live."""
        self._folder, self._environment, self._lock = folder, environment, lock
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._starting = threading.Lock()

    def run(self, words: Sequence[str], tell: Callable[[str], object],
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run one to its end, `tell` its lines as they come; all of them.

        Raises:
            CommandError: its exit status is not 0.
            StoppedError: `stop` was called.
        """
        process = self._start(words, dict(self._environment) | dict(environment or {}))
        assert process.stdout is not None
        lines, shown = [], deque[str](maxlen=LAST)
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1]:
                    shown.append(lines[-1])
                    tell(lines[-1])
            status = process.wait()
        finally:
            if process.poll() is None:  # `tell` failed
                _end([process])
            self._running.discard(process)
            process.stdout.close()
        if self._stopped:
            raise StoppedError(f"{' '.join(words)}: stopped")
        if status:
            raise CommandError("\n".join([f"{' '.join(words)}: exit status {status}", *shown]))
        return lines

    def _start(self, words: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        with self._starting:
            if self._stopped:
                raise StoppedError(f"{' '.join(words)}: stopped before it began")
            process = subprocess.Popen(
                words, cwd=self._folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                errors="replace", start_new_session=True, pass_fds=(self._lock,))
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Stop all that runs, with all that they started: asked first, then killed."""
        with self._starting:
            self._stopped = True
            running = list(self._running)
        _end(running)


def _end(processes: list[subprocess.Popen[str]]) -> None:
    """As Ctrl-C does, so that a run in MLflow ends as KILLED; then for good."""
    for number in (signal.SIGINT, signal.SIGKILL):
        for each in processes:
            with suppress(ProcessLookupError):
                os.killpg(each.pid, number)
        until = time.monotonic() + PATIENCE
        while (processes := [each for each in processes if _alive(each)]
               ) and time.monotonic() < until:
            time.sleep(0.05)


def _alive(process: subprocess.Popen[str]) -> bool:
    """Whether it or any of its group is; one that has ended is a group until it is waited for."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
