import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.data import sheets
from amtss.errors import DataError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SIGNS = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "'=", "''+", "'"])
FORMULAS = st.builds(str.__add__, SIGNS, CELLS)


@given(st.lists(st.tuples(CELLS | FORMULAS, CELLS | FORMULAS), max_size=4), st.booleans())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory,
                                 rows: list[tuple[str, str]], excel: bool) -> None:
    path = tmp_path_factory.mktemp("sheets") / "sheet.csv"
    content = sheets.text(("a", "b"), rows)
    path.write_bytes(((sheets.BOM if excel else "") + content).encode())
    assert sheets.read(path, ("a", "b"), "fix") == [{"a": a, "b": b} for a, b in rows]
    with open(path, encoding="utf-8-sig", newline="") as file:
        for row in list(csv.reader(file, strict=True))[1:]:
            assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in row)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(f'"a"{delimiter}b{delimiter}b\n"1{delimiter}2"{delimiter}3{delimiter}4\n')
    assert sheets.read(path, ("a",), "fix") == [{"a": f"1{delimiter}2"}]


@pytest.mark.parametrize(("content", "problem"), [
    (None, "expected a CSV file, found none; do this"),
    (b"a,c\n1,2\n", "expected one column 'b', found a, c; do this"),
    (b"a,b,b\n1,2,3\n", "expected one column 'b'"),
    (b"a,b\n\xff,2\n", "expected UTF-8"), (b"", "Empty CSV"), (b"a,b\n1\n", "expected 2 columns")])
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "sheet.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=problem):
        sheets.read(path, ("a", "b"), "do this")
