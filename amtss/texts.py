"""Whether what should be text, to learn from or to classify, is text that UTF-8 can hold."""

import re
from textwrap import shorten

from amtss.errors import DataError

_SURROGATE = re.compile("[\\ud800-\\udfff]")


def check_text(where: str, text: object) -> None:
    """Check that `text` is text that UTF-8 can hold.

    Raises:
        DataError: it is something else, or has half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise DataError(f"{where}: expected text, found {shorten(repr(text), 80)}; put it in "
                        "quotes")
    if not text.isascii() and (half := _SURROGATE.search(text)):
        raise DataError(f"{where}: expected text, found half of a surrogate pair, {half[0]!r}, at "
                        f"character {half.start() + 1}; correct it, or convert it to UTF-8")
