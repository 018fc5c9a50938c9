"""Texts that occur more than once: in one split or in two, with one label or with several.

Texts are equal if our own tokenizer sees no difference (`lookalikes.plain`).
"""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from amtss.lookalikes import plain

Text = tuple[str, ...]
"""A text's plain form, or those of a text and its pair: what makes two rows the same."""
Seen = Mapping[str, Mapping[Text, set[str]]]
"""Split -> text -> the labels that the text has there."""

MARKS = ("repeated", "several_labels", "also_in_train", "other_label_in_train", "also_in_test")
"""Added columns: the text of a row where the row fails the check, null elsewhere."""


def texts(table: pa.Table) -> list[Text | None]:
    """Each row's text (with its pair); None where a part is missing."""
    return [text and tuple(map(plain, text)) for text in _written(table)]


def _written(table: pa.Table) -> list[tuple[str, ...] | None]:
    parts = [table[name].to_pylist() for name in ("text", "pair") if name in table.column_names]
    return [None if None in text else text for text in zip(*parts, strict=True)]


def labels_by_text(table: pa.Table) -> dict[Text, set[str]]:
    """The labels of every text of `table`; an empty set if its rows have none."""
    labels: dict[Text, set[str]] = {}
    for text, label in zip(texts(table), table["label"].to_pylist(), strict=True):
        if text is not None:
            labels.setdefault(text, set()).update({label} - {None})
    return labels


def marked(split: str, table: pa.Table, seen: Seen) -> pa.Table:
    """`table` with those columns of MARKS that apply to `split`.

    Labelled splits are compared with themselves, validation and test also with train, and
    unlabelled with test.
    """
    keys = [text or () for text in texts(table)]  # no row has (): a missing text is never marked
    times = Counter(keys)
    marks = {"repeated": [times[key] > 1 for key in keys]}
    if split != "unlabelled":
        marks["several_labels"] = [len(seen[split].get(key, ())) > 1 for key in keys]
    if split in ("validation", "test") and "train" in seen:
        train, labels = seen["train"], table["label"].to_pylist()
        marks["also_in_train"] = [key in train for key in keys]
        marks["other_label_in_train"] = [bool(train.get(key, set()) - {label})
                                         for key, label in zip(keys, labels, strict=True)]
    if split == "unlabelled" and "test" in seen:
        marks["also_in_test"] = [key in seen["test"] for key in keys]
    shown = [" / ".join(text) if text else None for text in _written(table)]
    for name, failed in marks.items():
        column = [text if bad else None for text, bad in zip(shown, failed, strict=True)]
        table = table.append_column(name, pa.array(column, pa.string()))
    return table


def labels_of(split: str, row: pa.Table, seen: Seen) -> tuple[str, ...]:
    """The label of a one-row table, then other labels that its text has in `split` or train."""
    own, key = row["label"][0].as_py(), texts(row)[0] or ()
    others = seen[split].get(key, set()) | seen.get("train", {}).get(key, set())
    return (*([] if own is None else [own]), *sorted(others - {own}))
