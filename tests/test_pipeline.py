"""The one DAG: what `dvc repro` runs, what it leaves alone, and what DVC tells of it."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from training import Project

from amtss.config.schema import Data
from amtss.data import sources
from amtss.validation import gate

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NO_DEPS = {"cli", "config", "params", "errors", "layout", "bar", "tracking", "launching", "hub"}
"""Modules that many stages run and that compute nothing; dvc.yaml says why."""
STARTS = {"sources": ("sources",), "data": ("sources", "sampling", "corpus"),
          "validate": ("validation",), "fetch": ("registry",),
          "gate": ("gating",), "teach": ("teaching",), "score": ("scoring",),
          "vocabulary": ("starting",), "distil": ("distilling",), "baseline": ("baseline",),
          "evaluate": ("evaluating",), "report": ("reporting",)}
"""Stage -> the modules that its command calls."""


def stages() -> dict[str, dict[str, Any]]:
    """dvc.yaml's stages, whether they are one or many."""
    read = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in read.items()}


def imported(module: str) -> set[str]:
    """Modules of amtss that `module` imports itself, wherever in its text."""
    tree = ast.parse((ROOT / "amtss" / f"{module}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "amtss":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("amtss."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names
                      if alias.name.startswith("amtss.")}
    return {name for name in found if (ROOT / "amtss" / f"{name}.py").is_file()}


def needed(starts: tuple[str, ...]) -> set[str]:
    """All modules that run when `starts` do."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += imported(module)
    return seen - NO_DEPS


class TestDeclared:
    def test_stages_are_commands(self) -> None:
        assert set(stages()) == set(STARTS)
        for name, stage in stages().items():
            assert stage["cmd"].split()[:2] == ["amtss", name]

    @pytest.mark.parametrize("name", STARTS)
    def test_deps_are_the_modules_that_run(self, name: str) -> None:
        declared = {Path(dep).stem for dep in stages()[name]["deps"]
                    if re.fullmatch(r"amtss/\w+\.py", str(dep))}
        assert declared == needed(STARTS[name])

    @pytest.mark.parametrize("name", STARTS)
    def test_starts_are_what_the_command_calls(self, name: str) -> None:
        tree = ast.parse((ROOT / "amtss" / "cli.py").read_text(encoding="utf-8"))
        command = next(node for node in tree.body
                       if isinstance(node, ast.FunctionDef) and node.name == name)
        called = {alias.name for node in ast.walk(command) if isinstance(node, ast.ImportFrom)
                  and node.module == "amtss" for alias in node.names}
        assert called - NO_DEPS <= set(STARTS[name]) | {"config"}
        assert called >= set(STARTS[name]) - {"corpus", "sampling"}

    def test_exceptions_are_told(self) -> None:
        comment = (ROOT / "dvc.yaml").read_text(encoding="utf-8").split("stages:")[0]
        assert all(f"{name}.py" in comment for name in NO_DEPS)


class TestKeys:
    """What DVC goes by instead of params.yaml."""

    @pytest.mark.parametrize(("changed", "taught", "scored"), [
        ({}, False, False),
        ({"teachers": {"en": {"scores": ["all"]}}}, False, False),
        ({"teachers": {"fr": {"training": {"epochs": 7}}}}, False, False),
        ({"teachers": {"en": {"training": {"batch_size": 8}}}}, False, False),  # as in `teaching`
        ({"teachers": {"en": {"training": {"epochs": 7}}}}, True, False),
        ({"teachers": {"en": {"architecture": {"layers": 2}}}}, True, False),
        ({"teachers": {"en": {"checkpoint": "hub/id"}}}, True, False),
        ({"teaching": {"learning_rate": 1.0e-4}}, True, False),
        ({"teaching": {"max_length": 20}}, True, True),
        ({"scoring": {"precision": "bf16"}}, False, True)], ids=str)
    def test_of_a_teacher(self, tmp_path: Path, changed: dict[str, Any], taught: bool,
                          scored: bool) -> None:
        before, after = Project(tmp_path / "a").params, Project(tmp_path / "b", **changed).params
        for what, differs in ((gate._taught, taught), (gate._scored, scored)):
            assert (what(before, "en") != what(after, "en")) == differs

    def test_of_local_files(self, tmp_path: Path) -> None:
        data = Data(source="files", path=str(tmp_path))
        for code in ("en", "fr"):
            (tmp_path / code).mkdir()
            (tmp_path / code / "train.csv").write_text("text,label\na,b\n")
        before = {code: sources.fingerprint(data, code) for code in ("en", "fr")}
        (tmp_path / "ko").mkdir()
        (tmp_path / "ko" / "train.csv").write_text("text,label\na,b\n")
        (tmp_path / "fr" / "train.csv").write_text("text,label\nchanged,b\n")
        assert sources.fingerprint(data, "en") == before["en"]
        assert sources.fingerprint(data, "fr") != before["fr"]
        (tmp_path / "en" / "test.csv").write_text("text,label\na,b\n")
        assert sources.fingerprint(data, "en") != before["en"]

    def test_of_a_folder_in_the_hubs_layout(self, tmp_path: Path) -> None:
        data = Data(source="dataset", path=str(tmp_path))
        (tmp_path / "en.parquet").write_bytes(b"1")
        before = sources.fingerprint(data, "en")
        (tmp_path / "en.parquet").write_bytes(b"2")
        assert sources.fingerprint(data, "en") != before

    def test_of_settings(self) -> None:
        before = sources.fingerprint(Data(), "en")
        assert sources.fingerprint(Data(scale=0.5), "en") != before
        assert sources.fingerprint(Data(configs={"ko": "k"}), "en") == before
        assert sources.fingerprint(Data(configs={"en": "k"}), "en") != before


class Pipeline:
    """A git and DVC project with this tree's dvc.yaml."""

    def __init__(self, root: Path, params: dict[str, Any], path: Path | None = None) -> None:
        self.root = root
        self.environment = os.environ | {
            "PATH": os.pathsep.join([*([str(path)] if path else []), str(BIN), os.environ["PATH"]]),
            "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b"}
        root.mkdir(parents=True, exist_ok=True)
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, root / name)
        shutil.copytree(ROOT / "amtss", root / "amtss",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (root / "data").mkdir(exist_ok=True)
        shutil.copy(ROOT / "data" / "README.md", root / "data")
        self.set(params)
        self.run("git", "init", "-q")
        self.run("dvc", "init", "-q")
        shutil.copytree(ROOT / ".dvc", root / ".dvc", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
        self.commit()

    def set(self, params: dict[str, Any]) -> None:
        self.params = params
        (self.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "state")

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, text=True, capture_output=True, check=False,
                              env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self) -> list[str]:
        """Names of the stages that ran."""
        return re.findall(r"Running stage '([^']+)'", self.run("dvc", "repro"))


SMALL = {"layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300}


def demo(*languages: str, scores: list[str] | None) -> dict[str, Any]:
    """A tiny demo; the multilingual teacher is taught on the first three languages."""
    return {
        "project": "demo", "languages": list(languages),
        "data": {"source": "demo", "path": "data", "scale": 0.01},
        "validation": {"max_characters": 400}, "scoring": {"batch_size": 64},
        "report": {"title": "Demo"},
        "teaching": {"epochs": 1, "max_length": 16},
        "teachers": {**{code: {"languages": [code], "architecture": SMALL} for code in languages},
                     "multilingual": {"languages": list(languages[:3]), "architecture": SMALL}
                     | ({"scores": scores} if scores else {})},
        "student": {"architecture": SMALL, "max_length": 16},
        "distil": {"top_k": 2, "max_epochs": 2, "batch_size": 16, "learning_rate": 1.0e-3,
                   "kd_weight": 0.5, "temperature": 1.0, "weight_decay": 0.01, "warmup": 0.1,
                   "precision": "auto", "seed": 0}, "baseline": {"teacher": "multilingual"},
        "onboarding": None, "continuation": {}, "evaluation": {"bootstrap": 100}}


LAST = ["vocabulary", "distil", "baseline", "evaluate", "report"]
"""Stages that run again whenever any logits have changed."""


@pytest.mark.slow
def test_the_pipeline_runs_what_it_must_and_nothing_else(tmp_path: Path) -> None:
    codes = ("en", "es", "fr")
    pipeline = Pipeline(tmp_path, demo(*codes, scores=None))
    ran = pipeline.repro()
    assert sorted(ran) == sorted([
        "sources", *(f"{stage}@{code}" for stage in ("data", "validate") for code in codes), "gate",
        *(f"{stage}@{name}" for stage in ("teach", "score") for name in (*codes, "multilingual")),
        "fetch", *LAST])
    assert json.loads((tmp_path / "artifacts/registered/origin.json").read_text()) == {}
    pipeline.commit()

    assert pipeline.repro() == []

    shown = json.loads(pipeline.run("dvc", "metrics", "show", "--json"))
    measured = json.loads((tmp_path / "artifacts/metrics.json").read_text())
    assert shown[""]["data"]["artifacts/metrics.json"]["data"] == measured
    pipeline.run("dvc", "plots", "show", "-o", "plots")
    page = (tmp_path / "plots" / "index.html").read_text()
    with open(tmp_path / "artifacts/evaluation/predictions.csv", newline="") as file:
        assert next(csv.DictReader(file))["actual"] in page
    assert all(f'"{code}"' in page for code in codes)

    # a fourth language, scored by a multilingual teacher that has not seen it
    pipeline.set(demo(*codes, "ru", scores=["all"]))
    difference = json.loads(pipeline.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert difference["languages"]["new"] == str([*codes, "ru"])
    ran = pipeline.repro()
    assert sorted(ran) == sorted(["sources", "data@ru", "validate@ru", "gate", "teach@ru",
                                  "score@ru", "score@multilingual", *LAST])
    pipeline.commit()

    # how a new language would be learnt changes nothing where none is
    pipeline.set(pipeline.params | {"continuation": {"max_epochs": 7}})
    ran = pipeline.repro()
    assert ran == ["fetch"]

    # thresholds of the gate retrain nothing
    pipeline.set(pipeline.params | {"validation": {"max_characters": 500}})
    ran = pipeline.repro()
    assert set(ran) <= {*(f"validate@{code}" for code in (*codes, "ru")), "gate", "report"}
    assert "gate" in ran

    # Algorithm 1's settings rerun no teacher
    pipeline.set(pipeline.params | {"distil": pipeline.params["distil"] | {"top_k": 1}})
    ran = pipeline.repro()
    assert ran == ["distil", "baseline", "evaluate", "report"]
    pipeline.commit()

    # ablations are experiments that take from the cache all that they do not change
    pipeline.run("amtss", "ablate", "--only", "adaptive", "--only", "labels-only",
                 "--output", "table.md")
    ran = re.findall(r"Running stage '([^']+)'",
                     pipeline.run("dvc", "queue", "logs", "ablation-labels-only-0"))
    assert set(ran) <= {"distil", "baseline", "evaluate", "report"}
    assert "distil" in ran
    names = re.findall(r"^\| (\w[\w-]*) \|", (tmp_path / "table.md").read_text(), re.M)
    assert names == ["variant", "X-LM-Tiny", "adaptive", "labels-only"]
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == pipeline.params
    leftovers = {path.suffix for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert not leftovers & {".bin", ".pt", ".pkl", ".pth", ".npy"}


CODES = ("ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "it", "ja",
         "ko", "nl", "pl", "pt", "ru")
QUICK = """#!{python} -SE
# Stands for the command line, to test which stages DVC runs: every stage writes its outs from
# the names of what it would read; `gate` writes the keys that amtss.gating would.
import hashlib, json, os, pathlib, sys
stage, *rest = sys.argv[1:]
A = pathlib.Path("artifacts")
teachers, languages = json.loads(pathlib.Path("teachers.json").read_text())
digest = lambda *parts: hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
def write(path, *parts):
    path = A / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest(*parts))
def key(codes):
    return digest([(code, (A / "data" / code / "x").read_text()) for code in codes])
if stage == "sources":
    (A / "sources.json").parent.mkdir(exist_ok=True)
    (A / "sources.json").write_text(json.dumps({{
        code: digest(pathlib.Path(f"data/{{code}}/train.csv").read_text()) for code in languages}}))
elif stage == "data":
    write(f"data/{{rest[0]}}/x", pathlib.Path(f"data/{{rest[0]}}/train.csv").read_text())
elif stage == "validate":
    write(f"validation/{{rest[0]}}/x", rest)
elif stage == "gate":
    keys = {{"labels": ["a", "b"], "student": key(languages),
            "teach": {{n: key(t["languages"]) for n, t in teachers.items()}},
            "score": {{n: key(t["scores"]) for n, t in teachers.items()}}}}
    (A / "gate.json").write_text(json.dumps(keys))
    write("gate/x", keys)
elif stage in ("teach", "score"):
    gate = json.loads((A / "gate.json").read_text())
    folder = {{"teach": "teachers", "score": "logits"}}[stage]
    write(f"{{folder}}/{{rest[0]}}/x", gate[stage][rest[0]])
elif stage == "fetch":
    write("registered/x", stage)
else:
    seen = [str(path) + path.read_text() for path in sorted(A.glob("logits/*/x"))]
    for out in {{"vocabulary": ["tokenizer/x"], "distil": ["student/x"], "baseline": ["baseline/x"],
                "evaluate": ["evaluation/predictions.csv"], "report": ["report/x"]}}[stage]:
        write(out, stage, seen)
    if stage in ("distil", "baseline"):
        write(f"training/{{stage}}/epochs.csv", stage, seen)
        (A / "training" / stage / "cost.json").write_text('{{"examples": %d}}' % len(seen))
    if stage == "evaluate":
        (A / "metrics.json").write_text("{{}}")
"""


def twenty(pipeline: Pipeline, *codes: str, new: tuple[str, ...] = ()) -> None:
    """params.yaml and a CSV per language for `codes`, one teacher each and one of all; `new` ones
    are onboarded."""
    params = demo(*codes, scores=["all"])
    if new:
        params["onboarding"] = {"version": 1, "fingerprint": "0" * 16, "languages": list(new)}
    params["teachers"]["multilingual"]["languages"] = list(CODES)
    pipeline.set(params | {"data": {"source": "files", "path": "data"}})
    for code in codes:
        path = pipeline.root / "data" / code / "train.csv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text,label\n{code},a\n")
    teachers = {name: {"languages": teacher["languages"],
                       "scores": codes if "scores" in teacher else teacher["languages"]}
                for name, teacher in params["teachers"].items()}
    (pipeline.root / "teachers.json").write_text(json.dumps([teachers, codes]))


@pytest.mark.slow
def test_twenty_languages_and_one_more(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "amtss"
    stand_in.write_text(QUICK.format(python=sys.executable))
    stand_in.chmod(0o755)
    pipeline = Pipeline(tmp_path / "project", demo(*CODES, scores=["all"]), stand_in.parent)
    twenty(pipeline, *CODES)
    ran = pipeline.repro()
    assert len(ran) == 1 + 2 * 20 + 1 + 2 * 21 + 1 + 5
    pipeline.commit()

    assert pipeline.repro() == []

    twenty(pipeline, *CODES, "uk", new=("uk",))
    ran = pipeline.repro()
    assert sorted(ran) == sorted([
        "sources", "data@uk", "validate@uk", "gate", "teach@uk", "score@uk",
        "score@multilingual", "fetch", *LAST])

    # changed texts of one language concern it and who reads it; the registry is not asked again
    (pipeline.root / "data" / "fi" / "train.csv").write_text("text,label\nchanged,a\n")
    ran = pipeline.repro()
    assert sorted(ran) == sorted([
        "sources", "data@fi", "validate@fi", "gate", "teach@fi", "score@fi", "teach@multilingual",
        "score@multilingual", *LAST])
