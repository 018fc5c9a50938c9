"""Two processes that write the same: one waits. Only real ones can show that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import Project, run

from amtss.cli.project import load_project, locks
from amtss.errors import AmtssError
from amtss.locks import alone
from amtss.paths import Layout


def test_a_stage_waits_for_the_same_stage(project: Project) -> None:
    with alone(Layout().locks / "settings"):
        process = subprocess.Popen([sys.executable, "-m", "amtss", "settings"], text=True,
                                   stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stderr.readline() == ("amtss: warning: settings is running in this folder "
                                             "already; waiting for its end\n")
        assert process.poll() is None
        assert not Layout().settings.exists()
        assert run("sources") == 0  # another stage does not wait
    assert process.wait(60) == 0
    assert Layout().settings.exists()


def test_an_ended_command_holds_no_lock(project: Project) -> None:
    for _ in range(2):  # in one process
        assert run("data", "en") == 0


def test_a_name_is_no_path(project: Project) -> None:
    with locks:
        load_project("teach@../../x")
    assert os.listdir("artifacts/locks") == ["teach@..%2F..%2Fx"]


def test_no_place_for_the_lock(project: Project) -> None:
    Path("artifacts").mkdir()
    Path("artifacts/locks").write_text("")
    with pytest.raises(AmtssError, match=r"artifacts/locks/gate: expected to be able to write it"):
        load_project("gate")
