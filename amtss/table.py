"""One table in three clothes: Markdown, HTML and the terminal's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NONE = "–"
"""A cell that has nothing to tell."""


class Best(str):
    """A cell printed in bold."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Cells as printed; a row's first cell names it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def transposed(self) -> Table:
        """Rows for columns."""
        first, *others = zip(self.header, *self.rows, strict=True)
        return replace(self, header=tuple(first), rows=tuple(others))

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers, and are set flush right; never the first."""
        columns = list(zip(*self.rows, strict=True))[1:]
        return (False, *(any(_is_number(cell) for cell in column)
                         for column in columns or [()] * (len(self.header) - 1)))


def markdown(table: Table) -> str:
    """GitHub's Markdown: title, table, notes."""
    rules = ["---:" if numeric else "---" for numeric in table.numeric]
    lines = [[_marked(cell) for cell in table.header], rules,
             *([_marked(cell) for cell in row] for row in table.rows)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"**{escaped(table.title)}**", body,
                        *(escaped(note) for note in table.notes)]) + "\n"


def _marked(cell: str) -> str:
    return f"**{escaped(cell)}**" if isinstance(cell, Best) else escaped(cell)


def escaped(text: str) -> str:
    """`text` with Markdown's signs taken literally."""
    return text.translate({ord(sign): f"\\{sign}" for sign in "\\|*<`"})


def html(table: Table) -> str:
    """A `<figure>` with caption, table and notes; it scrolls sideways where it is too wide."""
    head = "".join(f'<th scope="col"{_class("", numeric)}>{escape(cell)}</th>'
                   for cell, numeric in zip(table.header, table.numeric, strict=True))
    body = "".join(f"<tr>{_html_row(row, table.numeric)}</tr>\n" for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in table.notes)
    return (f'<figure class="table"><figcaption>{escape(table.title)}</figcaption>\n'
            f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody>\n</table></div>\n{notes}</figure>\n")


def _html_row(row: Sequence[str], numeric: Sequence[bool]) -> str:
    first, *others = (f"<strong>{escape(cell)}</strong>" if isinstance(cell, Best)
                      else escape(cell) for cell in row)
    cells = (f"<td{_class(cell, flush)}>{text}</td>"
             for cell, text, flush in zip(row[1:], others, numeric[1:], strict=True))
    return f'<th scope="row">{first}</th>{"".join(cells)}'


def _class(cell: str, flush: bool) -> str:
    """Numbers are never broken over lines; words among them may be, and are flush right too."""
    names = ["right"] * flush + ["number"] * (_is_number(cell) or cell == NONE)
    return f' class="{" ".join(names)}"' if names else ""


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit()


def rich_table(table: Table) -> RichTable:
    """For the terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=table.title, caption="\n".join(table.notes), box=box.SIMPLE_HEAD,
                      pad_edge=False, collapse_padding=True,
                      title_justify="left", caption_justify="left")
    for index, (name, numeric) in enumerate(zip(table.header, table.numeric, strict=True)):
        drawn.add_column(Text(name), justify="right" if numeric else "left", no_wrap=not index)
    for row in table.rows:
        drawn.add_row(*(Text(c, style="bold" if isinstance(c, Best) else "") for c in row))
    return drawn
