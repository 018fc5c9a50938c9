"""Ablations: what an experiment sets, and the table that its predictions make."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.metrics import metrics
from support.pipeline import Pipeline
from support.project import ROOT

from amtss import ablation
from amtss.ablation import (
    LAYERS,
    MIXINGS,
    STARTS,
    TEXTS,
    VARIANTS,
    Experiment,
    Outcome,
    variants,
)
from amtss.config import yaml
from amtss.config.params import _tuples, load_params
from amtss.config.schema import LinearTeacher, Params
from amtss.errors import AmtssError
from amtss.files import seal, write_json, write_text


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params" / "massive-scratch.yaml")


@pytest.fixture
def pretrained() -> Params:
    return load_params(ROOT / "params" / "massive.yaml")


def predictions(rows: list[tuple[str, str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["language", "id", "actual", "student", "baseline"])
    writer.writerows((row[0], index, *row[1:]) for index, row in enumerate(rows))
    return text.getvalue()


@pytest.fixture
def with_linear(params: Params) -> Params:
    """The same with a linear teacher for all languages, and one that only English has."""
    return params.model_copy(update={"teachers": params.teachers | {
        "lin": LinearTeacher(kind="linear", languages=("all",)),
        "words": LinearTeacher(kind="linear", languages=("en",), cross_fit=0)}})


@pytest.mark.parametrize("name", ["params", "with_linear", "pretrained"])
def test_variants_set_keys_that_params_have(request: pytest.FixtureRequest, name: str) -> None:
    params = request.getfixturevalue(name)
    for variant in variants(params):
        for setting in Experiment(variant, 3).settings(params):
            key, value = setting.split("=")
            section: Any = params
            for name in key.split("."):
                section = section[name] if isinstance(section, dict) else getattr(section, name)
            assert value


def test_all_variants_are_offered_with_linear_teachers(with_linear: Params) -> None:
    assert set(variants(with_linear)) == {*VARIANTS, *MIXINGS, *STARTS, *TEXTS, "no-cross-fit",
                                          "no-linear"}
    assert Experiment("no-cross-fit", 0).settings(with_linear)[:2] == [
        "teachers.lin.cross_fit=0", "teachers.words.cross_fit=0"]
    setting = Experiment("no-linear", 0).settings(with_linear)[0]
    after = load_changed(with_linear, setting)
    assert set(after.pool) == {name for name in with_linear.teachers
                               if name not in ("lin", "words")}


def test_pretrained_teachers_can_be_left_out(pretrained: Params) -> None:
    offered = variants(pretrained)
    assert set(offered) == {*VARIANTS, *MIXINGS, *STARTS, *LAYERS, *TEXTS, "no-cross-fit",
                            "no-linear", "no-pretrained"}
    assert load_changed(pretrained, *offered["no-pretrained"]).pool == ("linear",)


@pytest.mark.parametrize("name", ["params", "pretrained"])
def test_starts_are_settings_that_hold_together(request: pytest.FixtureRequest,
                                                name: str) -> None:
    params = request.getfixturevalue(name)
    students = {variant: load_changed(params, *Experiment(variant, 0).settings(params)).student
                for variant in (*STARTS, *LAYERS) if variant in variants(params)}
    assert all(students[variant].start == "pca" for variant in STARTS)
    assert students["static"].architecture.layers == 0
    assert students["paper-shape"].architecture.width == 200
    assert ("every-other-layer" in students) == (name == "pretrained")


def test_mixed_texts_that_there_are_none_of_are_not_left_out(params: Params) -> None:
    assert not {*TEXTS} & {*variants(load_changed(params, *TEXTS["no-mixed-texts"]))}


def test_a_student_without_layers_has_no_first_state(pretrained: Params) -> None:
    static = load_changed(pretrained, *Experiment("static", 0).settings(pretrained))
    assert "first-state" not in variants(static)


def test_pairs_are_left_out_where_there_are_some(pretrained: Params) -> None:
    assert "no-pairs" not in variants(pretrained)
    paired = load_changed(pretrained, *Experiment("static", 0).settings(pretrained),
                          "student.architecture.pairs=500")
    assert paired.student.architecture.pairs == 500
    for name in ("no-pairs", "paper-shape"):
        changed = load_changed(paired, *Experiment(name, 0).settings(paired))
        assert changed.student.architecture.pairs == 0


def load_changed(params: Params, *settings: str) -> Params:
    """`params` with settings, which are read as the command line reads them."""
    values = params.model_dump(mode="json")
    for setting in settings:
        key, value = setting.split("=")
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        section[name] = yaml.load(value)
    return Params.model_validate(_tuples(values))


def test_without_linear_teachers_theirs_are_not_offered(params: Params) -> None:
    assert set(variants(params)) == {*VARIANTS, *MIXINGS, *STARTS, *TEXTS}
    with pytest.raises(AmtssError, match=r"found 'no-linear'; .*add the teachers that it needs"):
        ablation.ablate(params, ["no-linear"], [0], 1)


def test_variants_that_need_other_teachers_are_not_offered(with_linear: Params) -> None:
    alone = with_linear.model_copy(update={
        "teachers": {"lin": with_linear.teachers["lin"]},
        "baseline": with_linear.baseline.model_copy(update={"teacher": "lin"})})
    assert set(variants(alone)) == {*VARIANTS, *TEXTS, "no-cross-fit"}
    fitted = alone.model_copy(update={"teachers": {
        "lin": LinearTeacher(kind="linear", languages=("all",), cross_fit=0)}})
    assert "no-cross-fit" not in variants(fitted)


def test_top_k_off_trains_on_every_language(params: Params) -> None:
    settings = Experiment("all-languages", 0).settings(params)
    assert f"distil.top_k={len(params.languages)}" in settings


def test_a_path_outside_the_project_becomes_absolute(params: Params) -> None:
    outside = params.model_copy(update={"data": params.data.model_copy(
        update={"path": "../elsewhere"})})
    expected = f"data.path={(Path.cwd().parent / 'elsewhere')}"
    assert expected in Experiment("own", 0).settings(outside)
    assert not any(setting.startswith("data.path")
                   for setting in Experiment("own", 0).settings(params))


def test_an_outcome_is_read_from_predictions_by_language() -> None:
    text = predictions([("ar", "a", "a", "b"), ("ar", "b", "a", "b"), ("en", "a", "a", "a"),
                        ("pt", "", "a", "a")])
    outcome = ablation.read_outcome(text, 7)
    assert outcome.languages == ("ar", "en")  # pt has no labels
    assert [scores.tolist() for scores in outcome.student] == [[1, 0], [1]]
    assert [scores.tolist() for scores in outcome.baseline] == [[0, 1], [1]]
    assert outcome.examples == 7


def test_table_averages_seeds_and_pairs_the_difference(params: Params) -> None:
    two = params.model_copy(update={"languages": ("ar", "en")})
    draw = np.random.default_rng(0)
    base = [draw.random(400) < 0.8, draw.random(300) < 0.9]
    worse = [right & (draw.random(len(right)) < 0.9) for right in base]

    def outcome(student: list[np.ndarray], examples: int) -> Outcome:
        return Outcome(("ar", "en"), [right.astype(float) for right in student],
                       [right.astype(float) for right in worse], examples)

    table = ablation.table(two, {
        Experiment("adaptive", 0): outcome(base, 100),
        Experiment("adaptive", 1): outcome(base, 300),
        Experiment("own", 0): outcome(worse, 50)})
    tiny, adaptive, own = table.rows
    average = 50 * (base[0].mean() + base[1].mean())
    assert adaptive[0] == "adaptive"
    assert adaptive[3] == f"{average:.2f}"
    assert adaptive[5] == ""
    assert adaptive[6] == "200"
    assert own[3] == tiny[3]
    low, high = (float(part) for part in own[5].split("(")[1].rstrip(")").split(" to "))
    gap = float(own[3]) - float(adaptive[3])
    assert low <= gap <= high < 0


DVC_YAML = """stages:
  evaluate:
    cmd:
      - "test ${distil.weights} != own || { echo 'amtss: student: found none; lower it'; exit 1; }"
      - mkdir -p artifacts && cp -r made/. artifacts
    params: [distil]
    outs: [artifacts/evaluation]
    metrics: [artifacts/metrics.json]
