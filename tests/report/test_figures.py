"""Pictures: what is drawn where, and that any size can be drawn."""

import io

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure
from support.metrics import FIVE, TWENTY, history, metrics

from amtss import plot
from amtss.report import figures

pytestmark = pytest.mark.slow


def texts(figure: Figure, axes: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[axes].texts]


def size(figure: Figure) -> tuple[int, int]:
    height, width = image.imread(io.BytesIO(plot.png(figure))).shape[:2]
    return width, height


@pytest.mark.parametrize("languages", [("ko",), FIVE, TWENTY], ids=len)
def test_any_number_of_languages_is_drawn(languages: tuple[str, ...]) -> None:
    student = history(languages)
    for figure in (figures.learning_curves(student, student[:2], languages),
                   figures.margins(student, languages), figures.weights(student[-1], languages),
                   figures.cost(metrics(languages)["cost"])):
        width, height = size(figure)
        assert 250 < width < 2000
        assert 100 < height < 3000


@pytest.mark.parametrize("epochs", [2, 30, 200])
def test_any_number_of_epochs_is_drawn(epochs: int) -> None:
    assert size(figures.margins(history(FIVE, epochs), FIVE))[0] < 2300


def test_curves_are_those_of_the_history() -> None:
    student = history(FIVE)
    figure = figures.learning_curves(student, student[:3], FIVE)
    average, arabic = figure.axes[:2]
    dashes, baseline, own = arabic.lines
    assert list(own.get_ydata()) == [row["accuracy"]["ar"] for row in student]
    assert len(baseline.get_xdata()) == 3
    assert np.ptp(dashes.get_ydata()) < 1e-9  # W does not change, so its teachers do not
    assert np.allclose(average.lines[2].get_ydata(), [row["average"] for row in student])


def test_curves_without_a_baseline() -> None:
    figure = figures.learning_curves(history(FIVE), [], FIVE)
    assert [len(axes.lines) for axes in figure.axes] == [2] * 6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Teachers by W (Equation 4)", "AMTSS student"]
    assert size(figure)


def test_cost_is_named_as_it_is_given() -> None:
    figure = figures.cost({"AMTSS student": {"seconds": 1.0, "examples": 5},
                           "Version 3": {"seconds": 0.0, "examples": 0}})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "AMTSS student", "Version 3"]
    assert size(figure)


def test_margins_frame_what_was_trained_on() -> None:
    student = history(FIVE)
    figure = figures.margins(student, FIVE)
    trained = sum(len(row["selected"]) for row in student)
    assert trained == 5 + 5 * 3
    assert [len(axes.patches) for axes in figure.axes[:2]] == [trained, trained]
    assert texts(figure)[0] == f"{student[0]['margin']['ar']:.1f}"
    assert texts(figure, 1)[0] == str(student[0]["rank"]["ar"] + 1)


def test_weights_hatch_what_is_not_scored() -> None:
    figure = figures.weights({"weights": {"ar": {"ar": 0.25}, "all": {"ar": 0.75, "en": 1.0}}},
                             ("ar", "en"))
    assert texts(figure) == ["0.25", "0.75", "1.00"]
    assert [patch.get_hatch() for patch in figure.axes[0].patches] == ["////"]


def test_confusion_prints_counts_that_are_there() -> None:
    figure = figures.confusion(np.array([[5, 1], [0, 7]]), ["no", "yes"], "ko")
    assert texts(figure) == ["5", "1", "7"]
    assert figure.axes[0].get_title(loc="left") == "ko: 12 of 13 correct"


def test_confusion_of_a_label_without_rows_and_of_sixty_labels() -> None:
    assert size(figures.confusion(np.zeros((3, 3), dtype=np.int64), ["a", "b", "c"], "ko"))
    many = figures.confusion(np.eye(60, dtype=np.int64) * 30, [f"intent {i}" for i in range(60)],
                             "ko")
    assert size(many)[0] > 1500


def test_the_same_picture_has_the_same_bytes() -> None:
    first, second = (plot.png(figures.margins(history(FIVE), FIVE)) for _ in range(2))
    assert first == second
