from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.registered import settings, version
from support.training import LABELS

from amtss.errors import RegistryError
from amtss.registry import comparison
from amtss.registry.rules import Verdict, compare
from amtss.registry.versions import Version
from amtss.table import NONE


def failed(verdict: Verdict) -> list[tuple[str, str]]:
    return [(check.rule, check.language) for check in verdict.failed]


OLD = version(1, en=80.0, fr=70.0)


class TestRules:
    @pytest.mark.parametrize(("candidate", "broken"), [
        (version(2, en=80.0, fr=70.0), []),
        (version(2, en=80.7, fr=69.0), []),
        (version(2, en=79.4, fr=70.0), []),
        (version(2, en=79.39, fr=70.0), [("max_average_drop", "all")]),
        (version(2, en=90.0, fr=68.99), [("max_language_drop", "fr")]),
        (version(2, en=78.9, fr=69.5), [("max_average_drop", "all"),
                                        ("max_language_drop", "en")]),
        (version(2, en=99.0), [("required", "fr")]),
        (version(2, en=80.0, fr=70.0, ko=1.0), []),
        (version(2, errors=1, en=80.0, fr=70.0), [("validation", "en"), ("validation", "fr")]),
        (version(2, labels=LABELS[::-1], en=80.0, fr=70.0), []),
        (version(2, labels=(*LABELS, "lost"), en=80.0, fr=70.0), [("labels", "all")]),
        (version(2, test="other", en=80.0, fr=70.0), [("test", "en"), ("test", "fr")]),
        (version(2, en=float("nan"), fr=70.0), [("max_average_drop", "all"),
                                                ("max_language_drop", "en")]),
    ])
    def test_against_a_champion(self, candidate: Version, broken: list[tuple[str, str]]) -> None:
        assert failed(compare(candidate, OLD, settings())) == broken

    def test_without_a_champion(self) -> None:
        assert failed(compare(version(2, en=1.0, fr=1.0), None, settings())) == []
        assert failed(compare(version(2, errors=1, en=1.0), None, settings(required=("ko",)))) == [
            ("required", "fr"), ("required", "ko"), ("validation", "en")]

    def test_languages_of_the_champion_are_required(self) -> None:
        champion = version(1, en=80.0, fr=70.0, ru=60.0)
        assert failed(compare(version(2, en=80.0, fr=70.0), champion, settings())) == [
            ("required", "ru")]

    def test_a_drop_may_be_the_whole_tolerance(self) -> None:
        # 80.3 - 0.3 is a little less than 80 in binary
        params = settings(max_average_drop=0.3, max_language_drop=0.3)
        assert not failed(compare(version(2, en=80.0, fr=70.0), version(1, en=80.3, fr=70.3),
                                  params))