"""
"""A pipeline in one stage: `own` fails, the others measure what lies in `made`."""


@pytest.mark.slow
def test_what_failed_is_named_and_what_is_damaged_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(tmp_path, yaml.load((ROOT / "params/demo.yaml").read_text()))
    pipeline.enter(monkeypatch)
    params, made = load_params(Path("params.yaml")), Path("made")
    right = predictions([(code, "a", "a", "b") for code in params.languages])
    write_json(made / "metrics.json", metrics(params.languages))
    write_text(made / "evaluation/predictions.csv", right)
    seal(made / "evaluation")
    Path("dvc.yaml").write_text(DVC_YAML)
    pipeline.commit()

    table = ablation.ablate(params, ["own", "adaptive"], [0], 1)
    assert [row[0] for row in table.rows] == ["X-LM-Tiny", "adaptive"]
    assert table.rows[1][-1] == "345,000"
    assert table.notes[-1] == ("Without own with seed 0: student: found none; lower it; see `dvc "
                               "queue logs ablation-own-0`.")
    with pytest.raises(AmtssError, match=r"^ablation: expected an experiment to finish, found that "
                       "all failed, such as own with seed 0: student: found none; lower it; see"):
        ablation.ablate(params, ["own"], [0], 1)

    damaged, = (path for path in Path(".dvc/cache/files/md5").rglob("*")
                if path.is_file() and path.read_bytes() == right.encode())
    damaged.chmod(0o644)
    damaged.write_bytes(right.replace(",b", ",a").encode())
    command = "run `dvc exp remove ablation-adaptive-0 && amtss ablate`"
    for end in (f"; remove it and {command}; remove first .*{damaged.name}, the damaged object .*",
                f"; {command}"):
        with pytest.raises(AmtssError, match=f"ablation-adaptive-0.*{end}$"):
            ablation.ablate(params, ["adaptive"], [0], 1)
        damaged.unlink(missing_ok=True)


def test_an_unknown_variant_is_refused(params: Params) -> None:
    with pytest.raises(AmtssError, match=r"--only: expected some of adaptive, .*found 'magic'"):
        ablation.ablate(params, ["magic"], [0], 1)
