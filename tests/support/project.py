"""A small real project in its own folder, and the real command line."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from amtss.cli.main import main
from amtss.config import yaml

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
LABELS = ("pay", "ship", "chat")
WORDS = {"en": {"pay": "my card was refused for invoice", "ship": "where is parcel number",
                "chat": "hello there robot"},
         "fr": {"pay": "ma carte est refusée pour la facture", "ship": "où est le colis numéro",
                "chat": "bonjour cher robot"}}
ROWS = {"train": range(0, 8), "validation": range(8, 12), "test": range(12, 16)}
_ENCODER = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300}
PARAMS: dict[str, Any] = {
    "project": "tiny",
    "languages": ["en", "fr"],
    "data": {"source": "files", "path": "data", "files": "{language}/{split}.jsonl",
             "mixed": 0},
    "validation": {"warn_truncated": 1.0},
    "teaching": {"epochs": 4, "batch_size": 4, "learning_rate": 3.0e-2, "max_length": 16,
                 "precision": "fp32"},
    "teachers": {"en": {"languages": ["en"], "architecture": _ENCODER},
                 "multilingual": {"languages": ["all"], "architecture": _ENCODER}},
    "scoring": {"precision": "fp32"},
    "student": {"architecture": _ENCODER, "max_length": 16},
    "distil": {"top_k": 1, "max_epochs": 6, "batch_size": 4, "learning_rate": 2.0e-2,
               "precision": "fp32", "mixing": "arithmetic", "kd_weight": 0.5},
    "evaluation": {"bootstrap": 100},
}
"""params.yaml of the tests' project: two languages, two teachers, models of a few kilobytes."""
LENIENT: dict[str, Any] = {"min_above_majority": None, "max_below_floor": None}
"""Rules of promotion that let a tiny student become the first champion, little as it learns."""
Row = dict[str, Any]
STAGES = ("data en", "data fr", "validate en", "validate fr", "gate", "floor", "teach en",
          "teach multilingual", "score en", "score multilingual", "start", "distil",
          "baseline", "evaluate", "report")


class Outcome(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


class Project:
    """A folder with a params.yaml and two languages' texts; it is the working directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def params(self, edit: Callable[[dict[str, Any]], Any] | None = None) -> None:
        """Write `PARAMS` to params.yaml, changed by `edit`."""
        values = json.loads(json.dumps(PARAMS))
        if edit:
            edit(values)
        self.write("params.yaml", yaml.dump(values))

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the project; its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, name: str, rows: Iterable[Row]) -> None:
        """Write `rows` as the JSONL file `name`."""
        self.write(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def texts(self) -> None:
        """Write the texts of both languages into data/en and data/fr."""
        for language in WORDS:
            for split in ROWS:
                self.rows(f"data/{language}/{split}.jsonl", examples(language, split))

    def amtss(self, *arguments: str, stdin: bytes = b"", **options: Any) -> Outcome:
        """Run `amtss` as a process."""
        done = subprocess.run([sys.executable, "-m", "amtss", *arguments], cwd=self.root,
                              input=stdin, capture_output=True, check=False, **options)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def snapshot(self) -> dict[str, bytes | None]:
        """Path -> content of every file of the project; None for folders."""
        return {str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None
                for path in sorted(self.root.rglob("*"))}


def examples(language: str, split: str) -> list[Row]:
    """Labelled rows of a split; all texts differ."""
    return [{"id": f"{split}-{label}-{number}", "text": f"{WORDS[language][label]} {number}",
             "label": label} for number in ROWS[split] for label in LABELS]


def run(*arguments: str) -> int:
    """Run `amtss` in this process; its exit status."""
    before = sys.argv
    sys.argv = ["amtss", *arguments]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def unfolded(out: str) -> str:
    """Output of a command with each sentence on one line."""
    return out.replace("\n    ", " ")


@contextlib.contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Limit files to `size` bytes: writing more fails as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make `folder` the working directory until the context ends."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
