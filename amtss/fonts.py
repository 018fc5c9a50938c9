"""How a figure names labels that may be in any script: by fonts of this machine that have their
characters, and by numbers where there is none."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

BUILT_IN = "DejaVu Sans"
"""matplotlib brings it along."""


class Drawn(NamedTuple):
    """Labels as a figure shows them."""

    names: list[str]
    """Each on one line; `[3]` for the third label if no font has all of its characters."""
    fonts: list[str]
    """Families to draw them with, for matplotlib's `fontfamily`."""
    note: str
    """Which label each number stands for; empty if there is none."""


def drawn(labels: Sequence[str]) -> Drawn:
    """How to draw `labels` without boxes in the place of letters."""
    lines = [" ".join(label.split()) for label in labels]
    missing = {letter for line in lines for letter in line} - _letters(_path(BUILT_IN))
    fonts = [BUILT_IN]
    for family, path in _others() if missing else ():
        found = missing & _letters(path)
        if found:
            fonts.append(family)
            missing -= found
        if not missing:
            break
    names = [line if line and not missing & {*line} and not _is_invisible(line) else f"[{number}]"
             for number, line in enumerate(lines, start=1)]
    numbered = [f"{name} {line}" for name, line in zip(names, lines, strict=True) if name != line]
    note = f" No font here has all letters of {', '.join(numbered)}." if numbered else ""
    return Drawn(names, fonts, note)


def _is_invisible(line: str) -> bool:
    """Whether a line has control or joining characters, which fonts draw as boxes."""
    return any(unicodedata.category(letter) in ("Cc", "Cf") for letter in line)


def _path(family: str) -> str:
    return str(font_manager.findfont(family))


@cache
def _others() -> list[tuple[str, str]]:
    """Families and files of the other fonts, sans-serif ones first. matplotlib cannot draw
    fonts of coloured pictures, and a font of last resort has a box for everything."""
    fonts = {font.name: font.fname for font in font_manager.fontManager.ttflist
             if font.style == "normal" and font.weight in (400, "normal", "regular", "book")
             and font.name != BUILT_IN
             and not any(word in font.name.lower() for word in ("color", "last resort"))}
    return sorted(fonts.items(), key=lambda font: ("sans" not in font[0].lower(), font))


@cache
def _letters(path: str) -> frozenset[str]:
    """Characters that a font's file has."""
    return frozenset(map(chr, FT2Font(path).get_charmap()))
