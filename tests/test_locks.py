import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from amtss.locks import alone

HOLDING = """
import os, signal, sys
from pathlib import Path
from amtss.locks import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def hold(path: Path) -> bool:
    with alone(path):
        return True


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    with ThreadPoolExecutor(1) as threads:
        with alone(path):
            waiting = threads.submit(hold, path)
            assert wait([waiting], timeout=0.2).not_done
        assert waiting.result(timeout=60)


def test_a_lock_does_not_outlive_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path / "a.lock")],
                          stdout=subprocess.PIPE) as holder, ThreadPoolExecutor(1) as threads:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waiting = threads.submit(hold, tmp_path / "a.lock")
        assert wait([waiting], timeout=0.2).not_done
        holder.kill()
        assert waiting.result(timeout=60)


def test_who_waits_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.lock"
    with alone(path, "somebody holds it"):
        assert capfd.readouterr().err == ""
        code = ("import sys; from pathlib import Path; from amtss.locks import alone"
                "\nwith alone(Path(sys.argv[1]), 'somebody holds it'): pass")
        second = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE)
        assert second.stderr is not None
        assert second.stderr.readline() == b"amtss: warning: somebody holds it\n"
    assert second.wait(timeout=60) == 0
    second.stderr.close()
