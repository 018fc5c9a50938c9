"""What more languages cost: stages, DVC's own time per stage, a `dvc repro` with nothing to do.

`python bench/scaling.py [--languages 5 10 20] [--stand-in] [--out FILE.json]`, in the project's
folder. Languages have invented codes and rows from the demo's phrases; each has a linear teacher,
and the student is tiny and without layers, as models that learn nothing from few rows are refused.
With `--stand-in` commands only write the outputs of dvc.yaml: that measures DVC alone.
"""

import argparse
import csv
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring

from amtss.config import yaml
from amtss.config.params import load_params
from amtss.data import demo
from amtss.data.appendix_a import LANGUAGES
from amtss.paths import Layout

TINY = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300}
STAND_IN = """
import json, pathlib, sys
from ruamel.yaml import YAML
stage, *name = sys.argv[1:]
declared = YAML(typ="safe").load(pathlib.Path("dvc.yaml"))["stages"][stage]
declared = declared.get("do", declared)
for out in declared["outs"] + declared.get("metrics", []):
    path = pathlib.Path(out.replace("${item}", "".join(name)).replace("${key}", "".join(name)))
    path = path if path.suffix == ".json" else path / "cost.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(pathlib.Path("keys.json").read_text())
"""


def settings(codes: Sequence[str]) -> dict[str, Any]:
    """The demo's params.yaml with tiny models, a teacher per language and one of all."""
    demo_settings = yaml.load(Path("params/demo.yaml").read_text(encoding="utf-8"))
    return demo_settings | {
        "project": "scaling", "languages": list(codes),
        "data": {"source": "files", "path": "data", "files": "{language}/{split}.csv",
                 "mixed": 2000},
        "teaching": {"epochs": 1, "max_length": 16},
        "teachers": {**{code: {"kind": "linear", "languages": [code]} for code in codes},
                     "multilingual": {"languages": ["all"], "architecture": TINY}},
        "student": {"architecture": TINY | {"layers": 0, "width": 64, "pairs": 0},
                    "max_length": 16},
        "distil": demo_settings["distil"] | {"max_epochs": 1, "top_k": min(3, len(codes))},
        "baseline": {"teacher": "multilingual"}, "evaluation": {"bootstrap": 100}}


def project(folder: Path, count: int, stand_in: bool) -> Path:
    """A clone of the project with `count` languages."""
    subprocess.run(["git", "clone", "--quiet", ".", folder], check=True)
    codes = [f"x{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(count)]
    for number, code in enumerate(codes):
        like = LANGUAGES[number % len(LANGUAGES)]
        for split, rows in demo.generate(like, scale=0.003, seed=number).items():
            path = folder / "data" / code / f"{split}.csv"
            path.parent.mkdir(exist_ok=True)
            with open(path, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *((r.text, r.label) for r in rows)])
    params = settings(codes)
    (folder / "params.yaml").write_text(yaml.dump(params), encoding="utf-8")
    if stand_in:
        # All keys that any stage reads of any file.
        keys = dict.fromkeys(params["teachers"], 1)
        read = load_params(folder / "params.yaml").model_dump(mode="json")
        (folder / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
        (folder / "keys.json").write_text(json.dumps(read | dict.fromkeys(codes, 1) | {
            "labels": 1, "teach": keys, "score": keys, "examples": 1}), encoding="utf-8")
        declared = folder / "dvc.yaml"
        declared.write_text(declared.read_text(encoding="utf-8").replace(
            "cmd: amtss", f"cmd: {sys.executable} stand_in.py"), encoding="utf-8")
    return folder


def repro(folder: Path) -> tuple[list[str], float, float, float]:
    """Run `dvc repro`: the stages that ran, seconds, those within commands, and CPU-seconds, which
    are the same however busy the machine is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {
        "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    ran, inside, began = [], 0.0, time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last = error = ""
        for line in process.stdout:
            if match := re.match(r"Running stage '([^']+)'", line):
                ran.append(match[1])
                started = time.perf_counter()
            elif re.match(r"(Updating|Generating) lock", line) and not last.startswith("Gener"):
                inside += time.perf_counter() - started
            error = line if line.startswith("amtss: ") else error
            last = line
    if process.returncode:
        raise SystemExit(f"dvc repro failed: {error or last}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ran, time.perf_counter() - began, inside, spent


def measure(count: int, stand_in: bool) -> dict[str, object]:
    """The figures for `count` languages."""
    with tempfile.TemporaryDirectory() as place:
        folder = project(Path(place) / "project", count, stand_in)
        ran, wall, inside, spent = repro(folder)
        again, nothing, _, idle = repro(folder)
        assert not again
        student = [path.stat().st_size for path in Layout(folder).student.glob("*.safetensors")]
        return {"languages": count, "stages": len(ran), "seconds": round(wall, 1),
                "in commands": round(inside, 1), "of one core": round(spent, 1),
                "DVC's own per stage": round((wall - inside) / len(ran), 3),
                "nothing to do": round(nothing, 1), "of it one core": round(idle, 1),
                "dvc.lock, kB": (folder / "dvc.lock").stat().st_size // 1000,
                "student, kB": sum(student) // 1000}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    rows = [measure(count, options.stand_in) for count in options.languages]
    measuring.report(options, measuring.table("Languages", rows), rows)


if __name__ == "__main__":
    main()
