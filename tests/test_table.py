"""Tables as Markdown and in the terminal. Whatever a text contains, Markdown shows that text."""

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from support.drift import compared
from support.metrics import FIVE, SEVEN, TWENTY, history, metrics, onboarded
from support.project import ROOT
from support.registered import settings, version

from amtss import ablation, status
from amtss.ablation import Experiment, Outcome
from amtss.config.params import load_params
from amtss.config.schema import Drift
from amtss.drift import tables
from amtss.registry import comparison, listing
from amtss.registry.rules import compare
from amtss.report import accuracy, training
from amtss.table import Best, Table, escaped, markdown, one_line, parts, rich_table, show

ODD = Table("A & <b>", ("", "x|y"), (("<i>", Best("1.5")), ("r_1", "-")), ("a < b",))
GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = ("[click](http://x)", "<script>alert(1)</script>", "a|b", "`code`", "![image](http://x)",
           "<http://x>", "see http://x or www.x.org", "me@x.org", "&lt;", "\\", "a\\", "\\|", "*a*",
           "_a_", "~~a~~", "$a$", "- a", "+ a", "1. a", "2) a", "# a", "a #", "> a", "---", "***",
           "===", "```", "[a]: http://x", "a\nb", "  a  ", "a\r\n\r\n- b", "<!-- a -->", "- [ ] a")
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=4), min_size=1, max_size=3).map(
    "".join).filter(str.strip)


