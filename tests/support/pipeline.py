"""A small git and DVC project with this tree's dvc.yaml and code, and tiny settings for it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from amtss.config import yaml
from support.project import LENIENT, ROOT
from support.shared import once
from support.warm import BIN

SMALL = {"layers": 1, "width": 32, "heads": 2, "feed_forward": 64, "vocabulary": 300}


class Pipeline:
    """A git and DVC project with this tree's dvc.yaml."""

    def __init__(self, root: Path, params: dict[str, Any], path: Path | None = None) -> None:
        """Open the project in `root`, or create it if there is none.

        Args:
            path: a folder whose programs are found before all others.
        """
        self.root, self.params, self.path = root, params, path
        self.environment = os.environ | {
            "PATH": os.pathsep.join([*([str(path)] if path else []), str(BIN), os.environ["PATH"]]),
            "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b"}
        if not (root / "dvc.yaml").exists():
            self._create()

    def _create(self) -> None:
        shutil.copytree(once("pipeline", self._prepare), self.root, dirs_exist_ok=True)
        self.set(self.params)
        self.commit()

    def _prepare(self, root: Path) -> None:
        """All that projects have in common, nothing of it committed."""
        shutil.copytree(ROOT / "amtss", root / "amtss",
                        ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", "data/README.md",
                     "corrections/README.md"):
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        for program in ("git", "dvc"):
            subprocess.run([program, "init", "-q"], cwd=root, env=self.environment, check=True)
        shutil.copytree(ROOT / ".dvc", root / ".dvc", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))

    def copy(self, root: Path) -> "Pipeline":
        """The same project in another folder, with its DVC cache and all that has run."""
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True)
        return Pipeline(root, self.params, self.path)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it this process's working directory, with its environment."""
        monkeypatch.chdir(self.root)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def set(self, params: dict[str, Any]) -> None:
        """Write params.yaml."""
        self.params = params
        (self.root / "params.yaml").write_text(yaml.dump(params))

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "state")

    def run(self, *command: str) -> str:
        """Run a command in the project; its stdout. If the command fails, so does the test."""
        done = subprocess.run(command, cwd=self.root, text=True, capture_output=True, check=False,
                              env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self) -> list[str]:
        """Run `dvc repro`; names of the stages that ran."""
        return re.findall(r"Running stage '([^']+)'", self.run("dvc", "repro"))


def demo(*languages: str, scores: list[str] | None) -> dict[str, Any]:
    """A params.yaml of the demonstration with tiny models.

    Args:
        scores: languages that the multilingual teacher scores; None for those it is fine-tuned on,
            the first three.
    """
    return {
        "project": "demo", "languages": list(languages),
        "data": {"source": "demo", "path": "data", "scale": 0.02, "mixed": 0},
        "validation": {"max_characters": 400, "warn_truncated": 1.0}, "scoring": {"batch_size": 64},
        "report": {"title": "Demo"},
        "teaching": {"epochs": 3, "batch_size": 16, "learning_rate": 2.0e-2, "max_length": 16},
        "teachers": {**{code: {"languages": [code], "architecture": SMALL} for code in languages},
                     "multilingual": {"languages": list(languages[:3]), "architecture": SMALL}
                     | ({"scores": scores} if scores else {})},
        "student": {"architecture": {"layers": 0, "width": 32, "pairs": 500, "vocabulary": 300},
                    "max_length": 16},
        "distil": {"top_k": 2, "max_epochs": 2, "batch_size": 8, "learning_rate": 4.0e-2,
                   "kd_weight": 0.5, "mixing": "arithmetic", "temperature": 1.0,
                   "weight_decay": 0.01, "warmup": 0.1, "precision": "auto", "seed": 0},
        "baseline": {"teacher": "multilingual"},
        "onboarding": None, "continuation": {}, "evaluation": {"bootstrap": 100},
        "promotion": LENIENT}
