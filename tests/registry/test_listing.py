import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.project import Project, run
from support.registered import database, version

from amtss.config.params import load_params
from amtss.paths import Layout
from amtss.registry import listing, store, versions
from amtss.registry.versions import Version
from amtss.table import markdown


def test_a_row_for_each_version() -> None:
    first = version(1, floor={"en": 80.0, "fr": 85.0}, en=90.04, fr=80.0)
    second = Version(**vars(first) | {
        "number": 2, "aliases": ("champion",), "floor": None,
        "registered": datetime(2026, 11, 27, 9, 5, tzinfo=UTC)})
    lines = markdown(listing.table("amtss-demo", [first, second])).splitlines()
    assert lines[4:6] == ["| 1 | – | 85.02 | 82.50 | en 90.0, fr 80.0 | – |",
                          "| 2 | champion | 85.02 | – | en 90.0, fr 80.0 | 2026-11-27 09:05 |"]


def test_the_command(project: Project, monkeypatch: pytest.MonkeyPatch,
                     capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database())
    monkeypatch.setenv("COLUMNS", "100")
    project.params(lambda values: values.update(project=f"p-{uuid.uuid4().hex}"))
    params, layout = load_params(Path("params.yaml")), Layout(Path())
    client = store.connect(params, layout)
    client.create_registered_model(versions.name(params))
    for number in (1, 2):
        tags = versions.tags(version(number, en=90.0 + number, fr=80.0))
        client.create_model_version(versions.name(params), "file:///nowhere", tags=tags)
    versions.point(params, layout, "champion", 2)
    assert run("versions") == 0
    out = capfd.readouterr().out
    shown = [line.split() for line in out.splitlines()]
    year = f"{datetime.now(UTC):%Y}"
    for row in (["1", "–", "85.50", "85.50", "en", "91.0,", "fr", "80.0"],
                ["2", "champion", "86.00", "86.00", "en", "92.0,", "fr", "80.0"]):
        line = next(words for words in shown if words[:8] == row)
        assert line[8].startswith(year)
    assert max(map(len, out.splitlines())) <= 100
