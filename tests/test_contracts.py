"""House rules that a machine can check."""

import ast
import inspect
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.project import ROOT

MODULES = sorted((ROOT / "amtss").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ACROSS = {"test_bad_input", "test_bench", "test_contracts", "test_faults", "test_pipeline",
          "test_readme", "test_without_labels", "test_xnli"}
"""Tests of the whole, which mirror no module."""
LONGEST = 300
MEDIAN = 110
SCREEN = 60
"""Lines."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_point_down() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT,
                          capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout


def test_the_layers_hold_every_package() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(each for each in contracts if each["type"] == "layers")["layers"]
    named = {part.strip() for layer in layers for part in layer.split("|")}
    top = [path for path in (ROOT / "amtss").iterdir()
           if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert named == {f"amtss.{path.stem}" for path in top} - {"amtss.__init__"}


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", [*MODULES, *FLOWS], ids=name)
def test_modules_are_short(path: Path) -> None:
    assert lines(path) <= LONGEST


def test_most_modules_are_shorter() -> None:
    sizes = [lines(path) for path in [*MODULES, *FLOWS] if path.name != "__init__.py"]
    assert statistics.median(sizes) <= MEDIAN


def test_algorithm_1_is_on_one_screen() -> None:
    from amtss.distillation.algorithm1 import distil

    assert len(inspect.getsource(distil).splitlines()) <= SCREEN


@pytest.mark.parametrize("path", [path for path in TESTS if path.stem.startswith("test_")
                                  and path.stem not in ACROSS], ids=name)
def test_tests_mirror_the_packages(path: Path) -> None:
    module = path.relative_to(ROOT / "tests").with_name(path.name.removeprefix("test_"))
    assert (ROOT / "amtss" / module).is_file() or (ROOT / module).is_file()


def raising(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            yield node


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_expected_errors_are_matched(path: Path) -> None:
    for call in raising(path):
        match = next((each.value for each in call.keywords if each.arg == "match"), None)
        assert match is not None, f"{path.name}:{call.lineno}: pytest.raises without match="
        assert ast.unparse(match) != "''", f"{path.name}:{call.lineno}: matches everything"


@pytest.mark.parametrize("path", [*MODULES, *FLOWS], ids=name)
def test_modules_begin_with_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and isinstance(node, ast.ClassDef):
            assert ast.get_docstring(node), f"{path.name}:{node.lineno}: {node.name}"
