from typing import Any

import pytest
from pydantic import ValidationError
from support.project import PARAMS

from amtss.config import schema
from amtss.config.params import _tuples
from amtss.config.schema import Data, Params, Pooling, Section, Student, Teaching, TeachingOverrides

SECTIONS = [value for value in vars(schema).values()
            if isinstance(value, type) and issubclass(value, Section) and value is not Section]


def params(**changes: Any) -> Params:
    return Params.model_validate(_tuples(PARAMS | changes))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_are_frozen_strict_and_described(section: type[Section]) -> None:
    assert section.__doc__
    # one has no source with docstrings to read: its fields have descriptions
    docstrings = {"use_attribute_docstrings": section is not TeachingOverrides}
    assert section.model_config == {**Section.model_config, **docstrings}
    for key, field in section.model_fields.items():
        assert field.annotation is not float or field.metadata, f"{key} has no limits"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_is_described(section: type[Section]) -> None:
    for key, field in section.model_fields.items():
        is_section = "config." in str(field.annotation)
        assert field.description or is_section, f"{section.__name__}.{key}"


@pytest.mark.parametrize(("section", "key", "good", "bad"), [
    (schema.Data, "scale", [0.01, 1], [0, 1.1]),
    (schema.Sample, "rows", [1, None], [0, -1, 1.5]),
    (schema.Sample, "skew", ["appendix-a", None], ["appendix-b"]),
    (schema.Validation, "max_leaked", [0, 0.5, 1], [-0.1, 1.1, "0"]),
    (schema.Validation, "warn_imbalance", [0.1, 9], [0]),
    (schema.Teaching, "epochs", [1], [0, "1", True, 1.0]),
    (schema.Teaching, "learning_rate", [1, 1e-5], [0, -1, "1e-5", float("inf")]),
    (schema.Teaching, "dropout", [0, 0.9], [1, -0.1]),
    (schema.Teaching, "label_smoothing", [0, 0.9], [1]),
    (schema.Teaching, "max_length", [8], [7]),
    (schema.Teaching, "freeze", [None, "embeddings", 1, 12], [0, -1, "layers", True, 1.5]),
    (schema.Teaching, "precision", ["auto", "fp16"], ["fp8", "half"]),
    (schema.Teaching, "seed", [0, 2**32 - 1], [-1, 2**32]),
    (schema.Architecture, "vocabulary", [300], [299]),
    (schema.Student, "heads", ["own", "residual"], ["shared"]),
    (schema.Serving, "runtime", ["pytorch", "onnx", "onnx-int8", "onnx-int4"], ["int8", None]),
    (schema.Distil, "replay", [0, 1], [1.5]),
    (schema.Distil, "margin_threshold", [None, -1.0, 0], ["0"]),
    (schema.Distil, "temperature", [0.5], [0]),
    (schema.Distil, "labels_only", [True], ["yes", 1]),
    (schema.Continuation, "max_epochs", [1], [0]),
    (schema.Continuation, "top_k", [1], [0]),
    (schema.Continuation, "share", [0, 0.4, 1], [1.1, -0.1]),
    (schema.Continuation, "replay", [0, 1], [1.5]),
    (schema.Continuation, "learning_rate", [None, 1e-5], [0, -1]),
    (schema.Continuation, "batch_size", [None, 1], [0]),
    (schema.Continuation, "vocabulary", [0, 3200], [-1, 1.5]),
    (schema.Promotion, "max_average_drop", [0, 0.3], [-0.1]),
    (schema.Promotion, "required", [(), ("ko",)], [("KO",), ("ko", "ko")]),
    (schema.Evaluation, "bootstrap", [100], [99]),
    (schema.Report, "paper", [None, "ae", "xnli"], ["ours"]),
])
def test_limits(section: type[Section], key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(section(**{key: value}), key) == value
    for value in bad:
        with pytest.raises(ValidationError, match=key):
            section(**{key: value})


@pytest.mark.parametrize(("key", "good", "bad"), [
    ("cross_fit", [0, 2, 20], [1, 21, -1]), ("pooling", ["first", "mean"], ["last", None]),
    ("regularisation", [(0.1,), (1, 2)], [(), (0,), 1.0]), ("max_length", [8], [7]),
    ("checkpoint", ["a/b"], [None]), ("prefix", ["", "query: "], [None])])
def test_limits_of_a_probe(key: str, good: list[Any], bad: list[Any]) -> None:
    given = {"kind": "probe", "languages": ("en",), "checkpoint": "hub/id"}
    for value in good:
        assert getattr(schema.ProbeTeacher.model_validate(given | {key: value}), key) == value
    for value in bad:
        with pytest.raises(ValidationError, match=key):
            schema.ProbeTeacher.model_validate(given | {key: value})


@pytest.mark.parametrize(("layers", "pooling", "pooled_by"), [
    (2, None, "first"), (2, "first", "first"), (2, "mean", "mean"), (0, None, "mean"),
    (0, "mean", "mean")])
def test_pooling_is_what_fits_unless_it_is_set(layers: int, pooling: Pooling | None,
                                               pooled_by: str) -> None:
    student = schema.Student(architecture=schema.Architecture(layers=layers), pooling=pooling)
    assert student.pooled_by == pooled_by


@pytest.mark.parametrize(("code", "valid"), [
    ("en", True), ("kab", True), ("zh-CN", True), ("zh-Hant-TW", True),
    ("EN", False), ("english", False), ("e", False), ("en_US", False), ("", False), ("all", True)])
def test_language_codes(code: str, valid: bool) -> None:
    assert bool(schema.CODE.fullmatch(code)) is valid


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params().project = "other"


def test_overrides_have_all_keys_of_teaching() -> None:
    assert TeachingOverrides.model_fields.keys() == Teaching.model_fields.keys()
    assert TeachingOverrides() == TeachingOverrides(**dict.fromkeys(Teaching.model_fields))


@pytest.mark.parametrize(("key", "good", "bad"), [
    ("epochs", 3, [0, "3", 1.0]), ("learning_rate", 1e-5, [0, -1.0, "1e-5"]),
    ("gradient_checkpointing", True, [1]), ("max_length", 8, [7]), ("precision", "fp16", ["fp8"]),
    ("dropout", 0.0, [1.0]), ("seed", 0, [-1, 2**32]), ("warmup", 1.0, [1.1])])
def test_overrides_have_the_limits_of_teaching(key: str, good: Any, bad: list[Any]) -> None:
    assert getattr(TeachingOverrides(**{key: good}), key) == good
    for value in bad:
        with pytest.raises(ValidationError, match=key):
            TeachingOverrides(**{key: value})


def test_a_teachers_training_overrides_teaching() -> None:
    settings = params(teachers=PARAMS["teachers"] | {
        "en": {"languages": ["en"], "training": {"epochs": 9, "seed": 0}}})
    assert settings.training_of("en") == settings.teaching.model_copy(update={"epochs": 9})
    assert settings.training_of("multilingual") == settings.teaching


def test_languages_that_teachers_are_taught_and_score() -> None:
    settings = params(teachers=PARAMS["teachers"] | {
        "wide": {"languages": ["fr"], "scores": ["all"]},
        "both": {"languages": ["fr", "en"]}, "none": {"languages": ["en"], "scores": []}})
    assert settings.taught_on("multilingual") == ("en", "fr")
    assert (settings.taught_on("wide"), settings.scored_by("wide")) == (("fr",), ("en", "fr"))
    assert settings.taught_on("both") == ("en", "fr")
    assert settings.scored_by("none") == ()
    assert settings.pool == tuple(settings.teachers)
    assert params(distil={"teachers": ["multilingual"], "top_k": 1}).pool == ("multilingual",)


def test_the_student_starts_from_a_transformer() -> None:
    teachers = PARAMS["teachers"] | {"lin": {"kind": "linear", "languages": ["all"]}}
    student = PARAMS["student"] | {"start": "pca"}
    assert params(teachers=teachers, student=student | {"teacher": "en"}).student.teacher == "en"
    with pytest.raises(ValidationError, match=r"student\.teacher: expected a teacher of kind "
                                              r"transformer, found 'lin'"):
        params(teachers=teachers, student=student | {"teacher": "lin"})


def test_a_column_may_be_one_name_or_several() -> None:
    columns = schema.Columns.model_validate({"text": "utterance", "label": ("a", "b")})
    assert (columns.text, columns.label) == (("utterance",), ("a", "b"))


@pytest.mark.parametrize("given", [{}, {"checkpoint": "a/b", "tokenizer": "c/d"}], ids=str)
def test_a_revision_needs_one_checkpoint(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"expected (`revision` beside|one of) "):
        Student(revision="main", **given)
    assert Student(revision="main", tokenizer="c/d").revision == "main"


def test_a_data_set_needs_a_place() -> None:
    with pytest.raises(ValidationError, match=r"`path` .* or `hub`"):
        Data(source="dataset")
    assert Data(source="dataset", hub="a/b").hub == "a/b"
    assert Data(source="dataset", path="folder").path == "folder"


ORIGIN = {"version": 3, "fingerprint": "0123456789abcdef", "languages": ["fr"]}


class TestOnboarding:
    @pytest.mark.parametrize(("key", "bad"), [
        ("version", 0), ("version", "3"), ("version", None), ("fingerprint", "0123456789ABCDEF"),
        ("fingerprint", "0123456789abcde"), ("fingerprint", "0123456789abcdef0"),
        ("fingerprint", "../../etc/passwd"), ("fingerprint", "0123456789abcdef\n"),
        ("languages", ["FR"]), ("languages", ["fr", "fr"]), ("languages", ["../../fr"]),
        ("more", 1)])
    def test_is_checked(self, key: str, bad: Any) -> None:
        assert params(onboarding=ORIGIN).onboarding == schema.Onboarding(
            version=3, fingerprint="0123456789abcdef", languages=("fr",))
        with pytest.raises(ValidationError, match=f"onboarding.{key}"):
            params(onboarding=ORIGIN | {key: bad})

    @pytest.mark.parametrize(("languages", "found"), [
        (["fr", "ko"], "fr, ko"), (["ko"], "ko"), (["fr", "en"], "fr, en"), ([], "none")])
    def test_has_some_but_not_all_languages(self, languages: list[str], found: str) -> None:
        with pytest.raises(ValidationError, match=r"onboarding\.languages: expected some, not all, "
                                                  f"of en, fr, found {found}"):
            params(onboarding=ORIGIN | {"languages": languages})

    def test_newcomers(self) -> None:
        assert params().newcomers == ("en", "fr")
        assert params(onboarding=ORIGIN).newcomers == ("fr",)

    def test_without_one_the_schedule_is_distil(self) -> None:
        settings = params(continuation={"max_epochs": 7, "learning_rate": 0.5})
        assert settings.schedule == settings.distil

    def test_the_schedule_is_distil_overridden_by_continuation(self) -> None:
        settings = params(onboarding=ORIGIN, distil=PARAMS["distil"] | {
            "learning_rate": 0.004, "seed": 5, "temperature": 2.0})
        assert settings.schedule == settings.distil.model_copy(update={"learning_rate": 0.002} | {
            key: getattr(schema.Continuation(), key)
            for key in ("max_epochs", "top_k", "share", "replay")})
        assert settings.schedule.batch_size == settings.distil.batch_size == 4
        settings = params(onboarding=ORIGIN, continuation={
            "max_epochs": 7, "top_k": 1, "share": 1, "replay": 0, "learning_rate": 0.5,
            "batch_size": 4, "vocabulary": 10})
        assert settings.schedule == settings.distil.model_copy(update={
            "max_epochs": 7, "top_k": 1, "share": 1.0, "replay": 0.0, "learning_rate": 0.5,
            "batch_size": 4})

    def test_the_baselines_teacher_need_not_score_new_languages(self) -> None:
        teachers = PARAMS["teachers"] | {"multilingual": {"languages": ["en"]},
                                         "fr": {"languages": ["fr"]}}
        assert params(teachers=teachers, onboarding=ORIGIN,
                      baseline={"teacher": "multilingual"}).baseline.teacher == "multilingual"
        with pytest.raises(ValidationError, match=r"baseline\.teacher.*without fr"):
            params(teachers=teachers)
