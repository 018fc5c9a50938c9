from typing import Any

import pytest
from pydantic import ValidationError

from amtss.config.defaults import fill_in
from amtss.config.schema import Architecture, Distil, Params, Student

E5 = {"kind": "probe", "checkpoint": "intfloat/e5", "languages": ("all",)}
"""A frozen pretrained encoder of all languages."""
TUNED = {"checkpoint": "hub/xlmr", "languages": ("en", "fr", "ru"), "pooling": "mean"}
LINEAR = {"kind": "linear", "languages": ("all",)}
SCRATCH = {"languages": ("all",)}


def params_of(student: dict[str, Any] | None = None, distil: dict[str, Any] | None = None,
              **teachers: dict[str, Any]) -> Params:
    values: dict[str, Any] = {"languages": ("en", "fr", "ru", "es"),
                              "teachers": {"linear": LINEAR, **teachers},
                              "baseline": {"teacher": "linear"}, "distil": distil or {}}
    return Params.model_validate(values | ({} if student is None else {"student": student}))


class TestStart:
    def test_from_a_fine_tuned_teacher(self) -> None:
        student = params_of(xlmr=TUNED).student
        assert (student.teacher, student.checkpoint, student.start) == ("xlmr", None, "layers")
        assert student.architecture.layers == 4
        assert (student.vocabulary, student.pooling) == ("trimmed", "mean")

    def test_from_a_probe_s_checkpoint(self) -> None:
        student = params_of(e5=E5 | {"revision": "abc"}).student
        assert (student.checkpoint, student.revision, student.teacher) == (
            "intfloat/e5", "abc", None)
        assert student.start == "layers"

    def test_from_the_one_of_most_languages(self) -> None:
        assert params_of(xlmr=TUNED, e5=E5).student.checkpoint == "intfloat/e5"
        assert params_of(xlmr=TUNED, e5=E5 | {"scores": ("en", "fr")}).student.teacher == "xlmr"

    def test_not_from_one_of_half_the_languages(self) -> None:
        student = params_of(xlmr=TUNED | {"languages": ("en", "fr")}).student
        assert (student.teacher, student.start, student.architecture.layers) == (None, "random", 0)

    def test_with_an_architecture_of_its_own(self) -> None:
        student = params_of({"architecture": {"layers": 2, "width": 128}}, xlmr=TUNED).student
        assert (student.start, student.architecture) == ("pca", Architecture(layers=2, width=128))

    def test_with_chosen_layers(self) -> None:
        student = params_of({"layers": (0, 5, 11)}, xlmr=TUNED).student
        assert (student.start, student.layers, student.architecture.layers) == (
            "layers", (0, 5, 11), 3)

    def test_nothing_pretrained(self) -> None:
        for teachers in ({}, {"scratch": SCRATCH}):
            student = params_of(**teachers).student
            assert (student.start, student.architecture.layers) == ("random", 0)
            assert student.architecture.pairs == 65_536
            assert (student.vocabulary, student.pooling) == ("full", None)

    def test_pairs_without_layers(self) -> None:
        given = {"layers": 0, "width": 128}
        assert params_of({"architecture": given}, xlmr=TUNED).student.architecture.pairs == 65_536
        assert params_of({"architecture": given | {"pairs": 0}}).student.architecture.pairs == 0
        assert params_of({"architecture": {"layers": 2}}).student.architecture.pairs == 0

    @pytest.mark.parametrize(("count", "pieces"), [(1, 16_000), (5, 16_000), (8, 24_000)])
    def test_more_languages_have_more_pieces(self, count: int, pieces: int) -> None:
        codes = ("ar", "en", "es", "fr", "ko", "pl", "pt", "ru")[:count]
        values = {"languages": codes, "teachers": {"linear": LINEAR}}
        assert Params.model_validate(values).student.architecture.vocabulary == pieces

    @pytest.mark.parametrize("own", [
        {"start": "random"}, {"tokenizer": "hub/other"},
        {"checkpoint": "hub/other", "start": "pca", "pooling": "first"},
        {"teacher": "xlmr", "start": "pca", "vocabulary": "full"}], ids=str)
    def test_params_yaml_says_how(self, own: dict[str, Any]) -> None:
        assert params_of(own, xlmr=TUNED).student == Student(**own)

    def test_own_keys_beside_it_stay(self) -> None:
        student = params_of({"pooling": "first", "vocabulary": "full", "dropout": 0.3},
                            xlmr=TUNED).student
        assert (student.teacher, student.pooling, student.vocabulary, student.dropout) == (
            "xlmr", "first", "full", 0.3)


