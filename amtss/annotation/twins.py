"""Near-duplicates: texts of the same words, whatever their order, case and punctuation."""

import string
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from amtss.lookalikes import plain

Form = tuple[tuple[str, ...], ...]
"""The sorted words of a text, and of its pair: what makes two rows twins."""


class Place(NamedTuple):
    """Where a row stands."""

    split: str
    row: int
    id: str
    label: str


def forms(table: pa.Table) -> list[Form]:
    """Each row's words."""
    columns = [table[name].to_pylist() for name in ("text", "pair") if name in table.column_names]
    return [tuple(_words(text or "") for text in row) for row in zip(*columns, strict=True)]


def _words(text: str) -> tuple[str, ...]:
    words = plain(text).split()
    return tuple(sorted(word for word in words if not _is_mark(word)) or words)


def _is_mark(word: str) -> bool:
    """Whether it is a punctuation mark, which `plain` sets apart from words."""
    return len(word) == 1 and (word in string.punctuation
                               or unicodedata.category(word).startswith("P"))


def conflicts(splits: Mapping[str, pa.Table]) -> list[list[Place]]:
    """Groups of twins with two labels or more, over all of these labelled splits."""
    groups: dict[Form, list[Place]] = defaultdict(list)
    for split, table in splits.items():
        rows = zip(forms(table), table["id"].to_pylist(), table["label"].to_pylist(), strict=True)
        for row, (form, name, label) in enumerate(rows):
            if any(form) and label is not None:
                groups[form].append(Place(split, row, name, label))
    return [group for group in groups.values() if len({place.label for place in group}) > 1]


def first_of_each(own: Sequence[Form], others: Sequence[Form]) -> list[int]:
    """The first row of each group of twins in `own` that has none in `others`."""
    seen = set(others)
    first = []
    for row, form in enumerate(own):
        if any(form) and form not in seen:
            seen.add(form)
            first.append(row)
    return first
