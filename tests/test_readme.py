"""README.md's commands run as they stand there, in order."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pipeline import Pipeline
from support.project import ROOT

PROGRAMS = ("amtss", "dvc", "git", "hf", "make", "mlflow", "pip", "prefect", "python", "torchrun")
"""What a command of the README begins with, after its variables."""
NOT_RUN = {
    "make": "runs for minutes; of `make demo` the commands are run that the Makefile lists",
    "amtss preset": "would replace the tiny settings of this test by a preset's",
    "amtss onboard-language": "trains for a minute; tests/test_onboarding.py runs it",
    "mlflow": "a server that does not end; tests/inference/test_mlflow_model.py asks the model",
    "python -m flows": "a server; tests/flows/ starts one",
    "prefect": "needs the server of `python -m flows up`",
    "hf": "needs the hub", "pip": "needs a package index", "git": "needs a repository to talk to",
    "torchrun": "needs several GPUs to be worth it; tests/test_processes.py trains in two"}
"""Beginnings of commands that this test leaves out, and why."""
RUN = {"dvc repro", "amtss results", "amtss predict --lang", "amtss register", "amtss promote",
       "amtss rollback", "amtss audit", "amtss export --lang", "amtss export --format"}
"""Beginnings of commands that have to be among those that run."""


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
    return words[:len(beginning.split())] == beginning.split()


def runnable() -> list[list[str]]:
    return [words for words in commands()
            if not any(starts(words, beginning) for beginning in NOT_RUN)]


def test_the_commands_that_a_model_s_life_takes_are_run() -> None:
    missing = {beginning for beginning in RUN
               if not any(starts(words, beginning) for words in runnable())}
    assert not missing


@pytest.mark.slow
def test_commands(reproduced: Pipeline, tmp_path: Path) -> None:
    pipeline = reproduced.copy(tmp_path / "project")
    pipeline.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{pipeline.root / 'mlflow.db'}"
    # a champion to roll back to: the README's version answers by onnxruntime
    for command in ("register", "promote"):
        pipeline.run("amtss", command)
    pipeline.set(pipeline.params | {"serving": {"runtime": "onnx"}})
    pipeline.commit()
    for words in runnable():
        pipeline.run(*words)
