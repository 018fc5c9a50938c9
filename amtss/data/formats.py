"""CSV, JSON and Parquet files as columns, read as they are written.

No text becomes a date or a number, and only columns that are asked for are looked at.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from amtss.errors import DataError, first_line
from amtss.texts import check_text

Columns = dict[str, Callable[[], pa.ChunkedArray] | None]
"""Name of a column -> what reads it; None where several columns have the name."""


class Split(NamedTuple):
    """The rows of a split."""

    columns: Columns
    schema: pa.Schema | None = None
    """Where the data have one. That of `datasets` knows the names of integer labels."""


SPACE = re.compile(r"\s*")
DIGITS = 18
"""An integer of so many digits fits into 64 bits; a longer one is kept as text."""


DELIMITERS = ",\t;"


def read(paths: Sequence[Path], kind: str, labels: Sequence[str],
         delimiter: str | None = None) -> Split:
    """The rows of one file, or of several with the same columns, one after another.

    Args:
        kind: csv, json (objects, one after another or in a list) or parquet.
        labels: names that the label's column may have.
        delimiter: of a CSV file; None for the one of commas, tabs and semicolons that the header
            has most of.

    Raises:
        DataError: a file is not of its kind, or not UTF-8. A column's reader raises it too.
    """
    try:
        if kind == "csv":
            return Split(_csv(paths, labels, delimiter))
        return Split(_json(paths)) if kind == "json" else _parquet(paths)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{paths[0]}: expected {kind}, found: {first_line(error)}; fix the file"
                        ) from error


def _text(path: Path) -> str:
    """The text of a file, which may be compressed if its name says so."""
    with pa.input_stream(str(path)) as stream:
        content = bytes(stream.read())
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: expected UTF-8, found {error.reason} at byte "
                        f"{error.start}; save it as UTF-8") from error


def _parquet(paths: Sequence[Path]) -> Split:
    from pyarrow import parquet

    schema = parquet.read_schema(paths[0])
    names = schema.names

    def column(name: str) -> pa.ChunkedArray:
        return parquet.read_table([*map(str, paths)], columns=[name], partitioning=None)[name]

    return Split({name: partial(column, name) if names.count(name) == 1 else None
                  for name in names}, schema)


def _csv(paths: Sequence[Path], labels: Sequence[str], delimiter: str | None) -> Columns:
    csv.field_size_limit(2**31 - 1)  # a column that nobody asks for may be long
    rows: list[list[str]] = []
    names: list[str] = []
    for path in paths:
        text = _text(path)
        divided = delimiter or _delimiter(text)
        header, *lines = _records(path, text, divided)
        if names and header[1] != names:
            raise DataError(f"{path}: expected the columns of {paths[0]}, found "
                            f"{', '.join(header[1])}; give the files the same columns")
        names = header[1]
        _check(path, names, lines, labels, divided)
        rows += [row for _, row in lines]

    def column(index: int) -> pa.ChunkedArray:
        return pa.chunked_array([[row[index] for row in rows]], pa.string())

    return {name: partial(column, names.index(name)) if names.count(name) == 1 else None
            for name in names}


Record = tuple[range, list[str]]
"""The lines of a file that hold a row, and its fields."""


def _delimiter(text: str) -> str:
    """What divides the columns: what the header has most of, outside of quotes."""
    header = re.sub('"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    return max(DELIMITERS, key=header.count)


def _records(path: Path, text: str, delimiter: str, quotes: bool = True) -> list[Record]:
    """The header and the rows, without blank lines.

    Tabs hardly ever stand in texts, so that many programs write them between texts as they are: if
    the quotes of such a file do not pair up, they are part of the texts.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True,
                        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
    records: list[Record] = []
    line = 1
    try:
        for row in reader:
            if row:
                records.append((range(line, reader.line_num + 1), row))
            line = reader.line_num + 1
    except csv.Error as error:
        if delimiter == "\t" and quotes:
            return _records(path, text, delimiter, quotes=False)
        raise DataError(f"{path}:{line}: expected CSV, found a row up to line {reader.line_num} "
                        f"with a stray quote: {error}; double quotes within a text") from error
    if not records:
        raise DataError(f"{path}: expected a header and rows, found: Empty CSV file; fix the file")
    return records


