"""Cells from metrics."""

from typing import Any

import pytest
from support.metrics import FIVE, SEVEN, TWENTY, metrics, onboarded
from support.tables import cell

from amtss.report import accuracy, floor, paper, training
from amtss.table import NONE, Best


def test_results_has_the_models_in_rows() -> None:
    given = metrics()
    table = accuracy.results(given, FIVE)
    assert table.header == ("", *FIVE, "average")
    for key, name in (("student", accuracy.STUDENT), ("baseline", accuracy.BASELINE),
                      ("mixture", accuracy.MIXTURE), ("floor", "Linear floor")):
        for code in (*FIVE, "average"):
            assert cell(table, name, code) == f"{given[key]['accuracy'][code]:.2f}"
            assert cell(table, "minus X-LM-Tiny", code) == \
                f"{given['paired'][code]['difference']:+.2f}"


def test_results_says_first_what_to_try_below_the_floor() -> None:
    given = metrics() | {"advice": ["distil.kd_weight: 2 or 3"]}
    given["floor"]["accuracy"] = dict.fromkeys((*FIVE, "average"), 60.0)
    given["student"]["accuracy"] |= dict.fromkeys(FIVE, 61.0) | {"fr": 57.0}
    assert accuracy.results(given, FIVE).notes[0] == (
        "The student is 0.20 points above the linear floor of 60.00 on average and below it in "
        "fr (-3.00): try distil.kd_weight: 2 or 3.")


def test_the_best_single_teachers_average_is_over_languages() -> None:
    given = metrics()
    accuracies = [given["teachers"][given["best_teacher"][c]]["accuracy"][c] for c in FIVE]
    table = accuracy.results(given, FIVE)
    assert cell(table, "Best single teachers", "average") == f"{sum(accuracies) / 5:.2f}"
    assert cell(table, "Best single teachers", "en") == f"{accuracies[1]:.2f}"


def test_the_better_student_is_bold_and_a_tie_is_both() -> None:
    given = metrics()
    given["student"]["accuracy"] |= {"ar": 90.0, "en": 80.0, "es": 85.0}
    given["baseline"]["accuracy"] |= {"ar": 80.0, "en": 90.0, "es": 85.0}
    table = accuracy.results(given, FIVE)
    bold = {(name, code): isinstance(cell(table, name, code), Best)
            for name in (accuracy.STUDENT, accuracy.BASELINE) for code in ("ar", "en", "es")}
    assert bold == {("AMTSS student", "ar"): True, ("X-LM-Tiny", "ar"): False,
                    ("AMTSS student", "en"): False, ("X-LM-Tiny", "en"): True,
                    ("AMTSS student", "es"): True, ("X-LM-Tiny", "es"): True}


def test_twenty_languages_stand_in_rows() -> None:
    given = metrics(TWENTY)
    for table in (accuracy.results(given, TWENTY), accuracy.comparison(given, TWENTY, None)):
        assert [row[0] for row in table.rows] == [*TWENTY, "average"]
        assert cell(table, "zh-TW", accuracy.STUDENT) == \
            f"{given['student']['accuracy']['zh-TW']:.2f}"


def test_the_papers_rows_stand_below_the_runs() -> None:
    table = accuracy.comparison(metrics((*FIVE, "ko")), (*FIVE, "ko"), paper.TABLE_2)
    assert table.title.startswith("Table 2")
    assert cell(table, "Paper: AMTSS", "en") == "89.93"
    assert cell(table, "Paper: X-LM-Tiny", "average") == "79.29"
    assert cell(table, "Paper: architecture", "fr") == "CamemBERT"
    assert cell(table, "Paper: teacher", "ko") == NONE
    assert "not comparable" in table.notes[-1]
    assert cell(table, "Its architecture", "ar") == "xlm-roberta, 3 layers"