class TestLearningRate:
    def test_of_layers_of_a_table_and_of_the_rest(self) -> None:
        given = {"architecture": {"layers": 2, "width": 128}}
        rates = [params_of(xlmr=TUNED), params_of(), params_of(given)]
        assert [params.distil.learning_rate for params in rates] == [3e-4, 5e-3, 1e-3]

    def test_of_a_checkpoint_that_is_fine_tuned(self) -> None:
        params = params_of(xlmr=TUNED, scratch=SCRATCH, slow=TUNED | {"training": {
            "learning_rate": 1e-5, "epochs": 2}})
        rates = {name: params.training_of(name).learning_rate
                 for name in ("xlmr", "scratch", "slow")}
        assert rates == {"xlmr": 5e-5, "scratch": 1e-3, "slow": 1e-5}
        assert params.training_of("slow").epochs == 2

    def test_of_all_teachers(self) -> None:
        values = {"languages": ("en",), "teachers": {"xlmr": TUNED | {"languages": ("en",)}},
                  "teaching": {"learning_rate": 1e-4}, "baseline": {"teacher": "xlmr"},
                  "distil": {"top_k": 1}}
        assert Params.model_validate(values).training_of("xlmr").learning_rate == 1e-4

    def test_of_params_yaml(self) -> None:
        assert params_of(distil={"learning_rate": 0.02}).distil.learning_rate == 0.02


class TestLanguages:
    @pytest.mark.parametrize(("codes", "count"), [
        (("en",), 1), (("en", "fr"), 2), (("en", "fr", "ru", "es"), 3)])
    def test_no_more_are_selected_than_there_are(self, codes: tuple[str, ...], count: int) -> None:
        values = {"languages": tuple(codes), "teachers": {"linear": LINEAR}}
        assert Params.model_validate(values).distil.top_k == count

    def test_the_baseline_s_teacher_is_that_of_most_languages(self) -> None:
        values = {"languages": ("en", "fr"), "teachers": {
            "en": SCRATCH | {"languages": ("en",)}, "words": LINEAR, "more": SCRATCH}}
        assert Params.model_validate(values).baseline.teacher == "words"
        own = Params.model_validate(values | {"baseline": {"teacher": "more"}})
        assert own.baseline.teacher == "more"


class TestCrossFit:
    @pytest.mark.parametrize(("others", "parts"), [
        ({}, 0), ({"e5": E5}, None), ({"fr": SCRATCH | {"languages": "fr"}}, None),
        ({"ko": {"kind": "linear", "languages": ("ko",)}}, 0),
        ({"ko": SCRATCH | {"scores": ("ko",)}}, 0)], ids=str)
    def test_not_of_a_linear_teacher_that_is_alone(self, others: dict[str, Any],
                                                   parts: int | None) -> None:
        words = {"kind": "linear", "languages": ("en", "fr")}
        filled = fill_in({"languages": ("en", "fr", "ko"), "teachers": {"words": words, **others}})
        assert filled["teachers"]["words"].get("cross_fit") == parts
        if "ko" in others and others["ko"].get("kind"):
            assert filled["teachers"]["ko"]["cross_fit"] == 0

    def test_own_value(self) -> None:
        values = {"languages": ("en",), "teachers": {"words": LINEAR | {"cross_fit": 3}}}
        assert fill_in(values)["teachers"]["words"]["cross_fit"] == 3

    def test_a_probe_is_cross_fitted(self) -> None:
        assert "cross_fit" not in fill_in(
            {"languages": ("en",), "teachers": {"e5": E5}})["teachers"]["e5"]


class TestEpochs:
    @pytest.mark.parametrize(("rows", "epochs"), [
        (57_000, 8), (6400, 8), (3500, 15), (1000, 30), (1, 30)])
    def test_few_rows_have_more(self, rows: int, epochs: int) -> None:
        assert params_of(distil={"batch_size": 64}).distil.epochs(rows, 3) == epochs

    @pytest.mark.parametrize(("languages", "top_k", "epochs"), [
        (5, 3, 8), (8, 3, 12), (20, 3, 28), (20, 20, 8), (1, 1, 8)])
    def test_each_language_is_learnt_five_times(self, languages: int, top_k: int,
                                                epochs: int) -> None:
        assert Distil(top_k=top_k).epochs(57_000, languages) == epochs

    def test_of_params_yaml(self) -> None:
        assert params_of(distil={"max_epochs": 3}).distil.epochs(1, 20) == 3


@pytest.mark.parametrize(("changed", "key"), [
    ({"student": 3}, "student"), ({"distil": ("a",)}, "distil"), ({"languages": 4}, "languages"),
    ({"teaching": 1}, "teaching"), ({"teachers": ("a",)}, "teachers"),
    ({"teachers": {"a": {"checkpoint": "x", "training": 1}}}, "teachers.a"),
    ({"teachers": {"a": 1}}, "teachers.a"),
    ({"student": {"architecture": 1}}, "student.architecture"),
    ({"student": {"layers": 4}}, "student.layers")], ids=str)
def test_what_is_malformed_is_left_to_the_checks(changed: dict[str, Any], key: str) -> None:
    values = {"languages": ("en",), "teachers": {"linear": LINEAR, "xlmr": TUNED}}
    with pytest.raises(ValidationError, match=rf"(?m)^{key}"):
        Params.model_validate(values | changed)


class TestMixed:
    def test_by_what_a_text_costs_the_student(self) -> None:
        assert params_of().data.mixed == 30_000
        assert params_of(e5=E5).data.mixed == 10_000

    def test_own_value(self) -> None:
        values = {"languages": ("en",), "teachers": {"linear": LINEAR}, "data": {"mixed": 0},
                  "baseline": {"teacher": "linear"}, "distil": {"top_k": 1}}
        assert Params.model_validate(values).data.mixed == 0
