"""docs/params.md: current, and a row for every key of params.yaml."""

import json
import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from support.project import PARAMS, ROOT

from amtss.config.params import _tuples
from amtss.config.reference import reference
from amtss.config.schema import LinearTeacher, Onboarding, Params, ProbeTeacher

PAGE = (ROOT / "docs" / "params.md").read_text(encoding="utf-8")
FULL = Params.model_validate(_tuples(PARAMS | {"onboarding": {
    "version": 1, "fingerprint": "0" * 16, "languages": ["fr"]}}))


def rows(section: str) -> dict[str, list[str]]:
    """The table of a section: key -> its values, its default, its meaning."""
    table = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [re.split(r"(?<!\\) \|", line.strip("|")) for line in table.splitlines()
             if line.startswith("| `")]
    return {key.strip(" `"): [cell.strip() for cell in rest] for key, *rest in cells}


def keys(section: BaseModel, prefix: str = "") -> Iterator[str]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        yield prefix + key
        if isinstance(value, BaseModel) and key != "training":
            yield from keys(value, f"{prefix}{key}.")


def test_the_page_is_current() -> None:
    assert reference() == PAGE, "run `python -m amtss.config.reference > docs/params.md`"


@pytest.mark.parametrize("section", [name for name, value in FULL
                                     if isinstance(value, BaseModel)])
def test_a_row_for_every_key(section: str) -> None:
    assert list(rows(section)) == list(keys(getattr(FULL, section)))


def test_each_kind_of_teacher_has_a_table() -> None:
    linear = LinearTeacher(kind="linear", languages=("en",))
    assert list(rows("teachers.NAME, kind: transformer")) == list(keys(FULL.teachers["en"]))
    assert list(rows("teachers.NAME, kind: linear")) == list(keys(linear))
    probe = ProbeTeacher(kind="probe", languages=("en",), checkpoint="hub/id")
    assert list(rows("teachers.NAME, kind: probe")) == list(keys(probe))


def test_defaults() -> None:
    # a student that says what it starts from has the defaults of the keys alone
    defaults = Params.model_validate(_tuples({
        "languages": ["en", "fr", "ko"], "student": {"start": "random"},
        "teachers": {"multilingual": {"languages": ["all"]}}}))
    for section in ("data", "validation", "teaching", "student", "distil", "continuation"):
        for key, (_, default, _) in rows(section).items():
            value = getattr(defaults, section).model_dump()
            for part in key.split("."):
                value = value[part]
            expected = "" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"
            assert default == expected, f"{section}.{key}"
    assert {default for _, default, _ in rows("onboarding").values()} == {"required"}
    assert list(rows("onboarding")) == list(Onboarding.model_fields)


@pytest.mark.parametrize(("section", "key", "values"), [
    ("teaching", "seed", "whole number from 0 below 4294967296"),
    ("teaching", "dropout", "number from 0 below 1"),
    ("data", "scale", "number above 0 to 1"),
    ("data", "labels", "list of text or null"),
    ("data", "configs", "text -> text"),
    ("student", "heads", "`own` or `residual`"),
    ("data", "sample.skew", "`appendix-a` or null"),
    ("distil", "labels_only", "`true` or `false`"),
    ("student", "trimming", "section")])
def test_values(section: str, key: str, values: str) -> None:
    assert rows(section)[key][0] == values


def test_every_row_has_a_meaning_in_one_cell() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(lines) > 120
    assert all(line.count(" | ") + line.count(" | | ") == 3 for line in lines)
    assert all(line.removesuffix(" |").rpartition(" | ")[2] for line in lines)
