from pathlib import Path

import pytest
import yaml
from conftest import PARAMS, Project

from amtss.config.params import activate_preset, preset_names
from amtss.errors import ParamsError
from amtss.paths import Layout

FIRST, SECOND = (yaml.safe_dump(PARAMS | {"project": name}) for name in ("first", "second"))


@pytest.fixture
def folder(project: Project) -> Project:
    project.write("params/first.yaml", f"# A comment that stays.\n{FIRST}")
    project.write("params/second.yaml", SECOND)
    return project


def test_names(folder: Project) -> None:
    assert preset_names(Layout()) == ["first", "second"]
    assert preset_names(Layout(Path("data"))) == []


def test_a_preset_becomes_params_whole(folder: Project) -> None:
    Path("params.yaml").unlink()
    activate_preset(Layout(), "first")
    assert Path("params.yaml").read_bytes() == Path("params/first.yaml").read_bytes()


def test_an_unedited_preset_gives_way(folder: Project) -> None:
    activate_preset(Layout(), "first", force=True)
    activate_preset(Layout(), "second")
    assert Path("params.yaml").read_text() == SECOND


@pytest.mark.parametrize("own", [b"# mine\n", b"\xff"])
def test_own_settings_are_kept(folder: Project, own: bytes) -> None:
    folder.write("params.yaml", own)
    with pytest.raises(ParamsError, match=r"params\.yaml: .*`amtss preset first --force`"):
        activate_preset(Layout(), "first")
    assert Path("params.yaml").read_bytes() == own
    activate_preset(Layout(), "first", force=True)
    assert Path("params.yaml").read_bytes() == Path("params/first.yaml").read_bytes()


@pytest.mark.parametrize("name", ["third", "", "../params", "first.yaml"])
def test_no_such_preset(folder: Project, name: str) -> None:
    with pytest.raises(ParamsError, match=r"preset: expected one of first, second .*, found"):
        activate_preset(Layout(), name)


def test_a_wrong_preset_is_not_activated(folder: Project) -> None:
    folder.write("params/second.yaml", "languages: [en]\n")
    with pytest.raises(ParamsError, match=r"params/second\.yaml: teachers: expected a value"):
        activate_preset(Layout(), "second", force=True)
    assert yaml.safe_load(Path("params.yaml").read_text()) == PARAMS
