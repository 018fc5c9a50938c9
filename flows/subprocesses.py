"""Commands of a run: each is a process group, its output is passed on line by line, and all of them
can be stopped at once."""

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
"""Variables that turn off telemetry and progress bars; the user's own environment wins."""
LAST_LINES = 20
"""Lines of a failed command's output that its error shows."""
STOP_TIMEOUT = 4.0
"""Seconds that a command has to stop by itself, and then to be gone after it was killed."""
TRANSIENT = re.compile(
    r"expected (MLflow|the model registry) to answer|Connection ?(Error|refused|reset)|"
    r"Name or service not known|Temporary failure in name resolution|Timeout|timed out|"
    r"[Cc]ould(n't| not) (connect|reach)|"
    r"(50[234]|429) (Server|Client) Error|(exited with|exit status) -(9|15)\b")
"""Output of a command that failed because of the network, a registry or a kill: try it again."""
BAD_DATA = re.compile(r"failed to run: amtss (validate|gate)\b.*exited with [1-9]")
"""Validation failed: final, even if an example text that it shows contains such words."""


class CommandError(Exception):
    """A command failed; the message is its last lines."""

    @property
    def transient(self) -> bool:
        """Whether the same command may succeed another time."""
        return TRANSIENT.search(str(self)) is not None and BAD_DATA.search(str(self)) is None


class StoppedError(Exception):
    """The run was stopped before the command ended."""


class Commands:
    """The commands that run in a folder; after `stop` none runs, and none can be started."""

    def __init__(self, folder: Path, environment: Mapping[str, str], lock: int) -> None:
        """Args: lock: descriptor of a locked file; every command holds it open while it runs."""
        self._folder, self._environment, self._lock = folder, environment, lock
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._starting = threading.Lock()

    def run(self, words: Sequence[str], on_line: Callable[[str], object],
            environment: Mapping[str, str] | None = None) -> list[str]:
        """Run a command to its end; all lines of its output.

        Args:
            on_line: called with each line that is not empty, as soon as it is written.
            environment: added to the variables of all commands.

        Raises:
            CommandError: its exit status is not 0.
            StoppedError: `stop` was called.
        """
        process = self._start(words, dict(self._environment) | dict(environment or {}))
        assert process.stdout is not None
        lines, last = [], deque[str](maxlen=LAST_LINES)
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1]:
                    last.append(lines[-1])
                    on_line(lines[-1])
            status = process.wait()
        finally:
            if process.poll() is None:  # `on_line` failed
                _end([process])
            self._running.discard(process)
            process.stdout.close()
        if self._stopped:
            raise StoppedError(f"{' '.join(words)}: stopped")
        if status:
            raise CommandError("\n".join([f"{' '.join(words)}: exit status {status}", *last]))
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
        """Stop all commands and whatever they have started."""
        with self._starting:
            self._stopped = True
            running = list(self._running)
        _end(running)


def _end(processes: list[subprocess.Popen[str]]) -> None:
    """Interrupt process groups as Ctrl-C does, so that MLflow marks their runs KILLED; kill those
    that remain."""
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        end = time.monotonic() + STOP_TIMEOUT
        while (processes := [process for process in processes if _alive(process)]
               ) and time.monotonic() < end:
            time.sleep(0.05)


def _alive(process: subprocess.Popen[str]) -> bool:
    """Whether any process of its group is alive."""
    process.poll()  # an ended process counts as one of its group until it is waited for
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
