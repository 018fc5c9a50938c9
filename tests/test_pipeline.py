"""dvc.yaml: what `dvc repro` runs, what it leaves alone, and what DVC reports."""

import ast
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pyarrow.csv import write_csv
from support.pipeline import Pipeline, demo
from support.project import ROOT
from support.training import Project, table
from support.warm import programs

from amtss.config import yaml
from amtss.config.params import load_params
from amtss.config.schema import Data
from amtss.data import sources
from amtss.paths import Layout

NO_DEPS = ("amtss/cli/", "amtss/config/", "amtss/dvc_cache.py", "amtss/errors.py", "amtss/files.py",
           "amtss/git.py", "amtss/hub.py", "amtss/locks.py", "amtss/paths.py", "amtss/processes.py",
           "amtss/progress.py", "amtss/records.py", "amtss/registry/store.py",
           "amtss/registry/tracking.py", "amtss/temporary.py", "amtss/terminal.py")
"""Modules that no stage declares, because they compute nothing; dvc.yaml explains it."""
STARTS = {
    "settings": (), "sources": ("data/sources.py",),
    "data": ("data/corpus.py", "data/preparation.py", "data/sources.py"),
    "validate": ("validation/expectations.py",), "fetch": ("registry/fetch.py",),
    "gate": ("validation/gate.py",), "floor": ("evaluation/floor.py",),
    "teach": ("teachers/teach.py",), "score": ("logits/score.py",), "start": ("student/start.py",),
    "distil": ("distillation/algorithm1.py",), "baseline": ("distillation/baseline.py",),
    "evaluate": ("evaluation/evaluate.py",), "report": ("report/report.py",)}
"""Stage -> the modules that its command calls."""
LAYOUT = Layout()


def stages() -> dict[str, dict[str, Any]]:
    """Name -> definition of dvc.yaml's stages; of a `foreach`, its `do`."""
    declared = yaml.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in declared.items()}


def imported(tree: ast.AST) -> set[str]:
    """Paths of the modules of amtss that the code imports, at the top or inside functions; imports
    for type checking do not count."""
    names: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("amtss"):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)
    paths = {f"{name.replace('.', '/')}.py" for name in names}
    return {path for path in paths if (ROOT / path).is_file() and not path.startswith(NO_DEPS)}


