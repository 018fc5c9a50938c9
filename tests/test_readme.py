"""README.md's commands run as they stand there, in order."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pipeline import Pipeline
from support.project import ROOT, run

PROGRAMS = ("amtss", "dvc", "git", "hf", "make", "mlflow", "pip", "prefect", "python", "torchrun")
"""What a command of the README begins with, after its variables."""
NOT_RUN = {
    "make": "runs for minutes; of `make demo` the commands are run that the Makefile lists",
    "amtss preset": "would replace the tiny settings of this test by a preset's",
    "amtss export --lang": "needs a student with layers; tests/inference/test_export.py runs it",
    "amtss predict --data": "needs a file; tests/inference/test_batch.py scores some",
    "amtss label-next": "needs logs; tests/annotation/test_selection.py has some",
    "amtss drift": "needs logs; tests/cli/test_monitoring.py has some",
    "mlflow": "a server that does not end; tests/inference/test_mlflow_model.py starts and asks it",
    "python -m flows": "a server; tests/flows/ starts one",
    "prefect": "needs the server of `python -m flows up`",
    "hf": "needs the hub", "pip": "needs a package index", "git": "needs a repository to talk to",
    "torchrun": "needs several GPUs to be worth it; tests/test_processes.py trains in two"}
"""Beginnings of commands that this test leaves out, and why."""
REQUIRED = {
    "amtss init", "dvc repro", "amtss results", "amtss predict --version", "amtss suspects",
    "amtss status", "amtss register", "amtss promote", "amtss versions", "amtss serve-image",
    "amtss rollback", "amtss audit", "amtss export --format", "amtss predict --runtime",
    "amtss onboard-language"}
"""Beginnings of commands that must be among those that run."""
RAW = ("predict", "suspects")
"""Commands that print JSON or CSV, whose lines are as long as they are."""
MINE = ROOT / "tests" / "mine"
"""Questions to a library, by topic: a folder for each language."""


def commands() -> Iterator[list[str]]:
    """The words of each command in the README's indented blocks, without variables and comments;
    in place of `make demo` what the Makefile runs for it."""
    for line in re.findall(r"^ {4}(\S.*)$", (ROOT / "README.md").read_text("utf-8"), re.M):
        program = re.match(r"(?:[A-Z_]+=\S+ +)*(\S+)", line)
        if program and program[1] in PROGRAMS:
            words = shlex.split(line[program.start(1):], comments=True)
            yield from recipe("demo") if words == ["make", "demo"] else [words]


def recipe(target: str) -> list[list[str]]:
    """The commands that the Makefile runs for a target."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.M)
    assert found, f"Makefile: expected a target {target}, found none"
    return [shlex.split(line) for line in found[1].splitlines()]


def starts(words: list[str], beginning: str) -> bool:
    """Whether a command begins with these words."""
    return words[:len(beginning.split())] == beginning.split()


def runnable() -> list[list[str]]:
    """The commands that this test runs."""
    return [words for words in commands()
            if not any(starts(words, beginning) for beginning in NOT_RUN)]


def test_the_most_important_commands_are_among_them() -> None:
    missing = {beginning for beginning in REQUIRED
               if not any(starts(words, beginning) for words in runnable())}
    assert not missing


def quicken(path: Path) -> None:
    """Ask in the settings of `amtss init` for fewer mixed texts, and for as much less of a student.
    """
    text = path.read_text(encoding="utf-8").replace("  seed: 0", "  mixed: 1000\n  seed: 0")
    path.write_text(re.sub(r"(max_below_floor:) \S+", r"\1 20", text), encoding="utf-8")


@pytest.mark.slow
def test_commands_run_in_order(reproduced: Pipeline, tmp_path: Path,
                               monkeypatch: pytest.MonkeyPatch,
                               capfd: pytest.CaptureFixture[str]) -> None:
    """From the demo, with tiny settings instead of its own, to the files of tests/mine; what is
    printed for people fits 100 columns."""
    pipeline = reproduced.copy(tmp_path / "project")
    pipeline.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{pipeline.root / 'mlflow.db'}"
    pipeline.enter(monkeypatch)
    Path("params").mkdir()
    shutil.copy("params.yaml", "params/tiny.yaml")  # `amtss init` replaces a preset
    shutil.copytree(MINE, "data/mine", ignore=shutil.ignore_patterns("ko"))
    pipeline.commit()
    for program, *arguments in runnable():
        if program != "amtss":
            pipeline.run(program, *arguments)
            continue
        if arguments[0] == "onboard-language":
            shutil.copytree(MINE / "ko", "data/mine/ko")
        capfd.readouterr()
        assert run(*arguments) == 0, arguments  # here, where torch and MLflow are imported already
        out = capfd.readouterr().out.replace(str(tmp_path), "")  # which is as long as it is
        if arguments[0] not in RAW:
            assert [line for line in out.splitlines() if len(line) > 100] == [], arguments
        if arguments[0] == "init":
            quicken(Path("params.yaml"))
