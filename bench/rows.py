"""What `amtss init` and `dvc repro` reach, unedited, where a language has so many rows.

    python bench/rows.py FOLDER [--rows 200 700 2000 10000] [--languages ar en es fr ru]
        [--seeds 0 1] [--encoder E5] [--label scenario] [--work FOLDER] [--out FILE.json]

FOLDER has {language}/train.jsonl and {language}/validation.jsonl, as MASSIVE's. Of each language so
many rows of train are drawn, and a fifth as many of validation, 50 to 1,000; the rest of validation
is the test, so that no default is chosen by the test split. Each run is the two commands, in a
clone of this repository that all seeds share, as they have the same teachers.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import measuring

ROOT = Path(__file__).parents[1]
LEAST, MOST = 50, 1000
"""Rows of a language for validation."""


def draw(source: Path, folder: Path, languages: Sequence[str], rows: int, label: str) -> None:
    """Write `rows` of each language of `source` into `folder`, with validation and test.

    Few rows may lack a rare label. The gate refuses other rows that have it, so these are left out.
    """
    drawn, rest = {}, {}
    for language in languages:
        train, rest[language] = (
            (source / language / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
            for split in ("train", "validation"))
        chance = random.Random(f"{language} {rows}")
        chance.shuffle(rest[language])
        drawn[language] = chance.sample(train, min(rows, len(train)))
    known = {json.loads(line)[label] for lines in drawn.values() for line in lines}
    size = min(max(rows // 5, LEAST), MOST)
    for language in languages:
        held = [line for line in rest[language] if json.loads(line)[label] in known]
        (folder / language).mkdir(parents=True)
        for split, lines in (("train", drawn[language]), ("validation", held[:size]),
                             ("test", held[size:])):
            (folder / language / f"{split}.jsonl").write_text("\n".join(lines) + "\n",
                                                              encoding="utf-8")


def run(clone: Path, folder: Path, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The two commands in `clone`; what its summary.json says."""
    if not clone.exists():  # one that was interrupted goes on
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    init = ["amtss", "init", str(folder), "--force", "--label", options.label]
    if options.encoder:
        init += ["--encoder", str(options.encoder.resolve())]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
    for command in (init, ["dvc", "exp", "run", "-q", "-S", f"+distil.seed={seed}"]):
        subprocess.run(command, cwd=clone, env=environment, check=True)
    found: dict[str, Any] = json.loads((clone / "artifacts" / "summary.json").read_text())
    return found


def measure(options: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """A run for each number of rows and each seed; one that has ended in `work` is not run again.
    """
    for rows in options.rows:
        folder = work / f"data-{rows}"
        if not folder.exists():
            draw(options.folder, folder, options.languages, rows, options.label)
        for seed in options.seeds:
            kept = work / f"{rows}-{seed}.json"
            if not kept.exists():
                kept.write_text(json.dumps(run(work / f"project-{rows}", folder, seed, options)))
            yield {"rows": rows, "seed": seed, **json.loads(kept.read_text())}


def table(found: Sequence[dict[str, Any]]) -> str:
    return measuring.table("Accuracy by rows of a language", [
        {"rows": one["rows"], "seed": one["seed"], "linear floor": one["floor"],
         "mixture": one["mixture"], "X-LM-Tiny": one["tiny"], "student": one["accuracy"],
         "to the floor": one["vs_floor"]} for one in found])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 700, 2000, 10000])
    parser.add_argument("--languages", nargs="+", default=["ar", "en", "es", "fr", "ru"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--encoder", type=Path, default=None)
    parser.add_argument("--label", default="scenario")
    parser.add_argument("--work", type=Path, default=None, help="keeps what is done")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        found = list(measure(options, work.resolve()))
    measuring.report(options, table(found), found)


if __name__ == "__main__":
    main()
