"""Texts to look at: rows of log files by language, or held-out rows of a corpus.

Shapes: N texts of one language.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.config.schema import Columns
from amtss.data import formats
from amtss.data.corpus import Corpus
from amtss.data.sources import KINDS
from amtss.errors import DataError, first_line
from amtss.inference.predictor import AUTO
from amtss.table import one_line
from amtss.texts import check_text

HELD_OUT = ("validation", "test")
"""Splits whose rows the student has not learnt; of learnt ones it is too sure."""
LANGUAGE = ("lang", "language")
"""Columns that may name a row's language."""


@dataclass(frozen=True)
class Texts:
    """Texts of one language. *Shapes:* (N,) each"""

    texts: list[str]
    pairs: list[str] | None = None
    of: int = 0
    """From how many texts they were drawn; 0 where these are all."""
    recognised: int = 0
    """Of how many texts, before any were drawn, the language was recognised."""

    def drawn(self, rows: int, seed: int) -> "Texts":
        """At most `rows` of the texts, in order; the same for the same seed."""
        count = len(self.texts)
        if count <= rows:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(count, rows, replace=False)).tolist()
        return Texts([self.texts[row] for row in chosen],
                     self.pairs and [self.pairs[row] for row in chosen], count, self.recognised)

    def joined(self, others: "Texts", rows: NDArray[np.int64]) -> "Texts":
        """These texts, then those `rows` of `others` that were recognised as of their language."""
        return Texts([*self.texts, *(others.texts[row] for row in rows)],
                     None if self.pairs is None or others.pairs is None else
                     [*self.pairs, *(others.pairs[row] for row in rows)], recognised=len(rows))


def held_out(corpus: Corpus) -> Texts:
    """The texts of a language's validation and test rows.

    Raises:
        DataError: it has no such rows.
    """
    parts = [corpus.texts(split) for split in HELD_OUT if split in corpus.splits]
    texts = [text for firsts, _ in parts for text in firsts]
    if not texts:
        raise DataError(f"{corpus.language}: expected held-out rows to compare with, found none; "
                        "name earlier logs by --against")
    pairs = [pair for _, seconds in parts for pair in seconds or ()]
    return Texts(texts, pairs or None)


def read(paths: Sequence[Path], columns: Columns, language: str, served: Sequence[str]
         ) -> dict[str, Texts]:
    """Texts by language, of CSV, JSONL or Parquet files with columns as in the training data.

    Args:
        columns: the training data's; the text's column may also be called `text`, the pair's
            `pair`. A column `lang` or `language` names a row's language.
        language: of rows that name none; `auto` where it is to be recognised.
        served: the student's languages.

    Returns: the texts of each language, and under `auto` those of unknown language.

    Raises:
        DataError: a file cannot be read, or a row has no text or no such language.
    """
    texts: dict[str, list[str]] = {}
    pairs: dict[str, list[str]] = {}
    for path in paths:
        for number, (code, text, pair) in enumerate(_rows(path, columns), start=1):
            where = f"{path}: row {number}"
            code = code or language
            if code not in (AUTO, *served):
                raise DataError(f"{where}: expected a language of {', '.join(served)}, found "
                                f"{one_line(code)[:80] or 'none'}; name it in the column `lang` or "
                                "by --lang")
            for name, value in (("text", text), ("pair", pair)):
                if value is None:
                    raise DataError(f"{where}: expected a {name}, found none; fill it in or leave "
                                    "the row out")
                check_text(f"{where}: {name}", value)
            texts.setdefault(code, []).append(text or "")
            pairs.setdefault(code, []).append(pair or "")
    return {code: Texts(texts[code], pairs[code] if columns.pair else None)
            for code in (*served, AUTO) if code in texts}


def _rows(path: Path, columns: Columns) -> Iterator[tuple[str | None, str | None, str | None]]:
    """Language, text and second text of each row; the latter is empty where there are no pairs."""
    if not path.is_file():
        raise DataError(f"{path}: expected a file of logs, found none; correct its name")
    if path.suffix not in KINDS:
        raise DataError(f"{path}: expected a name that ends in {', '.join(KINDS)}, found "
                        f"{path.suffix or 'no suffix'!r}; convert the file")
    found = formats.read([path], KINDS[path.suffix], ()).columns
    texts = _column(path, found, (*columns.text, "text"))
    if texts is None:
        raise DataError(f"{path}: expected a column {' or '.join(map(repr, columns.text))} with "
                        f"the texts, found {one_line(', '.join(found))[:200] or 'none'}; rename it")
    codes = _column(path, found, LANGUAGE) or pa.nulls(len(texts), pa.string())
    pairs = (_column(path, found, (*columns.pair, "pair")) or pa.nulls(len(texts), pa.string())
             if columns.pair else pa.array([""] * len(texts)))
    yield from zip(*(_values(path, column) for column in (codes, texts, pairs)), strict=True)


def _column(path: Path, found: formats.Columns, names: Sequence[str]) -> pa.ChunkedArray | None:
    """The first of the columns `names` that there is, as text."""
    name = next((name for name in names if name in found), None)
    if name is None:
        return None
    read = found[name]
    if read is None:
        raise DataError(f"{path}: expected one column {name!r}, found several; rename all but one")
    column = read()
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise DataError(f"{path}: expected strings in the column {name!r}, found {column.type} "
                        f"({first_line(error)}); convert it") from error


def _values(path: Path, column: pa.ChunkedArray) -> Iterator[str | None]:
    for number, value in enumerate(column, start=1):
        try:
            yield value.as_py()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: row {number}: expected UTF-8, found other bytes; save it as "
                            "UTF-8") from error