class TestFloor:
    LOW = version(2, floor={"en": 85.0, "fr": 69.0}, en=80.0, fr=70.0)

    def test_warns_unless_it_is_set_otherwise(self) -> None:
        verdict = compare(self.LOW, None, settings())
        assert not verdict.failed
        verdict.enforce()
        assert verdict.warning == (
            "version 2: floor: expected at least the linear floor's 77.00 on average over its "
            "languages, found 75.00 (-2.00) (and 1 more); try what its report advises, or change "
            "promotion.floor in params.yaml")
        assert [row[-1] for row in comparison.table(verdict).rows] == [
            "warns: floor", "warns: floor", "passes"]

    def test_refuses(self) -> None:
        verdict = compare(self.LOW, OLD, settings(floor="refuse"))
        assert failed(verdict) == [("floor", "all"), ("floor", "en")]
        assert verdict.warning is None
        with pytest.raises(RegistryError, match=(
                r"^version 2 does not pass the rules: floor: expected at least the linear floor's "
                r"77\.00 on average over its languages, found 75\.00 \(-2\.00\) \(and 1 more\); "
                r"try what its report advises")):
            verdict.enforce()
        assert [row[-1] for row in comparison.table(verdict).rows] == [
            "fails: floor", "fails: floor", "passes"]

    def test_in_one_language(self) -> None:
        candidate = version(2, floor={"en": 70.0, "fr": 70.5}, en=80.0, fr=70.0)
        warning = compare(candidate, None, settings()).warning
        assert warning is not None
        assert "floor's 70.50 in fr, found 70.00 (-0.50); try" in warning

    def test_off(self) -> None:
        verdict = compare(self.LOW, None, settings(floor="off"))
        assert (verdict.failed, verdict.warning, verdict.notes) == ((), None, ())
        assert compare(replace(self.LOW, floor=None), None, settings(floor="off")).notes == ()

    @pytest.mark.parametrize("mode", ["warn", "refuse"])
    def test_one_level_with_it_passes(self, mode: str) -> None:
        verdict = compare(version(2, floor={"en": 80.0 + 1e-12, "fr": 70.0}, en=80.0, fr=70.0), OLD,
                          settings(floor=mode))
        assert (verdict.failed, verdict.warning, verdict.notes) == ((), None, ())

    @pytest.mark.parametrize("mode", ["warn", "refuse"])
    def test_an_unknown_one_passes(self, mode: str) -> None:
        verdict = compare(replace(self.LOW, floor=None), None, settings(floor=mode))
        assert (verdict.failed, verdict.warning) == ((), None)
        assert verdict.notes == ("The linear floor of version 2 is unknown: it was registered "
                                 "before versions had one.",)

    def test_a_warning_does_not_hide_what_fails(self) -> None:
        verdict = compare(replace(self.LOW, accuracy={"en": 80.0, "fr": 60.0}), OLD, settings())
        assert failed(verdict) == [("max_average_drop", "all"), ("max_language_drop", "fr")]
        assert verdict.warning is not None
        assert comparison.table(verdict).rows[2][-1] == "fails: max_language_drop"


class TestFirstChampion:
    """A version where no champion has served its languages."""

    CONSTANT: ClassVar = {"en": 60.0, "fr": 97.0}

    @pytest.mark.parametrize(("figures", "broken"), [
        ({"en": 60.0, "fr": 97.0}, ["en", "fr"]), ({"en": 64.0, "fr": 97.3}, []),
        ({"en": 63.9, "fr": 97.3}, ["en"]), ({"en": 90.0, "fr": 97.2}, ["fr"]),
        ({"en": float("nan"), "fr": 99.0}, ["en"])])
    def test_is_better_than_a_constant_answer(self, figures: dict[str, float],
                                              broken: list[str]) -> None:
        made = version(2, majority=self.CONSTANT, **figures)
        verdict = compare(made, None, settings(max_below_floor=None, floor="off"))
        assert failed(verdict) == [("min_above_majority", code) for code in broken]

    def test_the_share_may_be_set(self) -> None:
        made = version(2, majority=self.CONSTANT, **self.CONSTANT)
        assert not compare(made, None, settings(min_above_majority=0.0)).failed
        assert not compare(made, None, settings(min_above_majority=None)).failed
        assert len(compare(made, None, settings(min_above_majority=0.01)).failed) == 2

    def test_a_language_that_the_champion_has_is_compared_with_it(self) -> None:
        made = version(2, majority={"en": 79.0, "fr": 69.0, "ko": 50.0}, en=80.0, fr=70.0, ko=54.0)
        verdict = compare(made, OLD, settings())
        assert failed(verdict) == [("min_above_majority", "ko")]
        with pytest.raises(RegistryError, match=(
                r"^version 2 does not pass the rules: min_above_majority: expected at least 55\.00 "
                r"in ko, as its most frequent label alone has 50\.00, found 54\.00; train a better "
                r"student, or run `amtss promote --version 2 --force --reason TEXT`$")):
            verdict.enforce()

    @pytest.mark.parametrize(("floor", "broken"), [(83.0, False), (83.02, True)])
    def test_is_not_far_below_the_floor(self, floor: float, broken: bool) -> None:
        made = version(2, floor={"en": floor, "fr": floor}, en=90.0, fr=70.0)
        verdict = compare(made, None, settings())
        assert failed(verdict) == [("max_below_floor", "all")] * broken
        if broken:
            with pytest.raises(RegistryError, match=(
                    r"max_below_floor: expected a first champion with at least 80\.02 on average "
                    r"over its languages, as the linear floor has 83\.02, found 80\.00 \(-3\.02\); "
                    r"try what its report advises, or run `amtss promote --version 2 --force")):
                verdict.enforce()
        assert not compare(made, OLD, settings()).failed
        assert not compare(made, None, settings(max_below_floor=None)).failed
        assert not compare(made, None, settings(floor="off")).failed

    def test_of_earlier_code_lacks_the_figure_and_passes(self) -> None:
        verdict = compare(replace(version(2, en=1.0, fr=1.0), majority=None), None, settings())
        assert not verdict.failed
        assert verdict.notes == (
            "What a constant answer would reach on the test of version 2 is unknown: it was "
            "registered before versions had that figure.",)


