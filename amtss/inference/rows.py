"""Files of rows, Parquet or JSONL: read a chunk at a time, and written with answers beside them."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from pyarrow import parquet

from amtss.errors import DataError, first_line
from amtss.inference.jsonl import encodable, parse
from amtss.table import one_line

GROUP = 50
"""Parts in a row group of the Parquet file that they are joined to."""
Answer = Mapping[str, Any]


class Chunk(NamedTuple):
    """Rows that follow each other in a file."""

    rows: list[dict[str, Any]]
    """What questions are read from: of JSONL all keys, of Parquet the columns asked for."""
    where: list[str]
    """Where each row stands, for an error's message."""
    table: pa.Table | None = None
    """The rows of a Parquet file as they are."""


class Format(Protocol):
    """A format of files."""

    def read(self, path: Path, columns: Sequence[str], size: int) -> Iterator[Chunk]:
        """Chunks of at most `size` rows.

        Args:
            columns: those to read questions from; the first is the text's.

        Raises:
            DataError: the file is not of this format, or has no column with the text.
        """

    def write(self, path: Path, chunk: Chunk, answers: Sequence[Answer], schema: pa.Schema) -> None:
        """Write the chunk's rows, each with the columns `schema` of its answer behind its own."""

    def join(self, parts: Sequence[Path], to: Path) -> None:
        """Write the rows of all parts, in order, to one file."""


class Jsonl:
    """A JSON object per line; blank lines do not count."""

    def read(self, path: Path, columns: Sequence[str], size: int) -> Iterator[Chunk]:
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise DataError(f"{path}: expected a file, found: {error.strerror}; correct --data"
                            ) from error
        with file:
            lines = ((line, f"{path}:{number}") for number, line in enumerate(file, start=1)
                     if not line.isspace())
            while some := list(islice(lines, size)):
                yield Chunk([_object(*line) for line in some], [where for _, where in some])

    def write(self, path: Path, chunk: Chunk, answers: Sequence[Answer], schema: pa.Schema) -> None:
        with open(path, "w", encoding="utf-8") as file:
            for row, answer in zip(chunk.rows, answers, strict=True):
                line = json.dumps({**row, **answer}, ensure_ascii=False)
                file.write(encodable(line, "utf-8") + "\n")

    def join(self, parts: Sequence[Path], to: Path) -> None:
        with open(to, "wb") as file:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, file)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        return parse(line.decode("utf-8-sig").strip(), where)
    except UnicodeDecodeError:
        raise DataError(f"{where}: expected UTF-8, found other bytes; convert the file to UTF-8"
                        ) from None


class Parquet:
    """Apache Parquet; columns keep their types."""

    def read(self, path: Path, columns: Sequence[str], size: int) -> Iterator[Chunk]:
        try:
            with parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                if columns[0] not in names:
                    raise DataError(f"{path}: expected a column {columns[0]!r}, found "
                                    f"{one_line(', '.join(names))}; name the one with the texts in "
                                    "--text-column")
                tables = (pa.Table.from_batches([batch]) for batch in file.iter_batches(size))
                row = 1
                for table in tables if file.metadata.num_rows else [file.read()]:
                    asked = table.select([name for name in columns if name in names])
                    yield Chunk(asked.to_pylist(),
                                [f"{path}: row {row + at}" for at in range(len(table))], table)
                    row += len(table)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{path}: expected Parquet, found: {first_line(error)}; fix the file"
                            ) from error

    def write(self, path: Path, chunk: Chunk, answers: Sequence[Answer], schema: pa.Schema) -> None:
        assert chunk.table is not None
        table = chunk.table
        for field in schema:
            values = pa.array([answer[field.name] for answer in answers], field.type)
            at = table.column_names.index(field.name) if field.name in table.column_names else None
            table = (table.append_column(field, values) if at is None else
                     table.set_column(at, field, values))
        parquet.write_table(table, path)

    def join(self, parts: Sequence[Path], to: Path) -> None:
        with parquet.ParquetWriter(to, parquet.read_schema(parts[0])) as writer:
            for first in range(0, len(parts), GROUP):
                writer.write_table(pa.concat_tables(
                    parquet.read_table(part, partitioning=None)
                    for part in parts[first:first + GROUP]))


FORMATS: dict[str, Format] = {".jsonl": Jsonl(), ".parquet": Parquet()}
"""By the suffix of a file's name."""
