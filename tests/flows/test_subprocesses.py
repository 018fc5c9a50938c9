import os
import time
from pathlib import Path

import psutil
import pytest

from flows import subprocesses
from flows.subprocesses import CommandError, Commands, StoppedError

pytestmark = pytest.mark.slow
SHELL = ("sh", "-c")


def commands(folder: Path) -> Commands:
    with open(folder / "lock", "a") as lock:
        return Commands(folder, os.environ, os.dup(lock.fileno()))


class TestCommands:
    def test_each_line_is_passed_on(self, tmp_path: Path) -> None:
        lines: list[str] = []
        assert commands(tmp_path).run([*SHELL, "echo a; echo; echo b >&2"], lines.append) == [
            "a", "", "b"]
        assert lines == ["a", "b"]

    def test_an_error_shows_the_last_lines(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match=r"exit status 3\n11\n(.*\n)*30$") as raised:
            commands(tmp_path).run([*SHELL, "seq 30; exit 3"], print)
        assert not raised.value.transient

    @pytest.mark.parametrize(("line", "transient"), [
        ("amtss: MLFLOW_TRACKING_URI: expected MLflow to answer at http://h, found: no", True),
        ("requests.exceptions.ConnectionError: refused", True),
        ("ERROR: failed to run: amtss teach en, exited with -9", True),
        ("python -m dvc repro gate: exit status -15", True),
        ("found: Couldn't reach 'owner/name' on the Hub (LocalEntryNotFoundError)", True),
        ("ERROR: failed to run: amtss teach en, exited with 1", False),
        ("such as 'it timed out'\nERROR: failed to run: amtss validate en, exited with 1", False),
        ("such as 'it timed out'\nERROR: failed to run: amtss validate en, exited with -9", True),
        ("amtss: version 2 does not pass the rules", False),
        ("amtss: params.yaml: distil.top_k: expected a valid integer, found 'x'", False)])
    def test_only_some_failures_are_transient(self, line: str, transient: bool) -> None:
        assert CommandError(line).transient == transient

    def test_stop_ends_whole_groups_and_prevents_new_commands(
            self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import threading

        monkeypatch.setattr(subprocesses, "STOP_TIMEOUT", 1.0)
        running, ended = commands(tmp_path), []

        def run() -> None:
            with pytest.raises(StoppedError, match="stopped"):
                running.run([*SHELL, "trap '' INT; sleep 60 & echo $! > pid; wait; wait"], print)
            ended.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.02)
        grandchild = psutil.Process(int((tmp_path / "pid").read_text()))
        running.stop()
        thread.join(timeout=10)
        assert ended
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
        with pytest.raises(StoppedError, match="before it began"):
            running.run(["true"], print)