def _check(path: Path, names: Sequence[str], records: Sequence[Record], labels: Sequence[str],
           delimiter: str) -> None:
    """Refuse rows with too many or too few fields, and rows within a text.

    Raises:
        DataError: with the line.
    """
    for lines, row in records:
        if len(row) != len(names):
            raise DataError(f"{path}:{lines.start}: expected {len(names)} columns, found "
                            f"{len(row)}; put texts with a {delimiter!r} in quotes")
    at = next((names.index(name) for name in labels if name in names), None)
    if at is None:
        return
    known = {row[at] for lines, row in records if len(lines) == 1} - {""}
    for lines, row in records:
        if len(lines) > 1 and any(_holds_rows(row, column, at, known, delimiter)
                                  for column in range(len(row))):
            raise DataError(f"{path}:{lines.start}: expected a row, found a text in quotes up to "
                            f"line {lines[-1]} that holds whole rows; remove the stray quote, or "
                            "double it")


def _holds_rows(row: Sequence[str], column: int, at: int, known: set[str], delimiter: str) -> bool:
    """Whether every line of a field could be a row with a known label, or a part of one.

    A stray quote opens a text that ends at another stray quote, some rows further on. The first
    line then has the columns from `column` on, the last has those up to it.
    """
    first, *others = row[column].splitlines() or [""]
    if not others:
        return False
    parts = [(first, column, len(row)), *((line, 0, len(row)) for line in others[:-1]),
             (others[-1], 0, column + 1)]
    found = []
    for line, start, end in parts:
        if start <= at < end and end - start > 1:
            fields = next(csv.reader([line], delimiter=delimiter), [])
            found.append(len(fields) == end - start and fields[at - start] in known)
    return bool(found) and all(found)


def _json(paths: Sequence[Path]) -> Columns:
    objects = [found for path in paths for found in _objects(path)]
    if not objects:
        raise DataError(f"{paths[0]}: expected JSON objects, found: Empty JSON file; fix the file")
    return {name: partial(_values, name, objects)
            for name in dict.fromkeys(name for _, row in objects for name in row)}


Object = tuple[str, dict[str, Any]]
"""Where an object stands, and what it holds."""


def _objects(path: Path) -> Iterator[Object]:
    """The objects of a file, one after another or in one list."""
    text, line, end = _text(path), 1, 0
    decoder = json.JSONDecoder(parse_float=str, parse_int=_integer)
    try:
        start = SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text.startswith("[", start):
            for number, row in enumerate(decoder.decode(text), start=1):
                yield _object(f"{path}: object {number}", row)
            return
        while start < len(text):
            line += text.count("\n", end, start)
            row, end = decoder.raw_decode(text, start)
            yield _object(f"{path}:{line}", row)
            line += text.count("\n", start, end)
            start = SPACE.match(text, end).end()  # type: ignore[union-attr]
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: expected JSON, found: {error.msg} at character "
                        f"{error.colno}; fix the file") from error
    except RecursionError as error:
        raise DataError(f"{path}:{line}: expected JSON, found lists or objects nested too deeply; "
                        "fix the file") from error


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS else digits


def _object(where: str, row: Any) -> Object:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {_kind(row)}; fix the file")
    return where, row


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "true or false",
            type(None): "null"}.get(type(value), "a number")


def _values(name: str, objects: Sequence[Object]) -> pa.ChunkedArray:
    """A column: integers if it has no other values, or else text; null where it is missing.

    Raises:
        DataError: a value is a list or an object, or not Unicode text.
    """
    values = [row.get(name) for _, row in objects]
    if {type(value) for value in values} <= {int, type(None)}:
        return pa.chunked_array([values], pa.int64())
    texts = [value if value is None else _as_text(value, where, name)
             for (where, _), value in zip(objects, values, strict=True)]
    return pa.chunked_array([texts], pa.string())


def _as_text(value: Any, where: str, name: str) -> str:
    if isinstance(value, dict | list):
        raise DataError(f"{where}: expected strings in the column {name!r}, found {_kind(value)}; "
                        "name another column in data.columns or fix the file")
    if not isinstance(value, str):
        return json.dumps(value)  # a number, true or false
    check_text(f"{where}: column {name!r}", value)
    return value
