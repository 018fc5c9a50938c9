"""Words and cells of a drift check."""

import pytest
from support.drift import compared
from support.tables import cell

from amtss.config.schema import Drift
from amtss.drift import tables
from amtss.table import NONE, show


def test_no_drift() -> None:
    found = compared("en", "fr")
    assert tables.headline(found) == "No drift in en, fr: every figure is within its limit."
    assert tables.sentences(found) == ()
    assert "(!)" not in str(tables.table(found, Drift()).rows)


def test_drift_is_marked_and_told() -> None:
    found = compared("en", "fr", drifted=("fr",))
    assert tables.headline(found) == "Drift in fr: 3 of 12 figures are beyond their limits."
    assert tables.sentences(found) == (
        "fr, labels: 50.0% of the texts, pay from 50.0% to 0.0%, chat from 50.0% to 100.0%, ship "
        "from 0.0% to 0.0%; limit 10.0%",
        "fr, length: from 10.0 to 40.0 tokens on average, shares below one differ by up to 100.0%; "
        "limit 15.0%",
        "fr, cut: from 0.0% to 100.0% of the texts; limit 5.0%")
    table = tables.table(found, Drift())
    assert [cell(table, "fr", name) for name in ("Labels", "Unsure", "Length", "Cut")] == [
        "50.0 (!)", "0.0", "100.0 (!)", "100.0 (!)"]
    assert [cell(table, "Limit", name) for name in ("Texts", "Labels", "Cut")] == [
        NONE, "10.0", "5.0"]


def test_texts_that_were_drawn() -> None:
    table = tables.table(compared("en", of=12_345), Drift())
    assert cell(table, "en", "Texts") == "100 (of 12,345)"


@pytest.mark.parametrize("of", [100, 1_234_567])
def test_the_table_fits_a_terminal(of: int, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    found = compared("en", "zh-Hant", drifted=("zh-Hant",), of=of)
    show(tables.table(found, Drift()))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(line for line in lines if line.lstrip().startswith("zh-Hant")).count("(!)") == 3
