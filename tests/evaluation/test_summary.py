import pytest
from support.metrics import metrics, onboarded

from amtss.evaluation.summary import summary


def test_at_most_ten_figures() -> None:
    measured = metrics()
    figures = summary(measured)
    assert len(figures) <= 10
    for name, model in (("floor", "floor"), ("x_lm_tiny", "baseline"), ("student", "student"),
                        ("teachers_by_W", "mixture")):
        assert figures[name] == pytest.approx(measured[model]["accuracy"]["average"], abs=0.005)
    for other in ("floor", "x_lm_tiny"):
        gap = figures["student"] - figures[other]
        assert figures[f"student_minus_{other}"] == pytest.approx(gap, abs=0.011)
    assert figures["student_parameters"] == measured["sizes"]["student"]["parameters"]
    assert figures["all_seconds"] > figures["student_seconds"] == 200.1


def test_an_onboarding_has_no_x_lm_tiny() -> None:
    figures = summary(onboarded())
    assert "student_minus_floor" in figures
    assert not [name for name in figures if "x_lm_tiny" in name]


def test_without_labels_there_are_no_accuracies() -> None:
    measured = metrics() | {name: {"accuracy": {}} for name in (
        "student", "baseline", "floor", "mixture")}
    assert summary(measured).keys() == {"student_parameters", "student_seconds", "all_seconds"}
