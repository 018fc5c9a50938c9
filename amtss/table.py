"""A table, and how it is written as Markdown and drawn in the terminal."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING

from amtss import terminal

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


GAP = 2
"""Columns of a terminal between two of a table."""
FOLDED = 20
"""Columns that are enough for a column of words."""
NAME = 12
"""Columns that a column of numbers may have for its name."""
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


def show(table: Table) -> None:
    """Print the table, then its notes; where it is too wide for the terminal, its columns go on
    below."""
    from rich.console import Console

    console = Console(width=terminal.columns())
    for part in parts(table, console.width):
        console.print(rich_table(part))
    for note in table.notes:
        terminal.say(one_line(note))


def parts(table: Table, width: int) -> list[Table]:
    """The table, or several that have some of its columns each and fit into so many columns of a
    terminal; all begin with its first column.

    Numbers are never folded; other columns are if they must be, down to `FOLDED`.
    """
    from rich.cells import cell_len

    cells = zip(_header(table), *table.rows, strict=True)
    needed = [GAP + min(max(map(cell_len, "\n".join(column).split("\n"))),
                        width if numeric or not index else FOLDED)
              for index, (column, numeric) in enumerate(zip(cells, table.numeric, strict=True))]
    groups = [[0]]
    for index in range(1, len(needed)):
        if len(groups[-1]) > 1 and sum(needed[i] for i in (*groups[-1], index)) > width:
            groups.append([0])
        groups[-1].append(index)
    made = [replace(table, title="", header=tuple(table.header[i] for i in group),
                    rows=tuple(tuple(row[i] for i in group) for row in table.rows))
            for group in groups]
    made[0] = replace(made[0], title=table.title)
    return made


def _header(table: Table) -> list[str]:
    """The names of the columns, those of numbers folded to the numbers' width or `NAME`."""
    names = []
    for name, numeric, *cells in zip(table.header, table.numeric, *table.rows, strict=True):
        lines = wrap(name, max([NAME, *map(len, cells)]), break_long_words=False,
                     break_on_hyphens=False)
        names.append("\n".join(lines) if numeric else name)
    return names


def rich_table(table: Table) -> RichTable:
    """The table for the terminal, without its notes."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(table.title), box=box.SIMPLE_HEAD, pad_edge=False,
                      collapse_padding=True, title_justify="left")
    for index, (name, numeric) in enumerate(zip(_header(table), table.numeric, strict=True)):
        drawn.add_column(Text(name), justify="right" if numeric else "left",
                         no_wrap=numeric or not index)
    for row in table.rows:
        drawn.add_row(*(Text(one_line(cell), style="bold" if isinstance(cell, Best) else "")
                        for cell in row))
    return drawn
