"""The CSV files that annotators get: a line for each row, those that matter most first."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from amtss.data import corrections, sheets


class Line(NamedTuple):
    """What a line says besides the row itself."""

    row: int
    """In its table."""
    suggested: str = ""
    """The label that the teachers think likeliest."""
    score: float | None = None
    reason: str = ""
    group: str = ""
    """A number that it shares with its near-duplicates; empty where it stands alone."""


def text(table: pa.Table, language: str, split: str, lines: Sequence[Line],
         columns: Sequence[str]) -> str:
    """The sheet as CSV.

    Args:
        table: the split.
        columns: names of the table's columns and of a line's parts, and `lang`, `split`, `key` and
            any that annotators fill in. `pair` is left out where there are none.
    """
    rows = table.take(pa.array([line.row for line in lines], pa.int64()))
    names = [name for name in columns if name != "pair" or "pair" in table.column_names]
    cells = []
    for row, key, line in zip(rows.to_pylist(), corrections.keys(rows), lines, strict=True):
        known = {**row, **line._asdict(), "lang": language, "split": split, "key": key,
                 "score": "" if line.score is None else f"{line.score:.4f}"}
        cells.append([str(known.get(name) or "") for name in names])
    return sheets.text(names, cells)
