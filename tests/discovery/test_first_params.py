import json
import re
from pathlib import Path

import pytest
from support.project import PARAMS, WORDS, Project, examples, run, unfolded

from amtss.config import yaml
from amtss.config.params import load_params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A pipeline without settings, the working directory; the data lie in data/mine."""
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    project.write("dvc.yaml", "stages: {}\n")
    for code in WORDS:
        project.rows(f"data/mine/{code}/train.jsonl", examples(code, "train"))
    return project


def test_from_a_folder_to_a_corpus(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("init", "data/mine") == 0
    out = capfd.readouterr().out
    assert "5 (cut off train)" in out
    assert out.endswith("params.yaml is written. Read it through, then run `dvc repro`.\n")
    text = Path("params.yaml").read_text()
    params = load_params(Path("params.yaml"))
    assert (params.project, params.languages) == ("mine", ("en", "fr"))
    assert (params.student.architecture.layers, params.baseline.teacher) == (0, "words")
    assert max(map(len, text.splitlines())) <= 100
    project.write("params.yaml", text.replace("  seed: 0", "  mixed: 0\n  seed: 0"))  # for time
    assert run("data", "fr") == 0
    assert unfolded(capfd.readouterr().err).splitlines() == [
        f"amtss: warning: fr: no {split} split in the source; {rows} of 24 training rows are cut "
        "off for it, by label" for split, rows in (("test", 5), ("validation", 5))]


def write_encoder(project: Project, layers: int) -> None:
    """What `amtss init` reads of a checkpoint in the folder `e5`."""
    project.write("e5/config.json", json.dumps({"model_type": "bert", "num_hidden_layers": layers}))


@pytest.mark.parametrize(("rows", "kinds", "epochs", "layers"), [
    (40, {"encoder": "probe"}, 8, 8), (700, {"encoder": "transformer", "frozen": "probe"}, 20, 8),
    (7_000, {"encoder": "transformer", "frozen": "probe"}, 7, 8),
    (26_000, {"encoder": "transformer"}, 2, 4)])
def test_an_encoder_is_a_teacher_that_fits_the_size(
        project: Project, rows: int, kinds: dict[str, str], epochs: int, layers: int) -> None:
    write_encoder(project, 12)
    project.rows("data/mine/fr/train.jsonl", [
        {"text": f"text {number}", "label": "ab"[number % 2]} for number in range(rows)])
    assert run("init", "data/mine", "--encoder", "e5") == 0
    params = load_params(project.root / "params.yaml")
    assert {name: teacher.kind for name, teacher in params.teachers.items()} == {
        "words": "linear", **kinds}
    assert (params.student.start, params.baseline.teacher) == ("layers", "encoder")
    assert params.teaching.epochs == epochs
    assert params.student.layers == tuple(range(layers))
    assert params.teaching.max_length is None  # it follows from the texts
    text = (project.root / "params.yaml").read_text()
    assert re.search(r"# Texts have up to \d+ tokens, roughly; without a max_length here", text)


def test_a_student_has_no_more_layers_than_the_encoder(project: Project) -> None:
    write_encoder(project, 3)
    assert run("init", "data/mine", "--encoder", "e5") == 0
    assert load_params(project.root / "params.yaml").student.layers == (0, 1, 2)


def test_pairs_have_deep_students_and_no_frozen_teacher(project: Project) -> None:
    write_encoder(project, 12)
    for code in WORDS:
        project.rows(f"data/mine/{code}/train.jsonl", [
            {"text": f"text {number}", "pair": f"other {number}", "label": "ab"[number % 2]}
            for number in range(10_000)])
    assert run("init", "data/mine", "--pair", "pair", "--encoder", "e5") == 0
    params = load_params(project.root / "params.yaml")
    assert list(params.teachers) == ["words", "encoder"]
    assert params.student.layers == (0, 1, 2, 3, 4, 5, 6, 7)


def test_an_encoder_without_a_configuration(project: Project,
                                            capfd: pytest.CaptureFixture[str]) -> None:
    (project.root / "e5").mkdir()
    assert run("init", "data/mine", "--encoder", "e5") == 1
    assert "amtss: e5: expected a checkpoint, found: " in unfolded(capfd.readouterr().err)
    assert not (project.root / "params.yaml").exists()


@pytest.mark.parametrize(("rows", "rules"), [
    (24, (5.0, 5.0, 8.0)), (320, (3.1, 4.4, 6.1)), (12_000, (0.8, 1.0, 3.7))])
def test_rules_of_promotion_bear_what_the_draw_of_test_rows_does(
        project: Project, rows: int, rules: tuple[float, float, float]) -> None:
    for code in WORDS:
        project.rows(f"data/mine/{code}/train.jsonl", [
            {"text": f"text {number}", "label": "ab"[number % 2]} for number in range(rows)])
    assert run("init", "data/mine") == 0
    found = load_params(project.root / "params.yaml").promotion
    assert (found.max_average_drop, found.max_language_drop, found.max_below_floor) == rules


def test_a_folder_that_is_a_languages(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("init", "data/mine/fr") == 0
    out = capfd.readouterr().out
    assert "Language: fr, by the folder's name; `--lang` says another.\n" in out
    assert "`--force --encoder intfloat/multilingual-e5-small`" in out
    assert max(map(len, out.splitlines())) <= 100
    params = load_params(project.root / "params.yaml")
    assert (params.project, params.languages) == ("mine-fr", ("fr",))
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Written by `amtss init data/mine/fr`.\n")
    assert "# amtss init data/mine/fr --force --encoder " in text
    # so that data/mine/ko can be onboarded
    assert (params.data.path, params.data.files) == ("data/mine", "{language}/{split}.jsonl")
    assert run("init", "data/mine/fr", "--force", "--lang", "pt-BR") == 0
    assert load_params(project.root / "params.yaml").languages == ("pt-BR",)


def test_odd_names_are_quoted(project: Project) -> None:
    project.rows("data/my: #1/no.jsonl", [
        {"a: text": f"text {number} {'x' * 2100}", 'the "label"': "ab"[number % 2], "# id": 0}
        for number in range(40)])
    assert run("init", "data/my: #1") == 0
    params = load_params(project.root / "params.yaml")
    assert (params.data.path, params.data.files) == ("data/my: #1", "{language}.jsonl")
    assert params.languages == ("no",)
    assert params.data.columns.text == ("a: text",)
    assert params.data.columns.label == ('the "label"',)
    assert (params.project, params.validation.max_characters) == ("my-1", 3000)


@pytest.mark.parametrize("name", ["2026", "1e3", "null", "no"])
def test_a_folder_s_name_that_yaml_would_take_for_a_value(project: Project, name: str) -> None:
    project.rows(f"data/{name}/fr/train.jsonl", examples("fr", "train"))
    assert run("init", f"data/{name}") == 0
    assert load_params(project.root / "params.yaml").project == name


def test_settings_of_the_users_own_stay(project: Project,
                                        capfd: pytest.CaptureFixture[str]) -> None:
    own = project.write("params.yaml", yaml.dump(PARAMS))
    before = own.read_bytes()
    assert run("init", "data/mine") == 1
    assert capfd.readouterr().err == (
        "amtss: params.yaml: expected an unedited preset, found your own settings; keep a copy, "
        "then `amtss init data/mine --force`\n")
    assert own.read_bytes() == before
    assert run("init", "data/mine", "--force") == 0
    assert load_params(own).project == "mine"


def test_a_preset_is_replaced(project: Project) -> None:
    for name in ("params.yaml", "params/demo.yaml"):
        project.write(name, yaml.dump(PARAMS))
    assert run("init", "data/mine") == 0


def test_outside_of_a_project(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    (project.root / "dvc.yaml").unlink()
    assert run("init", "data/mine") == 1
    assert re.fullmatch(r"amtss: dvc\.yaml: expected the pipeline here, found none; run in a clone "
                        r"of amtss's repository: .*\n", capfd.readouterr().err)
    assert not (project.root / "params.yaml").exists()