class TestWithoutLabels:
    """French was learnt without labels."""

    TESTED = replace(version(2, floor={"en": 79.0}, en=80.0, fr=70.0), without_labels={"fr": None})
    MUTE = replace(version(2, floor={"en": 79.0}, en=80.0), languages=("en", "fr"),
                   test={"en": "same", "fr": "logs"}, without_labels={"fr": 91.0})

    def test_with_a_labelled_test_it_is_compared_as_others_are(self) -> None:
        assert failed(compare(self.TESTED, OLD, settings())) == []
        worse = replace(self.TESTED, accuracy={"en": 80.0, "fr": 60.0})
        assert failed(compare(worse, OLD, settings())) == [
            ("max_average_drop", "all"), ("max_language_drop", "fr")]

    def test_has_no_floor(self) -> None:
        candidate = replace(self.TESTED, floor={"en": 79.0}, accuracy={"en": 80.0, "fr": 1.0})
        verdict = compare(candidate, None, settings(floor="refuse"))
        assert not verdict.failed
        assert verdict.notes == ("fr was learnt without labels and has no linear floor; its test "
                                 "has labels.",)

    @pytest.mark.parametrize(("least", "broken"), [(91.0, []), (91.01, [("min_agreement", "fr")])])
    def test_without_one_agreement_has_a_rule_of_its_own(
            self, least: float, broken: list[tuple[str, str]]) -> None:
        params = settings(min_agreement=least)
        assert failed(compare(self.MUTE, None, params)) == broken
        assert failed(compare(self.MUTE, self.MUTE, params)) == broken

    def test_says_so(self) -> None:
        verdict = compare(self.MUTE, None, settings(min_agreement=95.0))
        with pytest.raises(RegistryError, match=(
                r"min_agreement: expected the student to agree with its teachers on at least "
                r"95\.00% of the test texts of fr, which have no labels, found 91\.00; ")):
            verdict.enforce()
        assert ("fr (agreement)", "91.00", NONE, NONE, "95.00", "fails: min_agreement") in (
            comparison.table(verdict).rows)
        assert "91.00 is the student's agreement with its teachers" in verdict.notes[0]

    def test_other_logs_are_no_other_test(self) -> None:
        later = replace(self.MUTE, test={"en": "same", "fr": "more logs"})
        assert failed(compare(later, self.MUTE, settings())) == []
        assert failed(compare(self.TESTED, self.MUTE, settings())) == []

    def test_a_labelled_test_is_not_given_up(self) -> None:
        verdict = compare(self.MUTE, OLD, settings())
        assert failed(verdict) == [("test", "fr")]
        with pytest.raises(RegistryError, match=r"expected labels in the test of fr, as version 1 "
                                                r"had, found none; give it a labelled test"):
            verdict.enforce()


CODES = ("ar", "en", "fr", "ru")
POINTS = st.floats(0, 100).map(lambda value: round(value, 2))
FIGURES = st.fixed_dictionaries({"en": POINTS, "fr": POINTS},
                                optional={"ar": POINTS, "ru": POINTS})
