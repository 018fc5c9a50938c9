"""Texts that stand more than once: in one split or in two, under one label or several."""

from collections.abc import Mapping

import pyarrow as pa

Text = tuple[str, ...]
"""A text, or a text and its pair: what makes two rows the same."""
Seen = Mapping[str, Mapping[Text, set[str]]]
"""Split -> text -> the labels it stands under there."""

MARKS = ("several_labels", "also_in_train", "other_label_in_train", "also_in_test")
"""Columns that hold a row's text where it offends, and null elsewhere."""


def texts(table: pa.Table) -> list[Text | None]:
    """What makes each row the same as another; None where a part is missing."""
    parts = [table[name].to_pylist() for name in ("text", "pair") if name in table.column_names]
    return [None if None in text else text for text in zip(*parts, strict=True)]


def labels_by_text(table: pa.Table) -> dict[Text, set[str]]:
    """Every text of `table` with its labels, none for a row without one."""
    found: dict[Text, set[str]] = {}
    for text, label in zip(texts(table), table["label"].to_pylist(), strict=True):
        if text is not None:
            found.setdefault(text, set()).update({label} - {None})
    return found


def marked(split: str, table: pa.Table, seen: Seen) -> pa.Table:
    """`table` with those of MARKS that `split` can have.

    Train is compared with itself, validation and test with train too, unlabelled with test.
    """
    own, marks = texts(table), {}
    keys = [text or () for text in own]  # nothing stands under (), so a missing text never offends
    if split != "unlabelled":
        marks["several_labels"] = [len(seen[split].get(key, ())) > 1 for key in keys]
    if split in ("validation", "test") and "train" in seen:
        train, labels = seen["train"], table["label"].to_pylist()
        marks["also_in_train"] = [key in train for key in keys]
        marks["other_label_in_train"] = [bool(train.get(key, set()) - {label})
                                         for key, label in zip(keys, labels, strict=True)]
    if split == "unlabelled" and "test" in seen:
        marks["also_in_test"] = [key in seen["test"] for key in keys]
    for name, offends in marks.items():
        shown = [" / ".join(key) if bad else None for key, bad in zip(keys, offends, strict=True)]
        table = table.append_column(name, pa.array(shown, pa.string()))
    return table


def labels_of(split: str, row: pa.Table, seen: Seen) -> tuple[str, ...]:
    """The label of a table's only row, then the others that its text has in `split` or train."""
    own, key = row["label"][0].as_py(), texts(row)[0] or ()
    others = seen[split].get(key, set()) | seen.get("train", {}).get(key, set())
    return (*([] if own is None else [own]), *sorted(others - {own}))
