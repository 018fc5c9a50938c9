from pathlib import Path
from typing import Any

import pytest
from conftest import PARAMS
from pydantic import ValidationError

from amtss import config
from amtss.config import Data, Params, Section, Teaching, TeachingOverrides
from amtss.params import _tuples

ROOT = Path(__file__).parents[1]
SECTIONS = [each for each in vars(config).values()
            if isinstance(each, type) and issubclass(each, Section) and each is not Section]
PLAIN = {"epochs", "batch_size", "learning_rate", "weight_decay", "warmup", "max_length", "dropout",
         "label_smoothing", "precision", "seed", "layers", "width", "heads", "feed_forward",
         "vocabulary", "train", "validation", "test", "title", "revision", "project"}
"""Keys that say what they are by their names."""


def params(**changes: Any) -> Params:
    return Params.model_validate(_tuples(PARAMS | changes))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_are_frozen_strict_and_told(section: type[Section]) -> None:
    assert section.__doc__
    assert section.model_config == Section.model_config
    for key, field in section.model_fields.items():
        assert field.annotation is not float or field.metadata, f"{key} has no limits"


def test_keys_that_do_not_explain_themselves_have_a_docstring() -> None:
    lines = (ROOT / "amtss/config.py").read_text(encoding="utf-8").splitlines()
    for section in (config.Data, config.Sample, config.Distil, config.Evaluation):
        for key in section.model_fields.keys() - PLAIN - {"columns", "splits", "sample"}:
            at = next(i for i, line in enumerate(lines) if line.startswith(f"    {key}: "))
            own = lines[at + 1: at + 3]
            assert any('"""' in line for line in own), f"{section.__name__}.{key}"


@pytest.mark.parametrize(("section", "key", "good", "bad"), [
    (config.Data, "scale", [0.01, 1], [0, 1.1]),
    (config.Sample, "rows", [1, None], [0, -1, 1.5]),
    (config.Sample, "skew", ["appendix-a", None], ["appendix-b"]),
    (config.Validation, "max_leaked", [0, 0.5, 1], [-0.1, 1.1, "0"]),
    (config.Validation, "warn_imbalance", [0.1, 9], [0]),
    (config.Teaching, "epochs", [1], [0, "1", True, 1.0]),
    (config.Teaching, "learning_rate", [1, 1e-5], [0, -1, "1e-5", float("inf")]),
    (config.Teaching, "dropout", [0, 0.9], [1, -0.1]),
    (config.Teaching, "label_smoothing", [0, 0.9], [1]),
    (config.Teaching, "max_length", [8], [7]),
    (config.Teaching, "precision", ["auto", "fp16"], ["fp8", "half"]),
    (config.Teaching, "seed", [0, 2**32 - 1], [-1, 2**32]),
    (config.Architecture, "vocabulary", [300], [299]),
    (config.Student, "heads", ["own", "residual"], ["shared"]),
    (config.Distil, "replay", [0, 1], [1.5]),
    (config.Distil, "margin_threshold", [None, -1.0, 0], ["0"]),
    (config.Distil, "temperature", [0.5], [0]),
    (config.Distil, "labels_only", [True], ["yes", 1]),
    (config.Evaluation, "bootstrap", [100], [99]),
    (config.Report, "paper", [None, "ae", "xnli"], ["ours"]),
])
def test_limits(section: type[Section], key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(section(**{key: value}), key) == value
    for value in bad:
        with pytest.raises(ValidationError, match=key):
            section(**{key: value})


@pytest.mark.parametrize(("code", "is_one"), [
    ("en", True), ("kab", True), ("zh-CN", True), ("zh-Hant-TW", True),
    ("EN", False), ("english", False), ("e", False), ("en_US", False), ("", False), ("all", True)])
def test_language_codes(code: str, is_one: bool) -> None:
    assert bool(config.CODE.fullmatch(code)) is is_one


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params().project = "other"


def test_overrides_name_all_of_teaching() -> None:
    assert TeachingOverrides.model_fields.keys() == Teaching.model_fields.keys()
    assert TeachingOverrides() == TeachingOverrides(**dict.fromkeys(Teaching.model_fields))


def test_a_teacher_s_training_lies_over_teaching() -> None:
    made = params(teachers=PARAMS["teachers"] | {
        "en": {"languages": ["en"], "training": {"epochs": 9, "seed": 0}}})
    assert made.training_of("en") == made.teaching.model_copy(update={"epochs": 9})
    assert made.training_of("multilingual") == made.teaching


def test_who_is_taught_and_scores_what() -> None:
    made = params(teachers=PARAMS["teachers"] | {
        "wide": {"languages": ["fr"], "scores": ["all"]},
        "both": {"languages": ["fr", "en"]}, "none": {"languages": ["en"], "scores": []}})
    assert made.taught_on("multilingual") == ("en", "fr")
    assert (made.taught_on("wide"), made.scored_by("wide")) == (("fr",), ("en", "fr"))
    assert made.taught_on("both") == ("en", "fr")
    assert made.scored_by("none") == ()
    assert made.pool == tuple(made.teachers)
    assert params(distil={"teachers": ["multilingual"], "top_k": 1}).pool == ("multilingual",)


def test_a_column_may_be_one_name_or_several() -> None:
    columns = config.Columns.model_validate({"text": "utterance", "label": ("a", "b")})
    assert (columns.text, columns.label) == (("utterance",), ("a", "b"))


def test_a_data_set_needs_a_place() -> None:
    with pytest.raises(ValidationError, match=r"`path` .* or `hub`"):
        Data(source="dataset")
    assert Data(source="dataset", hub="a/b").hub == "a/b"
    assert Data(source="dataset", path="folder").path == "folder"
