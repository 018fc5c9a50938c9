"""House rules that a machine can check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "amtss").glob("*.py"))
TESTS = sorted((ROOT / "tests").glob("*.py"))


def test_imports_point_down() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT,
                          capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout


def test_the_layers_hold_every_module() -> None:
    import tomllib

    with open(ROOT / "pyproject.toml", "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(each for each in contracts if each["type"] == "layers")["layers"]
    named = [name for layer in layers for name in layer.replace("|", ":").split(":")]
    assert sorted(name.strip() for name in named) == sorted(
        f"amtss.{path.stem}" for path in MODULES if path.stem != "__init__")


def raising(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
            yield node


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_expected_errors_are_matched(path: Path) -> None:
    for call in raising(path):
        match = next((each.value for each in call.keywords if each.arg == "match"), None)
        assert match is not None, f"{path.name}:{call.lineno}: pytest.raises without match="
        assert ast.unparse(match) != "''", f"{path.name}:{call.lineno}: matches everything"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_begin_with_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and isinstance(node, ast.ClassDef):
            assert ast.get_docstring(node), f"{path.name}:{node.lineno}: {node.name}"
