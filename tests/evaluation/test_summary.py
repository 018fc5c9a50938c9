import pytest
from support.metrics import metrics, onboarded

from amtss.evaluation.summary import summary


def test_a_few_figures() -> None:
    measured = metrics()
    figures = summary(measured)
    assert list(figures) == ["accuracy", "floor", "mixture", "tiny", "vs_floor", "parameters",
                             "seconds"]
    for name, model in (("floor", "floor"), ("tiny", "baseline"), ("accuracy", "student"),
                        ("mixture", "mixture")):
        assert figures[name] == pytest.approx(measured[model]["accuracy"]["average"], abs=0.005)
    assert figures["vs_floor"] == pytest.approx(figures["accuracy"] - figures["floor"], abs=0.011)
    assert figures["parameters"] == measured["sizes"]["student"]["parameters"]
    assert figures["seconds"] == pytest.approx(sum(
        cost["seconds"] for cost in measured["cost"].values()), abs=0.05)


def test_an_onboarding_has_no_x_lm_tiny() -> None:
    figures = summary(onboarded())
    assert "vs_floor" in figures
    assert "tiny" not in figures


def test_without_labels_there_are_no_accuracies() -> None:
    measured = metrics() | {name: {"accuracy": {}} for name in (
        "student", "baseline", "floor", "mixture")}
    assert summary(measured).keys() == {"parameters", "seconds"}
