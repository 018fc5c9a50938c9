"""Where faults are tried: a small real project, its commands, and what they leave behind."""

import contextlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from support.pipeline import Pipeline
from support.project import LENIENT, PARAMS, ROWS, Project
from support.warm import programs

from amtss.config.params import load_params
from amtss.errors import AmtssError
from amtss.files import verify
from amtss.paths import Layout
from amtss.registry import versions

SPANISH = {"pay": "mi tarjeta fue rechazada para la factura", "ship": "dónde está el paquete",
           "chat": "hola querido robot"}
"""The language that is onboarded."""
LIMIT = 300
"""Seconds that a command may take before it counts as hanging."""
NOT_COMPARED = ("artifacts/tokens/", "artifacts/checkpoints/", "artifacts/export/",
                "artifacts/locks/", "artifacts/registry.lock", "/docs/", "/figures/cost.png",
                "/report.html")
"""Caches and locks, pages with random ids, and what shows seconds."""
SECONDS = re.compile(
    rb'"(seconds|checksum|[^"]*cost.json|[^"]*history.jsonl|report.md)": [^,}\n]+'
    rb"|docs/validations/[^)]*|^.*\d+ s\b.*$|^\| .* Seconds [\s\S]*?\n\n", re.MULTILINE)
"""What no two runs share: seconds, and moments in the names of pages."""


@dataclass(frozen=True)
class Try:
    """A fault that was tried."""

    part: str
    """The table's part: kill, corruption ..."""
    target: str
    """What it hit, a row of the table: a stage, a folder, a pair of commands."""
    fault: str
    how: str
    """How it ended: `survived`, `refused`, `made again`, or what went wrong."""
    good: bool


class Enough(Exception):  # noqa: N818 - nothing is wrong
    """A part's time is over."""


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """What a user should not see: a traceback, or a failure that is not told in one line."""
        text = self.out + self.err
        if "Traceback (most recent call last)" in text:
            return f"traceback: {text.strip().splitlines()[-1][:200]}"
        if self.status == 124:
            return "hangs"
        if self.status == 130 and not text.strip():  # interrupted by its user, who knows
            return ""
        told = [line for line in text.splitlines() if line.startswith("amtss: ")
                and not line.startswith("amtss: warning: ") and " answers, " not in line]
        dvc = [line for line in text.splitlines() if line.startswith("ERROR: ")]
        if self.status and len(told) != 1 and not (not told and dvc):
            return f"status {self.status} and {len(told)} lines: {text.strip()[-200:]}"
        return ""

    @property
    def failure(self) -> str:
        """The same for a command that has to succeed."""
        return self.mistake or f"fails: {self.err.strip()[-200:]}" * bool(self.status)


