from pathlib import Path

import pytest
from support.project import PARAMS, ROOT, Project, run

from amtss.config import yaml
from amtss.config.params import activate_preset, load_params, preset_names
from amtss.errors import ParamsError
from amtss.paths import Layout

FIRST, SECOND = (yaml.dump(PARAMS | {"project": name}) for name in ("first", "second"))
PRESETS = sorted((ROOT / "params").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_valid(path: Path) -> None:
    assert load_params(path).languages == ("ar", "en", "es", "fr", "ru")


def test_params_yaml_is_the_demo() -> None:
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "params/demo.yaml").read_bytes()


def message_for(project: Project, text: str) -> str:
    project.write("params.yaml", text)
    with pytest.raises(ParamsError, match=r"^params\.yaml") as caught:
        load_params(Path("params.yaml"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_message_has_the_whole_key(project: Project) -> None:
    text = yaml.dump(PARAMS | {"teachers": {
        "fr": {"languages": ["fr"], "training": {"lr": 1}}}})
    assert message_for(project, text).startswith(
        "params.yaml: teachers.fr.training.lr: unknown key")


@pytest.mark.parametrize(("written", "number"), [("1e-5", 1e-5), ("2E5", 2e5), ("1.5e3", 1500.0)])
def test_numbers_without_a_point_or_a_sign(project: Project, written: str, number: float) -> None:
    text = yaml.dump(PARAMS | {"teaching": {"learning_rate": "RATE"}})
    project.write("params.yaml", text.replace("RATE", written))
    assert load_params(Path("params.yaml")).teaching.learning_rate == number
    assert message_for(project, text.replace("RATE", f"'{written}'")).endswith(
        f"expected a valid number, found '{written}' (str); edit params.yaml")


def test_what_dvc_exp_run_sets(project: Project) -> None:
    from dvc.utils.hydra import apply_overrides

    project.write("params.yaml", (ROOT / "params" / "demo.yaml").read_bytes())
    apply_overrides("params.yaml", ["distil.learning_rate=1e-5", "+report.title=no",
                                    "+promotion.required=[no]"])
    assert "learning_rate: 1e-05" in Path("params.yaml").read_text()
    params = load_params(Path("params.yaml"))
    assert params.distil.learning_rate == 1e-5
    assert (params.report.title, params.promotion.required) == ("no", ("no",))


def test_the_language_no_needs_no_quotes(project: Project) -> None:
    text = yaml.dump(PARAMS | {"languages": ["en", "fr", "no"]})
    assert "- no\n" in text
    project.write("params.yaml", text)
    assert load_params(Path("params.yaml")).languages == ("en", "fr", "no")
    assert "languages.2: expected a valid string, found False (bool); edit params.yaml" in (
        message_for(project, text.replace("- no\n", "- false\n")))


def test_further_errors_are_counted(project: Project) -> None:
    assert "(and 1 more)" in message_for(project, yaml.dump(PARAMS | {"a": 1, "b": 2}))


def test_all_errors_are_told_at_once(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("params.yaml", yaml.dump(PARAMS | {
        "languages": ["en"], "data": PARAMS["data"] | {"configs": {"fr": "french"}},
        "teachers": {"fr": {"kind": "linear", "languages": ["fr"]}}, "baseline": {"teacher": "x"}}))
    assert run("settings") == 1
    assert capfd.readouterr().err.splitlines() == [f"amtss: params.yaml: {line}" for line in (
        "data.configs: expected some of en, found 'fr'; edit params.yaml",
        "teachers.fr.languages: expected some of en or all, found 'fr'; edit params.yaml",
        "teachers: expected one in the pool that scores 'en', found none; add it to a teacher's "
        "`scores`; edit params.yaml",
        "baseline.teacher: expected one of fr, found 'x'; edit params.yaml")]


def test_all_languages_in_one_word(project: Project) -> None:
    linear = {"kind": "linear", "languages": "all"}
    project.write("params.yaml", yaml.dump(PARAMS | {"teachers": {"words": linear}}))
    params = load_params(Path("params.yaml"))
    assert (params.taught_on("words"), params.baseline.teacher) == (("en", "fr"), "words")


def test_a_long_value_is_cut(project: Project) -> None:
    text = yaml.dump(PARAMS | {"project": "A" * 5000})
    assert len(message_for(project, text)) < 300


def test_keys_repeat_only_through_a_merge(project: Project) -> None:
    project.write("params.yaml", yaml.dump(PARAMS | {"teachers": {}}).replace(
        "teachers: {}", "teachers:\n  multilingual: &one {languages: [all]}\n"
                        "  en: {<<: *one, languages: [en]}"))
    assert load_params(Path("params.yaml")).teachers["en"].languages == ("en",)
    message = message_for(project, "languages: [en]\nteachers: {}\nlanguages: [fr]\n")
    assert message == ("params.yaml:3: expected YAML, found: duplicate key \"languages\"; "
                     "fix that line")


def test_a_version_in_quotes_is_no_number(project: Project) -> None:
    text = yaml.dump(PARAMS | {"onboarding": {
        "version": "1", "fingerprint": "0" * 16, "languages": ["fr"]}})
    assert message_for(project, text).startswith(
        "params.yaml: onboarding.version: expected a valid integer, found '1'")


def test_a_fingerprint_of_digits_alone_is_in_quotes(project: Project) -> None:
    origin = {"version": 1, "fingerprint": "1234567890123456", "languages": ["fr"]}
    project.write("params.yaml", yaml.dump(PARAMS | {"onboarding": origin}))
    read = load_params(Path("params.yaml")).onboarding
    assert read is not None
    assert read.fingerprint == "1234567890123456"
    message_for(project, yaml.dump(PARAMS | {"onboarding": origin}).replace(
        "'1234567890123456'", "1234567890123456"))


@pytest.fixture
def folder(project: Project) -> Project:
    project.write("params/first.yaml", f"# A comment that stays.\n{FIRST}")
    project.write("params/second.yaml", SECOND)
    return project


def test_names(folder: Project) -> None:
    assert preset_names(Layout()) == ["first", "second"]
    assert preset_names(Layout(Path("data"))) == []


def test_a_preset_is_copied_byte_for_byte(folder: Project) -> None:
    Path("params.yaml").unlink()
    activate_preset(Layout(), "first")
    assert Path("params.yaml").read_bytes() == Path("params/first.yaml").read_bytes()


def test_an_unedited_preset_is_replaced(folder: Project) -> None:
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
    assert yaml.load(Path("params.yaml").read_text()) == PARAMS