@pytest.mark.parametrize(("pair", "verdict"), [
    ({"difference": 0.4, "low": -0.1, "high": 0.9, "p": 0.12}, "not shown"),
    ({"difference": 0.4, "low": 0.1, "high": 0.9, "p": 0.06}, "not shown"),
    ({"difference": 0.4, "low": -0.1, "high": 0.9, "p": 0.04}, "not shown"),
    ({"difference": 0.4, "low": 0.1, "high": 0.9, "p": 0.01}, "above"),
    ({"difference": -0.4, "low": -0.9, "high": -0.1, "p": 0.01}, "below"),
    ({"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}, "not shown"),
])
def test_verdict(pair: dict[str, float], verdict: str) -> None:
    assert accuracy.verdict(pair) == verdict


def after_the_floor(given: dict[str, Any]) -> str:
    """The headline without its first sentence, which is about the floor."""
    first = floor.sentence(given["student"]["accuracy"], given["floor"]["accuracy"],
                           given["advice"])
    assert accuracy.headline(given).startswith(f"{first} ")
    return accuracy.headline(given).removeprefix(f"{first} ")


def test_headline_says_what_was_measured() -> None:
    given = metrics()
    given["paired"]["average"] = {"difference": 0.4, "low": -0.1, "high": 0.9, "p": 0.12}
    assert after_the_floor(given).startswith(
        "The student is 0.40 points above X-LM-Tiny on average "
        "(95% interval -0.10 to 0.90, p = 0.12): no difference was shown.")
    given["paired"]["average"] = {"difference": -1.0, "low": -1.4, "high": -0.6, "p": 0.0002}
    assert "1.00 points below" in accuracy.headline(given)
    assert "p < 0.001): it is worse." in accuracy.headline(given)


def test_detail_has_each_model_where_it_scores_and_the_best_teacher_bold() -> None:
    given = metrics()
    rows = accuracy.detail(given, FIVE).rows
    assert [row[1] for row in rows if row[0] == "ar"] == \
        ["AMTSS student", "X-LM-Tiny", "Teachers by W", "Linear floor", "teacher ar",
         "teacher multilingual"]
    assert [row[1] for row in rows if row[0] == "average"][4:] == ["teacher multilingual"]
    for code in FIVE:
        bold = [row[1] for row in rows if row[0] == code and isinstance(row[2], Best)]
        assert bold == [f"teacher {given['best_teacher'][code]}"]


def test_paired_has_every_language_and_its_verdict() -> None:
    given = metrics()
    given["paired"]["fr"] = {"difference": -2.0, "low": -3.0, "high": -1.0, "p": 0.0004}
    row = next(row for row in accuracy.paired(given, FIVE).rows if row[0] == "fr")
    assert row == ("fr", "-2.00", "-3.00 to -1.00", "< 0.001", "below")


class TestOnboarded:
    """The rival is the version that the onboarding began from, on the languages it has."""

    def test_headline(self) -> None:
        given = onboarded()
        given["paired"]["average"] = {"difference": -0.2, "low": -0.5, "high": 0.1, "p": 0.2}
        assert after_the_floor(given).startswith(
            "The student is 0.20 points below Version 3 on average over the languages of Version 3 "
            "(95% interval -0.50 to 0.10, p = 0.20): no difference was shown.")

    def test_results_compare_language_by_language(self) -> None:
        given = onboarded()
        for table in (accuracy.results(given, SEVEN), accuracy.comparison(given, SEVEN, None)):
            for code in FIVE:
                assert cell(table, "Version 3", code) == \
                    f"{given['baseline']['accuracy'][code]:.2f}"
                assert cell(table, "minus Version 3", code) == \
                    f"{given['paired'][code]['difference']:+.2f}"
                assert sum(isinstance(cell(table, name, code), Best)
                           for name in (accuracy.STUDENT, "Version 3")) == 1
            for code in ("ko", "pl", "average"):  # averages of other languages
                assert cell(table, accuracy.STUDENT, code) == \
                    f"{given['student']['accuracy'][code]:.2f}"
                assert not isinstance(cell(table, accuracy.STUDENT, code), Best)
                assert {cell(table, name, code) for name in (
                    "Version 3", "minus Version 3", "95% interval from", "to")} == {NONE}

    def test_paired_is_of_the_languages_that_were_there(self) -> None:
        table = accuracy.paired(onboarded(), SEVEN)
        assert [row[0] for row in table.rows] == ["average", *FIVE]
        assert "of the 5 languages" in table.notes[0]
        assert table.title.startswith("AMTSS student minus Version 3")

    def test_adapted_is_the_papers_table_4(self) -> None:
        given = onboarded()
        table = accuracy.adapted(given, True)
        assert table.title.startswith("Table 4")
        assert table.header == ("", "ko", "pl", "average of all")
        for code in ("ko", "pl"):
            student = given["student"]["accuracy"][code]
            teacher = given["teachers"][given["best_teacher"][code]]["accuracy"][code]
            assert cell(table, accuracy.STUDENT, code) == f"{student:.2f}"
            assert cell(table, "Best single teachers", code) == f"{teacher:.2f}"
            assert cell(table, "minus the teacher", code) == f"{student - teacher:+.2f}"
        assert cell(table, accuracy.STUDENT, "average of all") == \
            f"{given['student']['accuracy']['average']:.2f}"
        best = [given["teachers"][given["best_teacher"][code]]["accuracy"][code] for code in SEVEN]
        assert cell(table, "Best single teachers", "average of all") == f"{sum(best) / 7:.2f}"
        assert cell(table, "Paper: AMTSS", "ko") == "77.91"
        assert cell(table, "Paper: teacher", "average of all") == "82.26"

    def test_adapted_without_the_papers(self) -> None:
        table = accuracy.adapted(onboarded((*FIVE, "de"), ("de",)), False)
        assert [row[0] for row in table.rows] == [
            "Architecture", "Linear floor", "Best single teachers", accuracy.STUDENT,
            "minus the teacher"]
        papers = accuracy.adapted(onboarded((*FIVE, "de"), ("de",)), True)
        assert cell(papers, "Paper: AMTSS", "de") == NONE

    def test_forgetting(self) -> None:
        given = onboarded()
        given["paired"]["fr"] = {"difference": -2.0, "low": -3.0, "high": -1.0, "p": 0.0004}
        given["paired"]["average"]["difference"] = -0.25
        table = accuracy.forgetting(given)
        assert table.header[:3] == ("", "Version 3", "After")
        assert [row[0] for row in table.rows] == ["average", *FIVE]
        before, after = (given[key]["accuracy"] for key in ("baseline", "student"))
        assert table.rows[0][1:4] == (f"{before['average']:.2f}",
                                      f"{before['average'] - 0.25:.2f}", "-0.25")
        assert next(row for row in table.rows if row[0] == "fr") == (
            "fr", f"{before['fr']:.2f}", f"{after['fr']:.2f}", "-2.00", "-3.00 to -1.00", "below")

    def test_nothing_is_called_x_lm_tiny(self) -> None:
        given = onboarded()
        for table in (accuracy.results(given, SEVEN), accuracy.comparison(given, SEVEN, None),
                      accuracy.detail(given, SEVEN), accuracy.paired(given, SEVEN),
                      training.sizes(given, False), training.cost(given),
                      accuracy.adapted(given, True), accuracy.forgetting(given)):
            assert "X-LM-Tiny" not in repr(table)
        assert [row[1] for row in accuracy.detail(given, SEVEN).rows if row[0] == "ko"][:2] == \
            ["AMTSS student", "Teachers by W"]

    def test_without_an_onboarding_it_is_x_lm_tiny(self) -> None:
        assert accuracy.rival(metrics()) == "X-LM-Tiny"