class Lab:
    """A project that has run, been registered and promoted; each try works on a copy of it at the
    same path."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.root, self.saved = folder / "project", folder / "saved"
        self.draw = random.Random(seed)
        self.tries: list[Try] = []
        self.ends = math.inf
        """When to stop, by `time.monotonic`."""
        params = json.loads(json.dumps(PARAMS)) | {
            "baseline": {"teacher": "multilingual"}, "continuation": {"max_epochs": 3},
            "promotion": {"max_average_drop": 100.0, "max_language_drop": 100.0, **LENIENT}}
        del params["teachers"]["en"]
        params["teachers"]["linear"] = {"kind": "linear", "languages": ["en", "fr"]}
        params["teachers"]["multilingual"]["languages"] = ["en", "fr"]
        if (self.saved / "fresh").exists():  # of an earlier campaign in this folder
            self.restore("fresh")
        self.pipeline = Pipeline(self.root, params, programs())
        self.environment = self.pipeline.environment | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root}/mlflow.db", "HF_HUB_OFFLINE": "1"}
        if (self.saved / "fresh").exists():
            return
        project = Project(self.root)
        project.texts()
        for split, numbers in ROWS.items():
            project.rows(f"data/es/{split}.jsonl", [
                {"text": f"{text} {number}", "label": label}
                for number in numbers for label, text in SPANISH.items()])
        self.pipeline.commit()
        self.save("fresh")

    def prepare(self, *names: str) -> None:
        """Save the states that tries begin with: `finished` and, if named, `candidate` (version 1
        is champion, version 2 challenger) and `promoted` (version 2 is champion)."""
        if not (self.saved / "finished").exists():
            self.must("dvc", "repro")
            self.pipeline.commit()
            self.save("finished")
        if "candidate" in names and not (self.saved / "promoted").exists():
            self.restore("finished")
            self.must("amtss", "register")
            self.must("amtss", "promote")
            edited = self.pipeline.params
            edited["distil"]["seed"] = 1
            self.pipeline.set(edited)
            self.must("dvc", "repro")
            self.pipeline.commit()
            self.must("amtss", "register")
            self.save("candidate")
            self.must("amtss", "promote")
            self.save("promoted")

    def save(self, name: str) -> None:
        shutil.rmtree(self.saved / name, ignore_errors=True)
        shutil.copytree(self.root, self.saved / name, symlinks=True)

    def restore(self, name: str) -> None:
        """Make the project what it was when `name` was saved."""
        for _ in range(20):  # a killed command's children may still write
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                break
            time.sleep(0.1)
        shutil.copytree(self.saved / name, self.root, symlinks=True)

    def start(self, *command: str, environment: dict[str, str | None] | None = None,
              **options: Any) -> "subprocess.Popen[str]":
        """A command in the project. A variable that is None is not set."""
        variables = {key: value for key, value in (self.environment | (environment or {})).items()
                     if value is not None}
        return subprocess.Popen(command, cwd=self.root, env=variables, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, errors="replace", start_new_session=True,
                                **options)

    def end(self, process: "subprocess.Popen[str]") -> Outcome:
        """Wait for a command."""
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Outcome(124, *process.communicate())
        return Outcome(process.returncode, out, err)

    def run(self, *command: str, **options: Any) -> Outcome:
        return self.end(self.start(*command, **options))

    def must(self, *command: str) -> Outcome:
        """Run a command that nothing disturbs.

        Raises:
            AssertionError: it fails.
        """
        outcome = self.run(*command)
        assert outcome.status == 0, f"{command}: {outcome.out}{outcome.err}"
        return outcome

    def processes(self, program: str = "") -> Iterator[psutil.Process]:
        """The running commands of this project, `amtss` or `dvc` or both.

        What only waits for a command that the tests' warm process runs is none.
        """
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                words = process.cmdline()
                name = "dvc" if words[1:3] == ["-m", "dvc"] else process.name()
                if (process.cwd() == str(self.root) and name in ("amtss", "dvc")
                        and name.startswith(program)
                        and not any(str(programs()) in word for word in words)):
                    yield process

    def signal(self, number: int, program: str = "") -> int:
        """Send a signal to the running commands; how many there were.

        Waits some seconds until they are gone: DVC takes a process that nobody has reaped for one
        that still works.
        """
        hit = list(self.processes(program))
        for process in hit:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        psutil.wait_procs(hit, timeout=10)
        return len(hit)

    def results(self) -> dict[str, bytes]:
        """Path -> content of all artifacts, without what no two runs share."""
        folder = self.root / "artifacts"
        files = {path.relative_to(self.root).as_posix(): path for path in sorted(
            folder.rglob("*")) if path.is_file()}
        return {name: SECONDS.sub(b"", path.read_bytes()) for name, path in files.items()
                if not any(part in name for part in NOT_COMPARED)}

    def damage(self) -> str:
        """A folder whose seal does not hold, in words; empty if there is none."""
        try:
            for seal in sorted((self.root / "artifacts").rglob("checksums.json")):
                if "checkpoints" not in seal.parts:
                    verify(seal.parent, "dvc repro")
        except AmtssError as error:
            return str(error)
        return ""

    def registry(self) -> dict[str, Any]:
        """What the registry says: versions, their students, and aliases; each is fetched.

        It is read from a copy, because MLflow keeps a database open that has been replaced.
        """
        copy = Path(tempfile.mkdtemp(dir=self.saved)) / "mlflow.db"
        shutil.copy(self.root / "mlflow.db", copy)
        with contextlib.chdir(self.root), variable("MLFLOW_TRACKING_URI", f"sqlite:///{copy}"):
            params, layout = load_params(self.root / "params.yaml"), Layout(self.root)
            known = versions.versions(params, layout)
            for version in known:
                versions.fetch(params, layout, version.number, version.fingerprint,
                               self.root / "artifacts" / "fetched")
            shutil.rmtree(self.root / "artifacts" / "fetched", ignore_errors=True)
            return {"versions": [(version.number, version.fingerprint, version.parent,
                                  version.languages, version.accuracy) for version in known],
                    "aliases": versions.aliases(params, layout)}

    def note(self, part: str, target: str, fault: str, how: str, wrong: str = "") -> None:
        """Count a try, and say so.

        Raises:
            Enough: the part's time is over.
        """
        self.tries.append(Try(part, target, fault, wrong or how, not wrong))
        print(f"{time.strftime('%H:%M:%S')} {part} | {target} | {fault}: "
              f"{f'FAULT {wrong}' if wrong else how}", flush=True)
        if time.monotonic() > self.ends:
            raise Enough


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> str:
    """Names of files that differ, a few."""
    names = [name for name in sorted(expected.keys() | found.keys())
             if expected.get(name) != found.get(name)]
    return ", ".join(names[:4])


@contextlib.contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable of this process."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def wait_until(done: Callable[[], bool], seconds: float = LIMIT) -> bool:
    """Whether `done` became true in time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
