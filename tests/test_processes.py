"""Two processes on the CPU with gloo, in place of several GPUs."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file
from support.project import ROOT
from support.training import Project, scored, untimed

from amtss import processes
from amtss.errors import AmtssError

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def environment(**more: str) -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more


def start(project: Project, *command: str) -> "subprocess.Popen[str]":
    """`amtss COMMAND` in two processes."""
    return subprocess.Popen(
        [sys.executable, "-m", "amtss", *command], cwd=project.layout.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(AMTSS_PROCESSES="2", OMP_NUM_THREADS="1"))


def end(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def started(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that torchrun started, by rank."""
    children = [child for child in psutil.Process(process.pid).children(recursive=True)
                if "RANK" in child.environ()]
    return sorted(children, key=lambda child: child.environ()["RANK"])


class TestProcesses:
    @pytest.mark.parametrize("given", ["0", "two", "-1", "1.5", ""])
    def test_are_a_number(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        monkeypatch.setenv("AMTSS_PROCESSES", given)
        with pytest.raises(AmtssError, match=f"AMTSS_PROCESSES: expected a number.*'{given}'"):
            processes.launch()

    def test_one_starts_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AMTSS_PROCESSES", raising=False)
        assert not processes.launch()
        monkeypatch.setenv("AMTSS_PROCESSES", "1")
        assert not processes.launch()

    def test_one_of_several_starts_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AMTSS_PROCESSES", "2")
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
        assert not processes.launch()

    @pytest.mark.parametrize(("rank", "first"), [("0", True), ("1", False)])
    def test_the_first_one_writes(self, monkeypatch: pytest.MonkeyPatch, rank: str,
                                  first: bool) -> None:
        assert processes.first()
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
        monkeypatch.setenv("RANK", rank)
        assert processes.first() == first


STEPS = """
import os
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from support.lesson import Lesson
from support.training import Project

root = Path(sys.argv[1])
for parts in (1, 3):
    project = Project(root / os.environ.get("RANK", "0"), student={"dropout": 0.0})
    lesson = Lesson(project, batch_size=7, learning_rate=1.0e-3,
                    accumulate=parts)
    rank = lesson.learner.accelerator.process_index
    # 45 rows of English, then three of French: one process has no row of the last batch
    losses = [lesson.epoch(1, np.arange(1, 46)), lesson.epoch(2, np.arange(48, 51)),
              lesson.epoch(3, np.arange(50, 51))]
    weights = lesson.weights()
    logits = lesson.learner.predict(lesson.data)
    save_file(weights, root / f"weights-{parts}-{rank}.safetensors")
    np.save(root / f"logits-{parts}-{rank}.npy", logits)
    np.save(root / f"losses-{parts}-{rank}.npy", [list(row.values()) for row in losses])
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the results of the same steps by one process and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for folder in (one, two):
        for rank in ("0", "1"):
            scored(folder / rank)
        (folder / "steps.py").write_text(STEPS)
    with pytest.MonkeyPatch.context() as patch:  # this process has imported torch already
        patch.setattr(sys, "argv", ["steps.py", str(one)])
        runpy.run_path(str(one / "steps.py"))
    done = subprocess.run([*TORCHRUN, two / "steps.py", two], capture_output=True, text=True,
                          check=False, env=environment(OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 3])
class TestSteps:
    def test_are_those_of_one_process(self, steps: tuple[Path, Path], parts: int) -> None:
        one, two = (load_file(folder / f"weights-{parts}-0.safetensors") for folder in steps)
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, atol=2e-4, err_msg=name)
        losses, logits = ([np.load(folder / f"{what}-{parts}-0.npy") for folder in steps]
                          for what in ("losses", "logits"))
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
        np.testing.assert_allclose(logits[0], logits[1], atol=5e-3)

    def test_leave_the_same_model_in_each(self, steps: tuple[Path, Path], parts: int) -> None:
        ranks = [(steps[1] / f"weights-{parts}-{rank}.safetensors").read_bytes()
                 for rank in (0, 1)]
        assert ranks[0] == ranks[1]
        for what in ("losses", "logits"):
            said = [(steps[1] / f"{what}-{parts}-{rank}.npy").read_bytes() for rank in (0, 1)]
            assert said[0] == said[1]

    def test_leave_heads_that_no_process_used(self, steps: tuple[Path, Path], parts: int) -> None:
        one, two = (load_file(folder / f"weights-{parts}-0.safetensors") for folder in steps)
        russian = [name for name in one if name.startswith("heads.ru.")]
        assert len(russian) == 4
        assert all(np.array_equal(one[name], two[name]) for name in russian)


LONG: dict[str, Any] = {"max_epochs": 8, "weights": "boosted", "learning_rate": 1.0e-3}


def check_killed(whole: Project, cut: Project, *command: str) -> None:
    """Kill one of two processes: the stage fails, and when run again it ends as if undisturbed."""
    status, out, errors = end(start(whole, *command))
    assert (status, errors) == (0, "")
    assert out.count("epoch 3:") == 1  # reported once
    process = start(cut, *command)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2:" in line:
            break
    started(process)[1].send_signal(signal.SIGKILL)
    status, _, errors = end(process)
    assert status == 1
    assert errors.splitlines()[-1].startswith(
        "amtss: process 1 of 2: expected it to finish, found it ended by SIGKILL")
    status, out, errors = end(start(cut, *command))
    assert (status, errors) == (0, "")
    assert "epoch 1:" not in out
    assert not list((cut.layout.artifacts / "checkpoints").glob("*/*"))


@pytest.mark.slow
def test_a_student_resumes_where_one_process_was_killed(tmp_path: Path) -> None:
    whole, cut = (scored(tmp_path / name, distil=LONG) for name in ("whole", "cut"))
    check_killed(whole, cut, "distil")
    assert cut.student == whole.student
    assert untimed(cut.history("distil")) == untimed(whole.history("distil"))


@pytest.mark.slow
def test_a_teacher_resumes_where_one_process_was_killed(tmp_path: Path) -> None:
    whole, cut = (scored(tmp_path / name, teaching={"accumulate": 2})
                  for name in ("whole", "cut"))
    check_killed(whole, cut, "teach", "en")
    assert cut.about("en")["fingerprint"] == whole.about("en")["fingerprint"]


@pytest.mark.slow
def test_no_process_outlives_a_killed_torchrun(tmp_path: Path) -> None:
    process = start(scored(tmp_path, distil=LONG | {"max_epochs": 500}), "distil")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1:")
    workers = started(process)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(worker.is_running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.slow
def test_an_error_of_both_is_reported_once(tmp_path: Path) -> None:
    project = scored(tmp_path)
    (project.layout.tokenizer / "tokenizer.json").write_text("{")
    status, out, errors = end(start(project, "distil"))
    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("amtss: artifacts/tokenizer/tokenizer.json: expected it as it was ")
