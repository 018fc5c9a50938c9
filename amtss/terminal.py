"""What commands print fits into 100 columns, or into a terminal that has fewer."""

import re
import shutil
import sys
from textwrap import fill

WIDTH = 100
"""Columns of a log, and the most that sentences take in a terminal."""


def columns() -> int:
    """Columns of the terminal; WIDTH where the output goes elsewhere."""
    return shutil.get_terminal_size((WIDTH, 0)).columns


def folded(text: str) -> str:
    """`text` in lines that fit, broken at blanks outside of `commands`; all but the first are
    indented."""
    whole = re.sub("`[^`]*`", lambda command: command[0].replace(" ", "\0"), text)
    return fill(whole, min(columns(), WIDTH), subsequent_indent="    ", break_long_words=False,
                break_on_hyphens=False).replace("\0", " ")


def say(text: str) -> None:
    """Print sentences in lines that fit."""
    print(folded(text), flush=True)


def warn(text: str) -> None:
    """Print a warning on stderr, in lines that fit."""
    print(folded(f"amtss: warning: {text}"), file=sys.stderr, flush=True)
