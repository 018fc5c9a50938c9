"""Five teachers and their scores: one `dvc repro`, against the flow's teachers at once.

`python bench/at_once.py [--rounds 3] [--epochs 10] [--out FILE.json]`, in the project's folder, on
as many cores as the process may use (`taskset`). A machine that others use as well tells nothing:
DVC's side leaves cores free, the flow's does not.
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
    """A project with five teachers of the demo, its data validated and nothing taught."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
    params = yaml.load(Path("params/demo.yaml").read_text(encoding="utf-8"))
    del params["teachers"]["multilingual"]
    params["teachers"]["en"]["scores"] = ["all"]
    params["baseline"]["teacher"] = "en"  # it must score every language
    params["teaching"] |= {"epochs": epochs, "patience": epochs}
    (folder / "params.yaml").write_text(yaml.dump(params), encoding="utf-8")
    dvc(folder, "repro", "gate")
    return folder


def dvc(folder: Path, *words: str) -> None:
    """Run DVC on the code of `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, check=True,
                   capture_output=True)


def one_by_one(folder: Path) -> float:
    """Seconds of DVC's own way."""
    began = time.perf_counter()
    dvc(folder, "repro", *(f"score@{code}" for code in LANGUAGES))
    return time.perf_counter() - began


@flow(name="bench")
def at_once(folder: str) -> tuple[float, str]:
    """Seconds of the flow's way, and where it worked."""
    with workspace.claimed(Path(folder), OWN) as work:
        work.configure(OWN, {})
        tasks.reproduce(work, "gate")
        began = time.perf_counter()
        pipeline.teach(work, None)
        return time.perf_counter() - began, str(work.root)


def weights(folder: Path) -> bytes:
    """What the teachers are and say."""
    layout = Layout(folder)
    return contents(sorted([*layout.artifacts.glob("teachers/*/*.safetensors"),
                            *layout.artifacts.glob("logits/*/*.safetensors")]))


def measure(rounds: int, epochs: int) -> list[dict[str, object]]:
    """Both ways, turn by turn."""
    found: list[dict[str, object]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            sides = [project(Path(place) / name, epochs) for name in ("dvc", "flow")]
            alone = one_by_one(sides[0])
            together, worked = at_once(str(sides[1]))
            found.append({"round": len(found), "one by one, s": round(alone, 1),
                          "at once, s": round(together, 1), "ratio": round(together / alone, 3),
                          "same bytes": weights(sides[0]) == weights(Path(worked))})
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    with prefect_test_harness():
        found = measure(options.rounds, options.epochs)
    measuring.tell(options, measuring.table("Five teachers and their scores", found), found)


if __name__ == "__main__":
    main()
