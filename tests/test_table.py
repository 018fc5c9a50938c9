"""Three ways to write a table down."""

import io

from rich.console import Console
from support.metrics import FIVE, TWENTY, metrics

from amtss.report import tables
from amtss.table import Best, Table, html, markdown, rich_table

ODD = Table("A & <b>", ("", "x|y"), (("<i>", Best("1.5")), ("r_1", "-")), ("a < b",))


def test_markdown() -> None:
    assert markdown(ODD) == ("**A & \\<b>**\n\n|  | x\\|y |\n| --- | ---: |\n"
                             "| \\<i> | **1.5** |\n| r_1 | - |\n\na \\< b\n")


def test_html_escapes_and_marks() -> None:
    drawn = html(ODD)
    assert "A &amp; &lt;b&gt;" in drawn
    assert '<td class="right number"><strong>1.5</strong></td>' in drawn
    assert "<i>" not in drawn


def test_rich_fits_eighty_columns() -> None:
    out = Console(file=io.StringIO(), width=80)
    for languages in (FIVE, TWENTY):
        out.print(rich_table(tables.results(metrics(languages), languages)))
    out.print(rich_table(ODD))
    text = out.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    student = (f"{metrics()['student']['accuracy'][code]:.2f}" for code in (*FIVE, "average"))
    assert ["AMTSS", "student", *student] in [line.split() for line in text.splitlines()]


def test_turning_twice_is_the_same() -> None:
    table = tables.results(metrics(), FIVE)
    assert table.transposed().transposed() == table


def test_an_empty_table_is_written_all_the_same() -> None:
    assert markdown(Table("t", ("a", "b"), ())) == "**t**\n\n| a | b |\n| --- | --- |\n"
