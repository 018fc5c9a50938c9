"""Pictures of any number of languages and labels."""

import pytest
from support.drift import compared
from support.metrics import FIVE, TWENTY

from amtss import plot
from amtss.drift import figures


@pytest.mark.parametrize("codes", [("ko",), FIVE, TWENTY], ids=len)
def test_a_panel_per_language(codes: tuple[str, ...]) -> None:
    found = compared(*codes, drifted=codes[:1])
    for figure in (figures.labels(found, ["pay", "chat"]), figures.confidence(found),
                   figures.length(found)):
        assert [axes.get_title("left").split("  ")[0] for axes in figure.axes] == list(codes)
        assert figure.legends[0].get_texts()[1].get_text() == "now"


def test_any_label_is_drawn() -> None:
    names = ["$pay$", "漢字", "a\nb"]
    figure = figures.labels(compared("en", labels=names), names)
    assert plot.png(figure).startswith(b"\x89PNG")


def test_bars_are_shares() -> None:
    figure = figures.labels(compared("en", drifted=("en",)), ["pay", "chat"])
    assert [bar.get_width() for bar in figure.axes[0].patches] == [50.0, 50.0, 0.0, 100.0]


def test_the_labels_that_changed_most_come_in_the_students_order() -> None:
    labels = ["pay", "chat", *map(str, range(50))]
    found = compared("en", drifted=("en",), labels=labels)
    chosen = figures.most_changed(found)
    assert len(chosen) == figures.MOST
    assert chosen[:2] == ["pay", "chat"]
