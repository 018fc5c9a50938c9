import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.terminal import WIDTH, folded, say

LONG = "version 4: floor: expected at least the linear floor's 89.02 on average, found 88.00 (-1)"


@given(st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=40))
def test_every_line_fits_and_no_word_is_lost(words: list[str]) -> None:
    lines = folded(" ".join(words)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).split() == words


def test_a_command_stays_on_one_line() -> None:
    command = "`amtss init data/mine --force --encoder intfloat/multilingual-e5-small`"
    assert folded(f"{LONG}; {command}") == f"{LONG};\n    {command}"


@pytest.mark.parametrize(("columns", "lines"), [("40", 3), ("300", 1)])
def test_a_terminal_may_have_fewer_columns(columns: str, lines: int, capsys: pytest.CaptureFixture[
        str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    say(LONG)
    assert len(capsys.readouterr().out.splitlines()) == lines
