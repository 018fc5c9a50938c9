"""Labels that annotators have corrected or given, which the source keeps as they were.

`corrections/LANG.csv` has a line for each row. It names the row by its split, its id and a key of
its id and texts, and says which label it had, so that a source that has changed since is noticed.
Rows without a label, of the unlabelled split, become training rows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import compute

from amtss.data import sheets
from amtss.data.sources import Tables
from amtss.errors import DataError
from amtss.files import fingerprint, write_text


class Correction(NamedTuple):
    """One row's new label."""

    split: str
    """The source's split."""
    id: str
    """For people; rows may share it."""
    key: str
    """Of the row's id and texts; see `keys`."""
    old: str
    """The label in the source, empty for none."""
    new: str


def keys(table: pa.Table) -> list[str]:
    """A key for each row of its id and texts, which no spreadsheet takes for a number."""
    columns = [table[name].to_pylist() for name in ("id", "text", "pair")
               if name in table.column_names]
    return [f"k{fingerprint(list(row))}" for row in zip(*columns, strict=True)]


def read(path: Path) -> list[Correction]:
    """The corrections of a language; none if there is no file.

    Raises:
        DataError: the file is no such CSV.
    """
    if not path.exists():
        return []
    fix = "restore it from git, or remove it"
    rows = sheets.read(path, Correction._fields, fix)
    return [Correction(**{name: row[name] for name in Correction._fields}) for row in rows]


def write(path: Path, corrections: Sequence[Correction]) -> None:
    """Write a language's corrections, in an order of their own so that git shows what is new."""
    write_text(path, sheets.text(Correction._fields, sorted(corrections)))


def correct(tables: Tables, path: Path) -> Tables:
    """The source's tables with the corrections in `path`, if there is such a file.

    Raises:
        DataError: the file is no such CSV, or a correction does not fit the source any more.
    """
    return corrected(tables, read(path), path)


def corrected(tables: Tables, corrections: Sequence[Correction], path: Path) -> Tables:
    """The source's tables with these corrections; labelled logs follow the training rows.

    A row that has the new label in the source already is right as it is.

    Args:
        path: of the corrections, for the message of an error.

    Raises:
        DataError: a correction does not fit the source any more.
    """
    if not corrections:
        return tables
    by_split: dict[str, dict[str, Correction]] = defaultdict(dict)
    for correction in corrections:
        by_split[correction.split][correction.key] = correction
    result = dict(tables)
    for split, by_key in by_split.items():
        if split not in tables:
            raise _misfit(path, next(iter(by_key.values())), f"no split {split}")
        result[split] = _corrected(tables[split], by_key, path)
    if "unlabelled" in by_split:
        logs = result["unlabelled"]
        labelled = compute.is_valid(logs["label"])
        result["unlabelled"] = logs.filter(compute.invert(labelled))
        train = [result["train"]] if "train" in result else []
        result["train"] = pa.concat_tables([*train, logs.filter(labelled)])
    return result


def _corrected(table: pa.Table, by_key: Mapping[str, Correction], path: Path) -> pa.Table:
    labels: list[str | None] = table["label"].to_pylist()
    fitting: set[str] = set()
    found: dict[str, str] = {}
    for row, key in enumerate(keys(table)):
        if (correction := by_key.get(key)) is None:
            continue
        found[key] = labels[row] or ""
        if found[key] in (correction.old, correction.new):
            fitting.add(key)
            labels[row] = correction.new
    for key, correction in by_key.items():
        if key not in fitting:
            raise _misfit(path, correction,
                          f"the label {found[key]!r}" if key in found else "no such row")
    at = table.column_names.index("label")
    return table.set_column(at, "label", pa.array(labels, pa.string()))


def _misfit(path: Path, correction: Correction, found: str) -> DataError:
    label = f"the label {correction.old!r}" if correction.old else "no label"
    return DataError(f"{path}: expected a row of {correction.split} with id {correction.id!r}, the "
                     f"text that was corrected and {label}, found {found}; if the source has "
                     "changed on purpose, remove the row's line")
