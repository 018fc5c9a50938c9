from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from support.project import ROOT

from amtss.config import yaml
from amtss.errors import ParamsError

FILES = sorted([*(ROOT / "params").glob("*.yaml"), ROOT / "dvc.yaml", ROOT / "prefect.yaml",
                *(ROOT / "amtss" / "data" / "phrases").glob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_reads_what_dvc_reads(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert yaml.load(text) == YAML(typ="safe").load(text)


@pytest.mark.parametrize(("text", "value"), [
    ("1e-05", 1e-5), ("1e5", 1e5), ("-3E-04", -3e-4), ("010", 10), ("0o10", 8), ("no", "no"),
    ("on", "on"), ("yes", "yes"), ("y", "y"), ("12:30", "12:30"), ("true", True), ("null", None),
    ("~", None), ("2024-01-02", "2024-01-02"), ("2024-13-01", "2024-13-01"),
    ("2024-01-02 10:00:00", "2024-01-02 10:00:00"), ("", None)])
def test_scalars(text: str, value: Any) -> None:
    for load in (yaml.load, yaml.load_document):
        loaded = load(text, "here")
        assert loaded == value
        assert isinstance(loaded, type(value))


def test_anchors_and_merge_keys() -> None:
    text = "a: &small {x: 1, y: 2}\nb: {<<: *small, y: 3}\nc: *small\n"
    assert yaml.load(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3},
                               "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize(("text", "line", "problem"), [
    ("a: 1\nb: 2\na: [3]\n", 3, 'duplicate key "a"; fix that line'),
    ("a: 1\nb: {c: 1, d: 2, c: 3}\n", 2, 'duplicate key "c"; fix that line'),
    ("a: 1\nb: [c\n", 3, "expected ',' or ']', but got '<stream end>'"),
    ("a: 1\nb: c: d\n", 2, "mapping values are not allowed here"),
    ("a: 1\n---\nb: 1\n", 2, "another document"),
    ("a: 1\nb: *c\n", 2, "undefined alias 'c'"),
    ("a: 1\nb: \x07\n", 2, "unacceptable character #x0007"),
    ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "could not determine a constructor")])
def test_one_line_says_where(text: str, line: int, problem: str) -> None:
    with pytest.raises(ParamsError, match=rf"^file:{line}: expected YAML, found: ") as refused:
        yaml.load(text, "file")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_value_of_one_line_has_no_line_number() -> None:
    with pytest.raises(ParamsError, match=r"^--set: a: expected YAML, found: .*; fix it$"):
        yaml.load_document("[x", "--set: a")


@pytest.mark.parametrize("text", ["!!bool x", "!!int x", "!!float ''", "%YAML 1.9\n---\n",
                                  "[" * 5000, "=", "<<"])
def test_other_failures_of_the_parser(text: str) -> None:
    with pytest.raises(ParamsError, match=r"^YAML.*: expected YAML, found: "):
        yaml.load(text)


PARTS = st.sampled_from([*"ab1~=@`-:,#|>'\"\\[]{}?é\t", "\n", "\n  ", "- ", ": ", "&x ", "*x",
                         "<<: ", "!!int ", "!!bool ", "!!set ", "!!omap ", "!!timestamp ", "!x ",
                         "!!python/tuple ", "%YAML 1.1", "---\n", "\x00", "\ud800"])


@given(st.lists(PARTS, max_size=12).map("".join))
@pytest.mark.filterwarnings("ignore")
def test_any_text_is_a_value_or_one_line(text: str) -> None:
    for load in (yaml.load, yaml.load_document):
        message = ""
        try:
            load(text, "here")
        except ParamsError as error:
            message = str(error)
        assert "\n" not in message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(
    exclude_categories=["Cs", "Cc", "Cn", "Co", "Zl", "Zp"])) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("nofye1.", min_size=1),
                                                                inner, max_size=3)))
def test_what_is_written_is_read(value: Any) -> None:
    text = yaml.dump({"key": value})
    assert yaml.load(text) == {"key": value}
    assert YAML(typ="safe").load(text) == {"key": value}
