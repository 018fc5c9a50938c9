"""A table, and how it is written as Markdown and drawn in the terminal."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NONE = "–"
"""A cell without a value."""
NUMBER = re.compile(r"(?:< |[+-])?\d[\d,.]*(?:%|M| MB)?(?: to [+-]?\d.*| \(.*\))?")
"""A number, maybe with its unit, its interval or a remark in parentheses."""
SPECIAL = re.compile(r"""
    [\\`*\[\]<>&|~$@]                     # emphasis, code, links, HTML, entities, pipes, math
    | (?<![^\W_])_ | _(?![^\W_])           # emphasis; not the underscores within a word
    | (?<=:)// | (?<=www)\.                # bare URLs
    | ^[-+](?=[-\s]|$)                     # lists and rules
    | ^\#(?=[#\s]|$) | (?<=\s)\#(?=\#*$)   # headings, which may end in # too
    """, re.VERBOSE | re.IGNORECASE)
"""What Markdown would not take literally."""


HIDDEN = ("Cc", "Cf", "Cs")
"""Categories of characters that are not seen: controls, formats, halves of surrogate pairs."""
JOINERS = "\u200c\u200d"


class Best(str):
    """A cell printed in bold."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Cells as they are printed; the first cell of a row names the row."""

    title: str
    """Empty where a heading above the table says what it is."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def transposed(self) -> Table:
        """The table with its rows as columns."""
        first, *others = zip(self.header, *self.rows, strict=True)
        return replace(self, header=tuple(first), rows=tuple(others))

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers and are right-aligned; never the first column."""
        columns = list(zip(*self.rows, strict=True))[1:]
        return (False, *(any(NUMBER.fullmatch(cell) for cell in column)
                         for column in columns or [()] * (len(self.header) - 1)))


def markdown(table: Table) -> str:
    """GitHub's Markdown: title, table, notes."""
    rules = ["---:" if numeric else "---" for numeric in table.numeric]
    lines = [[escaped(cell) for cell in table.header], rules,
             *([_cell(cell) for cell in row] for row in table.rows)]
    title = [f"**{escaped(table.title)}**"] if table.title else []
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([*title, body, *map(escaped, table.notes)]) + "\n"


def _cell(cell: str) -> str:
    return f"**{escaped(cell)}**" if isinstance(cell, Best) else escaped(cell)


def escaped(text: str) -> str:
    """`text` on one line, every character literal, for any place in Markdown."""
    line = SPECIAL.sub(r"\\\g<0>", one_line(text))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)  # a numbered list


def one_line(text: str) -> str:
    """`text` with single spaces for white space, as in HTML, and with the names of characters that
    would steer a terminal or turn the direction of what follows, such as <U+202E>.

    Joiners stay: Persian, Hindi and emoji are written with them.
    """
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(
        f"<U+{ord(letter):04X}>" if unicodedata.category(letter) in HIDDEN
        and letter not in JOINERS else letter for letter in line)


def rich_table(table: Table) -> RichTable:
    """The table for the terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(table.title), caption=Text("\n".join(table.notes)),
                      box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
                      title_justify="left", caption_justify="left")
    for index, (name, numeric) in enumerate(zip(table.header, table.numeric, strict=True)):
        drawn.add_column(Text(name), justify="right" if numeric else "left", no_wrap=not index)
    for row in table.rows:
        drawn.add_row(*(Text(one_line(cell), style="bold" if isinstance(cell, Best) else "")
                        for cell in row))
    return drawn
