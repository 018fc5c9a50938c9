"""CSV files for people with a spreadsheet, who fill in a column and hand the file back.

A spreadsheet takes a cell that begins with = + - or @ for a formula. Such a cell gets an apostrophe
in front, as people type it there, and loses it when it is read.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from amtss.data import formats
from amtss.errors import DataError

FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
"""What a formula begins with (OWASP, "CSV Injection"), perhaps after apostrophes."""
BOM = "\ufeff"
"""What a file begins with so that Excel reads it as UTF-8."""
DELIMITERS = ",;\t"
"""Excel writes the second where a comma is part of numbers."""


def text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A CSV file with a header, its formulas made harmless."""
    return "".join(map(_line, [columns, *rows]))


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(map(_harmless, cells))  # it quotes the ends of lines that it writes
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def read(path: Path, needed: Sequence[str], fix: str) -> list[dict[str, str]]:
    """The rows, by column, as they were before `text` made them harmless.

    Args:
        needed: columns that there must be. Others are read where there is one of their name.
        fix: what the message of an error ends with.

    Raises:
        DataError: no such file, no CSV in UTF-8, or a column is missing.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a CSV file, found none; {fix}")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    columns = formats.read([path], "csv", (), max(DELIMITERS, key=header.count)).columns
    cells = {name: map(_original, column().to_pylist())
             for name, column in columns.items() if column is not None}
    for name in needed:
        if name not in cells:
            raise DataError(f"{path}: expected one column {name!r}, found {', '.join(columns)}; "
                            f"{fix}")
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _harmless(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell


def _original(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
