"""Rows of log files by language, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from amtss.config.schema import Columns
from amtss.data.corpus import Corpus
from amtss.drift import logs
from amtss.drift.logs import Texts
from amtss.errors import DataError

SERVED = ("en", "fr")
ROWS = [{"text": "hello, robot", "lang": "en"}, {"text": "bonjour", "lang": "fr"},
        {"text": "", "lang": "en"}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(*paths: Path, language: str = "", **columns: Any) -> dict[str, Texts]:
    return logs.read(paths, Columns(**columns), language, SERVED)


class TestRead:
    @pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.json", "log.parquet"])
    def test_every_format(self, tmp_path: Path, name: str) -> None:
        found = read(write(tmp_path / name, ROWS))
        assert found == {"en": Texts(["hello, robot", ""]), "fr": Texts(["bonjour"])}

    def test_several_files_with_columns_of_their_own(self, tmp_path: Path) -> None:
        first = write(tmp_path / "1.csv", [{"question": "a", "language": "fr", "text": "no"}])
        second = write(tmp_path / "2.jsonl", [{"text": "b"}])
        assert read(first, second, language="en", text=("question",)) == {
            "en": Texts(["b"]), "fr": Texts(["a"])}

    def test_a_row_without_a_language_has_the_one_given(self, tmp_path: Path) -> None:
        path = write(tmp_path / "log.csv", [{"text": "a", "lang": "fr"}, {"text": "b", "lang": ""}])
        assert read(path, language="en") == {"en": Texts(["b"]), "fr": Texts(["a"])}

    def test_pairs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "log.jsonl", [{"premise": "a", "hypothesis": "b", "lang": "en"}])
        assert read(path, text=("premise",), pair=("hypothesis",)) == {"en": Texts(["a"], ["b"])}

    @pytest.mark.parametrize(("rows", "says"), [
        ([ROWS[0], {"text": None, "lang": "en"}], "row 2: expected a text, found none"),
        ([{"text": "a", "lang": None}], "row 1: expected a language of en, fr, found none"),
        ([{"text": "a", "lang": "de"}], "row 1: expected a language of en, fr, found de"),
        ([{"text": "a", "lang": "en\n"}, {"text": "a", "lang": "\u202e"}],
         r"row 1: expected a language .* found en;"),
        ([{"text": "\ud800", "lang": "en"}], "log.jsonl:1: .* half of a surrogate pair"),
        ([{"query": "a", "lang": "en"}], "a column 'text' with the texts, found query, lang"),
        ([{"text": ["a"], "lang": "en"}], "expected strings in the column 'text', found a list")])
    def test_bad_rows_are_named(self, tmp_path: Path, rows: list[dict[str, Any]], says: str
                                ) -> None:
        path = write(tmp_path / "log.jsonl", rows)
        with pytest.raises(DataError, match=says) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))

    def test_bytes_that_are_no_text_are_named(self, tmp_path: Path) -> None:
        texts = pa.array([b"a", b"\xff"]).view(pa.string())
        parquet.write_table(pa.table({"text": texts}), tmp_path / "log.parquet")
        with pytest.raises(DataError, match="row 2: expected UTF-8"):
            read(tmp_path / "log.parquet", language="en")

    def test_two_columns_of_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text("text,text\na,b\n")
        with pytest.raises(DataError, match="expected one column 'text', found several"):
            read(tmp_path / "log.csv")

    def test_lists_in_parquet(self, tmp_path: Path) -> None:
        path = write(tmp_path / "log.parquet", [{"text": ["a"], "lang": "en"}])
        with pytest.raises(DataError, match="expected strings in the column 'text', found list"):
            read(path)

    @pytest.mark.parametrize(("name", "says"), [("log.txt", "ends in .csv, .tsv, .jsonl"),
                                                ("none.csv", "a file of logs, found none")])
    def test_files_that_cannot_be_read(self, tmp_path: Path, name: str, says: str) -> None:
        (tmp_path / "log.txt").touch()
        with pytest.raises(DataError, match=says):
            read(tmp_path / name)


class TestDrawn:
    def test_few_texts_are_all_taken(self) -> None:
        texts = Texts(["a", "b"])
        assert texts.drawn(2, seed=0) is texts

    def test_many_are_drawn_in_order_and_with_their_pairs(self) -> None:
        texts = Texts([f"{number:03}" for number in range(100)],
                      [str(number) for number in range(100)])
        drawn = texts.drawn(10, seed=3)
        assert drawn == texts.drawn(10, seed=3) != texts.drawn(10, seed=4)
        assert drawn.of == 100
        assert drawn.texts == sorted(set(drawn.texts))
        assert len(drawn.texts) == 10
        assert drawn.pairs == [str(int(text)) for text in drawn.texts]


class TestHeldOut:
    def test_are_validation_and_test(self) -> None:
        corpus = Corpus("en", {split: pa.table({"text": [split], "pair": [split[0]]})
                               for split in ("train", "validation", "test", "unlabelled")}, "", ())
        assert logs.held_out(corpus) == Texts(["validation", "test"], ["v", "t"])

    def test_there_may_be_none(self) -> None:
        with pytest.raises(DataError, match=r"en: expected held-out rows .* --against"):
            logs.held_out(Corpus("en", {"train": pa.table({"text": ["a"]})}, "", ()))
