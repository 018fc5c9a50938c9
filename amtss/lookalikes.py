"""Texts and labels that differ only in what a tokenizer, or a reader, does not see."""

import re
import string
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

INVISIBLE = (r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
             r"\u180b-\u180f"
             r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
             r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
             r"\U000e0100-\U000e01ef")
"""Ranges of characters without a shape: Unicode's Default_Ignorable_Code_Point, but for the tags
of flags; control characters; and the blank of Braille."""
UNSEEN = re.compile(f"[{INVISIBLE}]")
VISIBLE = rf"[^\s{INVISIBLE}]"
"""A regular expression that a text with something to read matches."""
JOINERS = re.compile(rf"(?![\u200c\u200d\ufe00-\ufe0f\s])[{INVISIBLE}]")
"""Invisible characters but those that change the shape of others (ZWJ, ZWNJ, emoji or text)."""


def plain(text: str) -> str:
    """What is left of `text` without case, width, kinds of blanks, normal form and the invisible.

    Texts to which our own tokenizer gives the same tokens are equal; see `train_tokenizer`. Like
    it, this does not see blanks beside punctuation.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).translate(PLAIN).split())


class _Plain(dict[int, str | int | None]):
    """For `str.translate`: the invisible removed, punctuation set apart; looked up when first met.
    """

    def __missing__(self, code: int) -> str | int | None:
        character = chr(code)
        if UNSEEN.match(character):
            self[code] = None
        elif character in string.punctuation or unicodedata.category(character).startswith("P"):
            self[code] = f" {character} "
        else:
            self[code] = code
        return self[code]


PLAIN = _Plain()


def printed(label: str) -> str:
    """What two labels share that print alike: normal form, blanks and the invisible aside."""
    return " ".join(JOINERS.sub("", unicodedata.normalize("NFC", label)).split())


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that differ only in what `plain` removes; sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        groups[plain(label)].append(label)
    return [group for form, group in sorted(groups.items()) if form and len(group) > 1]


def shown(label: str) -> str:
    """A label in quotes; escaped if it prints like another."""
    return repr(label) if printed(label) == label else ascii(label)
