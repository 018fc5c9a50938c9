"""A page of texts, tables and pictures, as Markdown and as HTML, from one list of sections.

Markdown is written once; markdown-it makes the HTML from it. The HTML contains its pictures and its
style, and needs neither scripts nor a network: it can be mailed and opened anywhere.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from amtss import table
from amtss.table import NONE, NUMBER, Table, escaped, one_line


@dataclass(frozen=True)
class Picture:
    """A PNG, the name of its file and what it shows."""

    name: str
    caption: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader unfolds by a click on the title."""

    title: str
    blocks: tuple["Block", ...]


Block = str | tuple[str, ...] | Table | Picture | Fold
"""A text is a paragraph, a tuple of texts a list."""


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def pictures(sections: Iterable[Section | Fold]) -> Iterator[Picture]:
    """All pictures, including those in folds."""
    for section in sections:
        yield from (block for block in section.blocks if isinstance(block, Picture))
        yield from pictures(block for block in section.blocks if isinstance(block, Fold))


def markdown(title: str, sections: Iterable[Section]) -> str:
    """GitHub's Markdown; the pictures are files in `figures/` beside it."""
    parts = [f"# {escaped(title)}\n"]
    for section in sections:
        parts += [f"## {escaped(section.title)}\n", *map(_markdown, section.blocks)]
    return "\n".join(parts)


def _markdown(block: Block) -> str:
    match block:
        case str():
            return f"{escaped(block)}\n"
        case tuple():
            return "".join(f"- {escaped(item)}\n" for item in block)
        case Table():
            return table.markdown(block)
        case Picture():
            caption = escaped(block.caption)
            return f"![{caption}](figures/{block.name}.png)\n\n{caption}\n"
        case Fold():
            return _fold(block, "\n" + "\n".join(map(_markdown, block.blocks)) + "\n")


def _fold(fold: Fold, inside: str) -> str:
    return f"<details><summary>{_text(fold.title)}</summary>\n{inside}</details>\n"


def html(title: str, sections: Sequence[Section]) -> str:
    """A whole document with a table of contents, its style and its pictures."""
    entries = "".join(f'<li><a href="#{section.anchor}">{_text(section.title)}</a></li>'
                      for section in sections)
    body = "".join(f'<section id="{section.anchor}">\n<h2>{_text(section.title)}</h2>\n'
                   f"{''.join(map(_html, section.blocks))}</section>\n"
                   for section in sections)
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
            f'<nav aria-label="Contents"><ol>{entries}</ol></nav>\n'
            f"<main>\n<h1>{_text(title)}</h1>\n{body}</main>\n</body>\n</html>\n")


def _text(text: str) -> str:
    return escape(one_line(text))


def _html(block: Block) -> str:
    match block:
        case Fold():
            return _fold(block, "".join(map(_html, block.blocks)))
        case Table():
            body = MARKDOWN.render(table.markdown(replace(block, title="")))
            return (f'<figure class="table"><figcaption>{_text(block.title)}</figcaption>\n'
                    f"{body}</figure>\n")
        case Picture():
            caption, data = _text(block.caption), base64.b64encode(block.data).decode("ascii")
            return (f'<figure class="picture"><img alt="{caption}" '
                    f'src="data:image/png;base64,{data}">\n'
                    f"<figcaption>{caption}</figcaption></figure>\n")
        case _:
            return str(MARKDOWN.render(_markdown(block)))


def _mark_cells(state: StateCore) -> None:
    """A row's first cell becomes its header; other cells are marked where they are numbers."""
    tokens = state.tokens
    for row, opening, cell, closing in zip(tokens, tokens[1:], tokens[2:], tokens[3:],
                                           strict=False):
        text = "".join(part.content for part in cell.children or [])
        if opening.type == "td_open" and row.type == "tr_open":
            opening.tag = closing.tag = "th"
            opening.attrs["scope"] = "row"
        elif opening.type == "td_open" and (text == NONE or NUMBER.fullmatch(text)):
            opening.attrs["class"] = "number"


MARKDOWN = MarkdownIt("zero").enable(["emphasis", "escape", "list", "table"])
"""What a page uses of Markdown: no HTML, no links, whatever a text contains."""
MARKDOWN.core.ruler.push("cells", _mark_cells)

CSS = """
:root { color-scheme: light; --ink: #1f2933; --soft: #5f6b7a; --line: #dfe4ea; --blue: #2563a8; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #f6f7f9; line-height: 1.55;
       font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
nav { background: #fff; border-bottom: 1px solid var(--line); padding: .6rem 1rem; }
nav ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
nav a { color: var(--blue); text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 0 0 .75rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: .6rem;
          padding: 1.2rem 1rem; margin: 0 0 1.2rem; scroll-margin-top: 1rem; }
section:first-of-type > p:first-of-type { font-size: 1.1rem; padding: .7rem 1rem; margin-top: 0;
          background: #eef4fb; border-left: 4px solid var(--blue); border-radius: .3rem; }
p, ul { max-width: 46rem; }
figure { margin: 1.4rem 0; overflow-x: auto; }
figure > p { margin: .4rem 0 0; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
.picture figcaption, .table p { font-weight: 400; color: var(--soft); font-size: .87rem; }
.picture figcaption { margin: .4rem 0 0; }
figcaption, .table p { position: sticky; left: 0; }
img { display: block; max-width: 100%; min-width: 34rem; height: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .7rem; text-align: left; border-bottom: 1px solid var(--line); }
.number, tbody th { white-space: nowrap; }
td:not(.number) { min-width: 8.5rem; }
thead th { border-bottom: 2px solid #b8c2cc; color: var(--soft); font-weight: 600; }
tbody th { font-weight: 400; position: sticky; left: 0; background: #fff; }
tbody tr:hover > * { background: #f3f7fb; }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; color: var(--blue); }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 13rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; border: 0; border-right: 1px solid var(--line);
        padding: 2rem 1.2rem; }
  nav ol { flex-direction: column; gap: .5rem; }
  main { padding: 1.2rem 2rem; }
  section { padding: 1.4rem 1.6rem; }
}
@media print { nav { display: none; } body { display: block; background: #fff; } }
"""
