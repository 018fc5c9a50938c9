"""The languages' data side by side: cells, and what is drawn where."""

import pytest
from support.metrics import FIVE, TWENTY

from amtss import distribution, plot
from amtss.data.appendix_a import COUNTS, LABELS

MEASURED = {"languages": {"ar": {
    "rows": {"train": 4200, "validation": 720, "test": 1080}, "divergence": 0.1234,
    "split_divergence": {"validation": 0.01, "test": 0.0256}, "imbalance": 31.52, "warnings": 2}}}


def test_languages_have_a_row_each() -> None:
    table = distribution.languages(MEASURED)
    assert dict(zip(table.header, table.rows[0], strict=True)) == {
        "Language": "ar", "Train": "4,200", "Validation": "720", "Test": "1,080", "KL": "0.123",
        "KL validation": "0.010", "KL test": "0.026", "Imbalance": "31.5", "Warnings": "2"}


def test_appendix_a_has_totals() -> None:
    table = distribution.appendix_a({"ar": {"a": 1200, "b": 3}, "en": {"b": 4}}, ["a", "b"])
    assert table.header == ("Label", "ar", "en")
    assert table.rows == (("a", "1,200", "0"), ("b", "3", "4"), ("Total", "1,203", "4"))


def test_labels_have_a_panel_per_language() -> None:
    figure = distribution.figure({"ar": {"a": 3, "b": 1}, "en": {"b": 2}}, ["a", "b"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ar  (4 rows)", "en  (2 rows)"]
    assert [[bar.get_width() for bar in axes.patches] for axes in figure.axes] == \
        [[75.0, 25.0], [0.0, 100.0]]


def test_a_language_without_rows_is_an_empty_panel() -> None:
    figure = distribution.figure({"ar": {}}, ["a", "b"])
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.0, 0.0]
    assert plot.png(figure)


@pytest.mark.parametrize("languages", [("ko",), FIVE, TWENTY], ids=len)
def test_any_number_of_languages_is_drawn(languages: tuple[str, ...]) -> None:
    counts = list(COUNTS.values())
    figure = distribution.figure({
        code: dict(zip(LABELS, counts[i % len(counts)], strict=True))
        for i, code in enumerate(languages)}, LABELS)
    width, height = figure.get_size_inches() * plot.DPI
    assert 250 < width < 2000
    assert 100 < height < 3000
    assert plot.png(figure)[:4] == b"\x89PNG"
