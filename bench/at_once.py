"""Five teachers and their logits: one `dvc repro` against the flow, which runs them at once.

`python bench/at_once.py [--rounds 3] [--epochs 10] [--out FILE.json]`, in the project's folder, on
as many cores as the process may use (`taskset`). The machine must be quiet: DVC leaves cores free,
the flow does not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import measuring
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from amtss.config import yaml
from amtss.files import contents
from amtss.paths import Layout
from flows import pipeline, tasks, workspace
from flows.workspace import OWN

LANGUAGES = ("ar", "en", "es", "fr", "ru")


def project(folder: Path, epochs: int) -> Path:
    """A project with the demo's data, validated, and five teachers that have not been trained."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
    params = yaml.load(Path("bench/five_teachers.yaml").read_text(encoding="utf-8"))
    params["teaching"] |= {"epochs": epochs, "patience": epochs}
    (folder / "params.yaml").write_text(yaml.dump(params), encoding="utf-8")
    dvc(folder, "repro", "gate")
    return folder


def dvc(folder: Path, *words: str) -> None:
    """Run DVC in `folder`, with the code there."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, check=True,
                   capture_output=True)


def one_by_one(folder: Path) -> float:
    """Seconds that one `dvc repro` takes."""
    began = time.perf_counter()
    dvc(folder, "repro", *(f"score@{code}" for code in LANGUAGES))
    return time.perf_counter() - began


@flow(name="bench")
def at_once(folder: str) -> tuple[float, str]:
    """Seconds that the flow takes, and the folder of its workspace."""
    with workspace.claimed(Path(folder), OWN) as work:
        work.configure(OWN, {})
        tasks.reproduce(work, "gate")
        began = time.perf_counter()
        pipeline.teach(work, None)
        return time.perf_counter() - began, str(work.root)


def weights(folder: Path) -> bytes:
    """Weights and logits of all teachers."""
    layout = Layout(folder)
    return contents(sorted([*layout.artifacts.glob("teachers/*/*.safetensors"),
                            *layout.artifacts.glob("logits/*/*.safetensors")]))


def measure(rounds: int, epochs: int) -> list[dict[str, object]]:
    """Both ways in turns; a row of figures per round."""
    rows: list[dict[str, object]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            sides = [project(Path(folder) / name, epochs) for name in ("dvc", "flow")]
            alone = one_by_one(sides[0])
            together, workspace_root = at_once(str(sides[1]))
            rows.append({"round": len(rows), "one by one, s": round(alone, 1),
                         "at once, s": round(together, 1), "ratio": round(together / alone, 3),
                         "same bytes": weights(sides[0]) == weights(Path(workspace_root))})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    with prefect_test_harness():
        rows = measure(options.rounds, options.epochs)
    measuring.report(options, measuring.table("Five teachers and their scores", rows), rows)


if __name__ == "__main__":
    main()
