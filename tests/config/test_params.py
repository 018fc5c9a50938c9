import re
from pathlib import Path

import pytest
import yaml
from support.project import PARAMS, ROOT, Project

from amtss.config.params import activate_preset, load_params, preset_names
from amtss.errors import ParamsError
from amtss.paths import Layout

FIRST, SECOND = (yaml.safe_dump(PARAMS | {"project": name}) for name in ("first", "second"))
PRESETS = sorted((ROOT / "params").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_valid(path: Path) -> None:
    assert load_params(path).languages == ("ar", "en", "es", "fr", "ru")


def test_params_yaml_is_the_demo() -> None:
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "params/demo.yaml").read_bytes()


def complaint(project: Project, text: str) -> str:
    project.write("params.yaml", text)
    with pytest.raises(ParamsError, match=r"^params\.yaml") as caught:
        load_params(Path("params.yaml"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_key_s_path_is_told(project: Project) -> None:
    text = yaml.safe_dump(PARAMS | {"teachers": {
        "fr": {"languages": ["fr"], "training": {"lr": 1}}}})
    assert complaint(project, text).startswith("params.yaml: teachers.fr.training.lr: unknown key")


@pytest.mark.parametrize(("written", "hint"), [
    ("1e-5", "1.0e-5"), ("2E5", "2.0e+5"), ("1.5e3", "1.5e+3"), ("-3e-04", "-3.0e-4")])
def test_a_number_that_yaml_reads_as_text(project: Project, written: str, hint: str) -> None:
    text = yaml.safe_dump(PARAMS) + f"scoring: {{batch_size: {written}}}\n"
    text = text.replace("scoring:\n  precision: fp32\n", "")
    assert complaint(project, text).endswith(f"YAML reads {written} as text: write {hint}")
    assert isinstance(yaml.safe_load(hint), float)


def test_no_is_a_language_in_quotes(project: Project) -> None:
    text = yaml.safe_dump(PARAMS | {"languages": ["en", "fr", False]})
    assert "languages.2: expected a valid string, found False (bool); YAML reads no" in complaint(
        project, text)
    project.write("params.yaml", text.replace("- false", "- 'no'"))
    assert load_params(Path("params.yaml")).languages == ("en", "fr", "no")


def test_several_complaints_are_counted(project: Project) -> None:
    assert "(and 1 more)" in complaint(project, yaml.safe_dump(PARAMS | {"a": 1, "b": 2}))


def test_a_long_value_is_cut(project: Project) -> None:
    text = yaml.safe_dump(PARAMS | {"project": "A" * 5000})
    assert len(complaint(project, text)) < 300


def test_keys_may_repeat_through_a_merge_only(project: Project) -> None:
    project.write("params.yaml", yaml.safe_dump(PARAMS | {"teachers": {}}).replace(
        "teachers: {}", "teachers:\n  multilingual: &one {languages: [all]}\n"
                        "  en: {<<: *one, languages: [en]}"))
    assert load_params(Path("params.yaml")).teachers["en"].languages == ("en",)
    found = complaint(project, "languages: [en]\nteachers: {}\nlanguages: [fr]\n")
    assert re.search("params.yaml:3: .*'languages' a second time", found)


def test_a_number_of_version_that_yaml_reads_as_text(project: Project) -> None:
    text = yaml.safe_dump(PARAMS | {"onboarding": {
        "version": "1", "fingerprint": "0" * 16, "languages": ["fr"]}})
    assert complaint(project, text).startswith(
        "params.yaml: onboarding.version: expected a valid integer, found '1'")


def test_a_fingerprint_of_digits_alone_is_in_quotes(project: Project) -> None:
    origin = {"version": 1, "fingerprint": "1234567890123456", "languages": ["fr"]}
    project.write("params.yaml", yaml.safe_dump(PARAMS | {"onboarding": origin}))
    read = load_params(Path("params.yaml")).onboarding
    assert read is not None
    assert read.fingerprint == "1234567890123456"
    complaint(project, yaml.safe_dump(PARAMS | {"onboarding": origin}).replace(
        "'1234567890123456'", "1234567890123456"))


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