def run_with(starts: Iterable[str]) -> set[str]:
    """Paths of the modules `starts` and of all that they import, directly or not."""
    seen: set[str] = set()
    waiting = [f"amtss/{start}" for start in starts]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imported(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    return seen


def modules(folder: str) -> set[str]:
    """Paths of a package's modules."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.py")
            if path.name != "__init__.py"}


class TestDeclared:
    def test_each_stage_runs_the_command_of_its_name(self) -> None:
        assert set(stages()) == set(STARTS)
        for name, stage in stages().items():
            assert stage["cmd"].split()[:2] == ["amtss", name]

    @pytest.mark.parametrize("name", STARTS)
    def test_deps_are_exactly_the_modules_that_run(self, name: str) -> None:
        deps = [str(dep) for dep in stages()[name]["deps"] if str(dep).startswith("amtss/")]
        declared = set().union(*(modules(dep) if dep.endswith("/") else {dep} for dep in deps))
        assert declared == run_with(STARTS[name])

    @pytest.mark.parametrize("name", STARTS)
    def test_a_package_that_runs_whole_is_declared_as_its_folder(self, name: str) -> None:
        deps = {str(dep) for dep in stages()[name]["deps"]}
        for folder in {Path(path).parent.as_posix() for path in run_with(STARTS[name])} - {"amtss"}:
            assert (f"{folder}/" in deps) == (modules(folder) <= run_with(STARTS[name]))

    @pytest.mark.parametrize("name", STARTS)
    def test_starts_are_what_the_command_calls(self, name: str) -> None:
        tree = ast.parse((ROOT / "amtss/cli/stages.py").read_text(encoding="utf-8"))
        command = next(node for node in tree.body
                       if isinstance(node, ast.FunctionDef) and node.name == name)
        assert imported(command) == {f"amtss/{start}" for start in STARTS[name]}

    def test_the_exceptions_are_explained_in_dvc_yaml(self) -> None:
        comment = (ROOT / "dvc.yaml").read_text(encoding="utf-8").split("stages:\n")[0]
        assert all(path in comment for path in NO_DEPS)


class TestKeys:
    """The fingerprints on which DVC's stages depend instead of params.yaml."""

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
    def test_a_teachers_keys_change_with_its_settings(
            self, tmp_path: Path, changed: dict[str, Any], taught: bool, scored: bool) -> None:
        before, after = Project(tmp_path / "a").params, Project(tmp_path / "b", **changed).params
        for differs, old, new in (
                (taught, before.made_with("en"), after.made_with("en")),
                (scored, before.scored_with("en"), after.scored_with("en"))):
            assert (old != new) == differs

    @pytest.mark.parametrize(("changed", "taught", "scored"), [
        ({"teaching": {"learning_rate": 1.0e-4}}, False, False),
        ({"teachers": {"probe": {"scores": ["en"]}}}, False, False),
        ({"teachers": {"probe": {"prefix": "query: "}}}, True, False),
        ({"teachers": {"probe": {"cross_fit": 0}}}, True, False),
        ({"teachers": {"probe": {"max_length": 20}}}, True, True),
        ({"scoring": {"precision": "bf16"}}, True, True)], ids=str)
    def test_a_probes_keys_change_with_its_settings(
            self, tmp_path: Path, changed: dict[str, Any], taught: bool, scored: bool) -> None:
        probe = {"kind": "probe", "languages": ["all"], "checkpoint": "hub/id"}
        before = Project(tmp_path, teachers={"probe": probe})
        old = before.params
        new = before.set(**changed)
        assert (old.made_with("probe") != new.made_with("probe")) == taught
        assert (old.scored_with("probe") != new.scored_with("probe")) == scored

    def test_a_languages_key_changes_with_its_corrections(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        before = {code: sources.fingerprint(Data(), code, layout) for code in ("en", "fr")}
        layout.corrections("fr").parent.mkdir()
        layout.corrections("fr").write_text("split,id,key,old,new\n")
        assert sources.fingerprint(Data(), "en", layout) == before["en"]
        assert sources.fingerprint(Data(), "fr", layout) != before["fr"]

    def test_a_languages_key_changes_with_its_files(self, tmp_path: Path) -> None:
        data = Data(source="files", path=str(tmp_path))
        for code in ("en", "fr"):
            (tmp_path / code).mkdir()
            (tmp_path / code / "train.csv").write_text("text,label\na,b\n")
        before = {code: sources.fingerprint(data, code, LAYOUT) for code in ("en", "fr")}
        (tmp_path / "ko").mkdir()
        (tmp_path / "ko" / "train.csv").write_text("text,label\na,b\n")
        (tmp_path / "fr" / "train.csv").write_text("text,label\nchanged,b\n")
        assert sources.fingerprint(data, "en", LAYOUT) == before["en"]
        assert sources.fingerprint(data, "fr", LAYOUT) != before["fr"]
        (tmp_path / "en" / "test.csv").write_text("text,label\na,b\n")
        assert sources.fingerprint(data, "en", LAYOUT) != before["en"]

    def test_a_key_changes_with_any_file_in_the_hubs_layout(self, tmp_path: Path) -> None:
        data = Data(source="dataset", path=str(tmp_path))
        (tmp_path / "en.parquet").write_bytes(b"1")
        before = sources.fingerprint(data, "en", LAYOUT)
        (tmp_path / "en.parquet").write_bytes(b"2")
        assert sources.fingerprint(data, "en", LAYOUT) != before

    def test_a_languages_key_changes_with_its_settings(self) -> None:
        before = sources.fingerprint(Data(), "en", LAYOUT)
        assert sources.fingerprint(Data(scale=0.5), "en", LAYOUT) != before
        assert sources.fingerprint(Data(configs={"ko": "k"}), "en", LAYOUT) == before
        assert sources.fingerprint(Data(configs={"en": "k"}), "en", LAYOUT) != before


LAST = ["start", "distil", "baseline", "evaluate", "report"]
"""Stages that run again whenever some logits have changed."""


@pytest.mark.slow
def test_only_changed_stages_run_again(reproduced: Pipeline, tmp_path: Path) -> None:
    codes = ("en", "fr", "ko")
    ran = json.loads((reproduced.root.parent / "repro.json").read_text())
    pipeline = reproduced.copy(tmp_path)
    assert sorted(ran) == sorted([
        "settings", "sources",
        *(f"{stage}@{code}" for stage in ("data", "validate") for code in codes), "gate",
        *(f"{stage}@{name}" for stage in ("teach", "score") for name in (*codes, "multilingual")),
        "floor", "fetch", *LAST])
    assert json.loads((tmp_path / "artifacts/registered/origin.json").read_text()).keys() == {
        "checksum"}

    assert pipeline.repro() == []

    shown = json.loads(pipeline.run("dvc", "metrics", "show", "--json"))
    few = json.loads((tmp_path / "artifacts/summary.json").read_text())
    assert {path: file["data"] for path, file in shown[""]["data"].items()} == {
        "artifacts/summary.json": few}
    assert len(few) <= 10
    pipeline.run("dvc", "plots", "show", "-o", "plots")
    page = (tmp_path / "plots" / "index.html").read_text()
    with open(tmp_path / "artifacts/evaluation/predictions.csv", newline="") as file:
        assert next(csv.DictReader(file))["actual"] in page
    assert all(f'"{code}"' in page for code in codes)
    pictures = re.findall(r'<img [^>]*src="([^"]+)"', page)
    assert len(pictures) == 3  # these show without a network
    assert all((tmp_path / "plots" / picture).is_file() for picture in pictures)

    # a fourth language, scored by a multilingual teacher that has not seen it
    pipeline.set(demo(*codes, "ru", scores=["all"]))
    difference = json.loads(pipeline.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert difference["languages"]["new"] == str([*codes, "ru"])
    ran = pipeline.repro()
    assert sorted(ran) == sorted(["settings", "sources", "data@ru", "validate@ru", "gate", "floor",
                                  "teach@ru", "score@ru", "score@multilingual", *LAST])
    pipeline.commit()

    # `continuation` is read by `fetch` alone; without an onboarding nothing follows
    pipeline.set(pipeline.params | {"continuation": {"max_epochs": 7}})
    ran = pipeline.repro()
    assert ran == ["settings", "fetch"]

    # validation's thresholds retrain nothing
    pipeline.set(pipeline.params | {"validation": {"max_characters": 500,
                                                  "warn_truncated": 1.0}})
    ran = pipeline.repro()
    assert set(ran) <= {"settings", *(f"validate@{code}" for code in (*codes, "ru")), "gate",
                        "report"}
    assert "gate" in ran

    # settings of Algorithm 1 run no teacher again
    pipeline.set(pipeline.params | {"distil": pipeline.params["distil"] | {"top_k": 1}})
    ran = pipeline.repro()
    assert ran == ["settings", "distil", "baseline", "evaluate", "report"]
    pipeline.commit()

    # ablations are experiments; what they do not change comes from the cache
    pipeline.run("amtss", "ablate", "--only", "adaptive", "--only", "labels-only",
                 "--output", "table.md")
    ran = re.findall(r"Running stage '([^']+)'",
                     pipeline.run("dvc", "queue", "logs", "ablation-labels-only-0"))
    assert set(ran) <= {"settings", "distil", "baseline", "evaluate", "report"}
    assert "distil" in ran
    names = re.findall(r"^\| (\w[\w-]*) \|", (tmp_path / "table.md").read_text(), re.M)
    assert names == ["variant", "X-LM-Tiny", "adaptive", "labels-only"]
    assert yaml.load((tmp_path / "params.yaml").read_text()) == pipeline.params
    leftovers = {path.suffix for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert not leftovers & {".bin", ".pt", ".pkl", ".pth", ".npy"}


@pytest.mark.slow
def test_a_minimal_params_yaml(tmp_path: Path) -> None:
    """What DVC itself has to read, and nothing else but few mixed texts, for time's sake: the rest
    are defaults."""
    minimal = {"languages": ["en", "fr"],
               "data": {"source": "files", "path": "data/mine", "mixed": 100},
               "teachers": {"words": {"kind": "linear", "languages": ["all"]}},
               "baseline": {"teacher": "words"}}
    pipeline = Pipeline(tmp_path, minimal, programs())
    for code in minimal["languages"]:
        for split, rows in {"train": 48, "validation": 24, "test": 24}.items():
            path = tmp_path / f"data/mine/{code}/{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_csv(table(code, split, rows), path)
    assert pipeline.repro()[0] == "settings"
    assert (tmp_path / "artifacts/report/report.html").exists()
    settings = json.loads((tmp_path / "artifacts/settings.json").read_text())
    assert settings.pop("checksum")
    assert settings == load_params(tmp_path / "params.yaml").model_dump(mode="json")

    # a comment is a change of params.yaml, but of no setting
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text() + "# note\n")
    assert pipeline.repro() == ["settings"]

    # what DVC reads before it runs anything is missed before anything runs
    for key in ("baseline.teacher", "data.path"):
        section, name = key.split(".")
        cut = {**minimal, section: {k: v for k, v in minimal[section].items() if k != name}}
        pipeline.set(cut)
        done = subprocess.run(["dvc", "repro"], cwd=tmp_path, env=pipeline.environment,
                              capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert done.stderr.count("\n") == 1
        assert f"Could not find '{key}'" in done.stderr
        assert "Running stage" not in done.stdout


CODES = ("ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "it", "ja",
         "ko", "nl", "pl", "pt", "ru")
QUICK = """#!{python} -SE
# Stands for the command line, to test which stages DVC runs. Every stage writes its outputs from
# the names of its inputs; `gate` writes keys as amtss.validation.gate does.
import hashlib, json, os, pathlib, sys
stage, *rest = sys.argv[1:]
A = pathlib.Path("artifacts")
teachers, languages, params = json.loads(pathlib.Path("teachers.json").read_text())
digest = lambda *parts: hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
def write(path, *parts):
    path = A / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest(*parts))
def key(codes):
    return digest([(code, (A / "data" / code / "x").read_text()) for code in codes])
if stage == "settings":
    A.mkdir(exist_ok=True)
    (A / "settings.json").write_text(json.dumps(params))
elif stage == "sources":
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
elif stage == "floor":
    write("floor/x", key(languages))
elif stage == "fetch":
    write("registered/x", stage)
else:
    inputs = [str(path) + path.read_text() for path in sorted(A.glob("logits/*/x"))]
    for out in {{"start": ["tokenizer/x"], "distil": ["student/x"], "baseline": ["baseline/x"],
                "evaluate": ["evaluation/predictions.csv"], "report": ["report/x"]}}[stage]:
        write(out, stage, inputs)
    if stage in ("distil", "baseline"):
        write(f"training/{{stage}}/epochs.csv", stage, inputs)
        (A / "training" / stage / "cost.json").write_text('{{"examples": %d}}' % len(inputs))
    if stage == "evaluate":
        (A / "metrics.json").write_text("{{}}")
        (A / "summary.json").write_text("{{}}")
"""


def twenty(pipeline: Pipeline, *codes: str, new: tuple[str, ...] = ()) -> None:
    """Write params.yaml and a CSV for each language, with a teacher each and one of them all.

    Args:
        new: languages that are onboarded.
    """
    params = demo(*codes, scores=["all"])
    if new:
        params["onboarding"] = {"version": 1, "fingerprint": "0" * 16, "languages": list(new)}
    params["teachers"]["multilingual"]["languages"] = list(CODES)
    pipeline.set(params | {"data": {"source": "files", "path": "data"}})
    settings = load_params(pipeline.root / "params.yaml").model_dump(mode="json")
    for code in codes:
        path = pipeline.root / "data" / code / "train.csv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text,label\n{code},a\n")
    teachers = {name: {"languages": teacher["languages"],
                       "scores": codes if "scores" in teacher else teacher["languages"]}
                for name, teacher in params["teachers"].items()}
    (pipeline.root / "teachers.json").write_text(json.dumps([teachers, codes, settings]))


@pytest.mark.slow
def test_twenty_languages_and_one_more(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "amtss"
    stand_in.write_text(QUICK.format(python=sys.executable))
    stand_in.chmod(0o755)
    pipeline = Pipeline(tmp_path / "project", demo(*CODES, scores=["all"]), stand_in.parent)
    path = pipeline.root / "dvc.yaml"  # one of our modules a stage: DVC rewrites dvc.lock for each
    path.write_text(re.sub(r"(\n +- amtss/.*)(\n +- amtss/.*)+", r"\1", path.read_text()))
    twenty(pipeline, *CODES)
    ran = pipeline.repro()
    assert len(ran) == 2 + 2 * 20 + 1 + 1 + 2 * 21 + 1 + 5
    pipeline.commit()

    assert pipeline.repro() == []

    twenty(pipeline, *CODES, "uk", new=("uk",))
    ran = pipeline.repro()
    assert sorted(ran) == sorted([
        "settings", "sources", "data@uk", "validate@uk", "gate", "floor", "teach@uk",
        "score@uk", "score@multilingual", "fetch", *LAST])

    # changed texts of a language rerun its stages and those that read it; `fetch` does not run
    (pipeline.root / "data" / "fi" / "train.csv").write_text("text,label\nchanged,a\n")
    ran = pipeline.repro()
    assert sorted(ran) == sorted([
        "sources", "data@fi", "validate@fi", "gate", "floor", "teach@fi", "score@fi",
        "teach@multilingual", "score@multilingual", *LAST])
