"""The files of a drift check."""

import json
from pathlib import Path

import pytest
from support.drift import compared
from support.page import Page
from support.project import Project, full_disk

from amtss.config.params import load_params
from amtss.drift import page
from amtss.errors import AmtssError
from amtss.paths import Layout

MODEL = Path("artifacts/student")
HOSTILE = ["<script>alert(1)</script>", "[a](http://x)", "ship"]


def write(labels: list[str]) -> None:
    page.write(load_params(Path("params.yaml")), Layout(),
               compared("en", "fr", drifted=("fr",), labels=labels), MODEL)


def test_files(ready: Project) -> None:
    write(HOSTILE)
    folder = Layout().drift
    assert sorted(path.name for path in folder.iterdir()) == [
        "drift.html", "drift.json", "drift.md"]
    shown = Page((folder / "drift.html").read_text(encoding="utf-8"))
    assert shown.ids == ["result", "labels", "confidence", "lengths"]
    assert "script" not in shown.tags
    assert HOSTILE[0] in shown.text
    assert [link[:15] for link in shown.links if link[0] != "#"] == ["data:image/png;"] * 3
    text = (folder / "drift.md").read_text(encoding="utf-8")
    assert "Drift in fr: 3 of 12 figures" in text
    assert "<script>" not in text
    assert r"\[a\](http:\//x)" in text
    about = json.loads((folder / "drift.json").read_text())
    assert about["passed"] == {"fr": ["labels", "length", "cut"]}


def test_labels_that_are_left_out(ready: Project) -> None:
    write([*HOSTILE, *map(str, range(20))])
    assert "3 labels that changed less are left out" in (
        Layout().drift / "drift.html").read_text(encoding="utf-8")


def test_a_full_disk_leaves_the_last_one(ready: Project) -> None:
    write(HOSTILE)
    before = ready.snapshot()
    with full_disk(), pytest.raises(AmtssError, match="expected to be able to write"):
        write(["other", "labels", "now"])
    assert ready.snapshot() == before