class Shown(HTMLParser):
    """The elements of a page, each with the text in it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, str]] = []
        self.feed(GITHUB.render(source))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs).get("alt") or ""))

    def handle_data(self, data: str) -> None:
        if data.strip("\n"):
            tag, text = self.elements[-1]
            self.elements[-1] = tag, text + data


def each_hostile(test: object) -> object:
    for text in HOSTILE:
        test = example(text)(test)  # type: ignore[arg-type]
    return test


class TestEscaped:
    @pytest.mark.parametrize(("before", "elements"), [
        ("", ["p"]), ("- ", ["ul", "li"]), ("# ", ["h1"]), ("## ", ["h2"])])
    def test_a_text_is_shown_as_it_is(self, before: str, elements: list[str]) -> None:
        @each_hostile
        @given(texts)
        def check(text: str) -> None:
            shown = Shown(before + escaped(text) + "\n").elements
            assert shown == [*((tag, "") for tag in elements[:-1]), (elements[-1], one_line(text))]
        check()

    @each_hostile
    @given(texts)
    def test_a_caption_is_shown_as_it_is(self, text: str) -> None:
        shown = Shown(f"![{escaped(text)}](figures/a.png)").elements
        assert shown == [("p", ""), ("img", one_line(text))]

    @each_hostile
    @given(texts)
    def test_nothing_becomes_a_link_by_itself(self, text: str) -> None:
        assert not re.search(r"://|www\.|(?<!\\)@", escaped(text), re.IGNORECASE)

    @pytest.mark.parametrize("text", [
        "-1.03", "+2.52", "route_ae_nr", "a (b), 5.00%", "x: y", "#1"])
    def test_plain_texts_stay_readable(self, text: str) -> None:
        assert escaped(text) == text


class TestMarkdown:
    def test_by_hand(self) -> None:
        assert markdown(ODD) == ("**A \\& \\<b\\>**\n\n|  | x\\|y |\n| --- | ---: |\n"
                                 "| \\<i\\> | **1.5** |\n| r_1 | \\- |\n\na \\< b\n")

    @each_hostile
    @given(texts)
    def test_cells_title_and_notes_are_shown_as_they_are(self, text: str) -> None:
        table = Table(text, ("", text), ((text, Best(text)), ("", text)), (text,))
        shown, expected = Shown(markdown(table)).elements, one_line(text)
        assert [element for element in shown if element[0] not in ("table", "thead", "tbody")] == [
            ("p", ""), ("strong", expected), ("tr", ""), ("th", ""), ("th", expected), ("tr", ""),
            ("td", expected), ("td", ""), ("strong", expected), ("tr", ""), ("td", ""),
            ("td", expected), ("p", expected)]

    def test_an_empty_table_has_its_header(self) -> None:
        assert markdown(Table("t", ("a", "b"), ())) == "**t**\n\n| a | b |\n| --- | --- |\n"

    def test_without_a_title(self) -> None:
        assert markdown(Table("", ("a",), (("b",),))) == "| a |\n| --- |\n| b |\n"


@pytest.mark.parametrize(("cell", "numeric"), [
    ("1,434", True), ("-1.03", True), ("+2.52", True), ("52.2M", True), ("16.0 MB", True),
    ("3.1%", True), ("-6.20 to 2.43", True), ("+1.00 (+0.50 to +1.50)", True), ("< 0.001", True),
    ("54 (100.00%)", True), ("3 little words", False), ("2 rows (4.00%)", False), ("-", False),
    ("[0 1]", False), ("", False)])
def test_columns_of_numbers_are_right_aligned(cell: str, numeric: bool) -> None:
    assert Table("", ("a", "b"), (("1", cell), ("2", "x"))).numeric == (False, numeric)


def test_rich_fits_eighty_columns() -> None:
    out = Console(file=io.StringIO(), width=80)
    for languages in (FIVE, TWENTY):
        out.print(rich_table(accuracy.results(metrics(languages), languages)))
    out.print(rich_table(ODD))
    text = out.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    student = (f"{metrics()['student']['accuracy'][code]:.2f}" for code in (*FIVE, "average"))
    assert ["AMTSS", "student", *student] in [line.split() for line in text.splitlines()]


def ablations(languages: tuple[str, ...]) -> Table:
    """The table of `amtss ablate`, with figures as wide as they get."""
    params = load_params(ROOT / "params" / "massive.yaml")
    draw = np.random.default_rng(0)
    scores = [(draw.random(50) < 0.9).astype(float) for _ in languages]
    return ablation.table(params.model_copy(update={"languages": languages}), {
        Experiment(name, 0): Outcome(languages, scores, [1 - row for row in scores], 1_234_567)
        for name in ("adaptive", "every-other-layer")})


def printed(languages: tuple[str, ...]) -> Iterator[Table]:
    """The tables that commands print, of these languages."""
    made = version(12, **dict.fromkeys(languages, 88.88))
    yield accuracy.results(metrics(languages), languages)
    yield from (accuracy.adapted(onboarded(languages, languages[-2:]), False),
                accuracy.forgetting(onboarded(languages, languages[-2:])),
                training.ranked(history(languages), languages))
    yield ablations(languages)
    yield listing.table("Registered versions", [made])
    yield comparison.table(compare(made, None, settings(required=("pl", "de"))))
    yield comparison.table(compare(made, version(11, **dict.fromkeys(languages, 90.0)), settings()))
    yield tables.table(compared(*languages, drifted=languages[:1]), Drift())
    yield status.stage_table({f"{stage}@{code}": "stale" if code in languages[:9] else "done"
                              for stage in ("data", "validate") for code in languages})


@pytest.mark.parametrize("languages", [FIVE, SEVEN, TWENTY], ids=len)
@pytest.mark.parametrize("columns", [80, 100])
def test_what_commands_print_fits(languages: tuple[str, ...], columns: int,
                                  monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for table in printed(languages):
        show(table)
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= columns, out
        assert "…" not in out
        words = out.split()
        figures = [cell for row in table.rows for cell in row[1:] if re.fullmatch(r"[\d.]+", cell)]
        assert [figure for figure in figures if words.count(figure) < figures.count(figure)] == []


def test_columns_that_do_not_fit_go_on_below() -> None:
    table = ablations(FIVE)
    one, two = parts(table, 100)
    assert (one.header[:3], two.header) == (("variant", "ar", "en"), (
        "variant", "against adaptive (95%)", "examples seen"))
    assert (one.title, two.title) == (table.title, "")
    assert parts(table, 150) == [table]


def test_no_other_code_draws_tables() -> None:
    drawing = [path.name for path in (ROOT / "amtss").rglob("*.py")
               if re.search(r"\brich_table\b|Console\((?!stderr)", path.read_text("utf-8"))]
    assert drawing == ["table.py"]


def test_notes_are_as_wide_as_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    note = "Mean over seeds 0; intervals by bootstrap over test examples, paired."
    show(Table("t", ("a", "b"), (("c", "d"),), (note,)))
    assert capsys.readouterr().out.endswith(f"\n{note}\n")


def test_every_text_is_taken_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show(Table("[bold]t[/]", ("a", "[red]b"), (("c", "[i]d"),), ("[u]e",)))
    text = capsys.readouterr().out
    assert [part for part in ("[bold]t[/]", "[red]b", "[i]d", "[u]e") if part not in text] == []


def test_turning_twice_is_the_same() -> None:
    table = accuracy.results(metrics(), FIVE)
    assert table.transposed().transposed() == table


@pytest.mark.parametrize(("text", "shown"), [
    ("a\nb\t c", "a b c"), ("\u202eevil", "<U+202E>evil"), ("a\x1b[31mred", "a<U+001B>[31mred"),
    ("می\u200cخواهم", "می\u200cخواهم"), ("👩\u200d💻", "👩\u200d💻"),
    ("결제 付款 😀", "결제 付款 😀")])
def test_one_line_shows_what_would_not_be_seen(text: str, shown: str) -> None:
    assert one_line(text) == shown