TOLERANCES = st.fixed_dictionaries({"max_average_drop": st.floats(0, 20),
                                    "max_language_drop": st.floats(0, 20)})


class TestProperties:
    @given(FIGURES, TOLERANCES)
    def test_a_version_is_as_good_as_itself(self, figures: dict[str, float],
                                            tolerances: dict[str, float]) -> None:
        assert not failed(compare(version(2, **figures), version(1, **figures),
                                  settings(**tolerances)))

    @given(FIGURES, FIGURES, TOLERANCES)
    def test_passing_is_what_the_rules_say(self, new: dict[str, float], old: dict[str, float],
                                           tolerances: dict[str, float]) -> None:
        verdict = compare(version(2, **new), version(1, **old), settings(**tolerances))
        drops = [old[code] - new[code] for code in old if code in new]
        expected = (len(drops) == len(old)
                    and sum(drops) / len(drops) <= tolerances["max_average_drop"] + 1e-9
                    and max(drops) <= tolerances["max_language_drop"] + 1e-9)
        assert (not verdict.failed) == expected

    @given(FIGURES, FIGURES, TOLERANCES, st.floats(0, 5))
    def test_better_figures_never_hurt(self, new: dict[str, float], old: dict[str, float],
                                       tolerances: dict[str, float], more: float) -> None:
        params, champion = settings(**tolerances), version(1, **old)
        better = {code: value + more for code, value in new.items()}
        assert {*failed(compare(version(2, **better), champion, params))} <= {
            *failed(compare(version(2, **new), champion, params))}

    @given(FIGURES, FIGURES, TOLERANCES, POINTS)
    def test_a_new_language_changes_nothing(self, new: dict[str, float], old: dict[str, float],
                                            tolerances: dict[str, float], other: float) -> None:
        params, champion = settings(**tolerances), version(1, **old)
        assert failed(compare(version(2, **new, ko=other), champion, params)) == failed(
            compare(version(2, **new), champion, params))

    @given(FIGURES, FIGURES, TOLERANCES, st.sampled_from(["errors", "labels", "test"]))
    def test_no_figures_make_up_for_the_rest(self, new: dict[str, float], old: dict[str, float],
                                             tolerances: dict[str, float], broken: str) -> None:
        spoilt: dict[str, Any] = {"errors": 1, "labels": ("a", "b"), "test": "other"}
        candidate = version(2, **{broken: spoilt[broken]}, **new)
        verdict = compare(candidate, version(1, **old), settings(**tolerances))
        with pytest.raises(RegistryError, match="version 2 does not pass the rules: "):
            verdict.enforce()


class TestTold:
    @pytest.mark.parametrize(("candidate", "message"), [
        (version(2, en=79.0, fr=69.0),
         r"max_average_drop: expected at most 0\.30 points below version 1's 75\.00 on average "
         r"over its languages, found 74\.00 \(-1\.00\); train a better student, or raise "
         r"promotion\.max_average_drop in params.yaml"),
        (version(2, en=90.0, fr=60.0),
         r"max_language_drop: expected at most 1\.00 points below version 1's 70\.00 in fr, found "
         r"60\.00 \(-10\.00\); train"),
        (version(2, en=90.0), "required: expected fr among its languages, found en; run `amtss "
                              "onboard-language --lang fr`"),
        (version(2, errors=3, en=90.0, fr=70.0),
         r"validation: expected no errors in the validation of en, found 3 \(and 1 more\); corre"),
        (version(2, labels=("chat", "pay", "x"), en=80.0, fr=70.0),
         "labels: expected the labels of version 1, found ship, x in only one of the two; regis"),
        (version(2, test="new", en=80.0, fr=70.0),
         r"test: expected version 1 .*test rows of en that this one was measured on \(new\), found "
         r"others \(same\).*\(and 1 more\); run `dvc repro` and `amtss register` again"),
    ])
    def test_the_refusal(self, candidate: Version, message: str) -> None:
        with pytest.raises(RegistryError, match=f"^version 2 does not pass the rules: {message}"):
            compare(candidate, OLD, settings()).enforce()
