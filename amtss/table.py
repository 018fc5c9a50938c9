"""A table, and how it is written as Markdown and drawn in the terminal."""

from __future__ import annotations

import re
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
    """`text` on one line, every character literal, for any place in Markdown.

    White space becomes single spaces, as it does in HTML.
    """
    line = SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)  # a numbered list


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
        drawn.add_row(*(Text(cell, style="bold" if isinstance(cell, Best) else "")
                        for cell in row))
    return drawn
