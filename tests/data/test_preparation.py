"""The order in which a source's rows are corrected, cut, sampled and mixed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from amtss.config.schema import Data
from amtss.data import corrections
from amtss.data.corrections import Correction
from amtss.data.preparation import Prepared, prepare
from amtss.data.sources import Source, Tables
from amtss.errors import DataError

LOGS = [f"where is parcel {i}" for i in range(100)]


def table(texts: list[str], label: str | None) -> pa.Table:
    return pa.table({"id": pa.array(map(str, range(len(texts))), pa.string()), "text": texts,
                     "label": pa.array([label] * len(texts), pa.string())})


def prepared(path: Path, tables: Tables, **settings: Any) -> Prepared:
    data = Data.model_validate({"mixed": 0, "seed": 0} | settings)
    return prepare(Source(tables, None), data, "pt", path / "pt.csv")


def correct(path: Path, tables: Tables, split: str, row: int, new: str) -> None:
    """Write a correction of one row."""
    rows = tables[split]
    corrections.write(path / "pt.csv", [Correction(
        split, rows["id"][row].as_py(), corrections.keys(rows)[row],
        rows["label"][row].as_py() or "", new)])


def test_a_row_that_was_cut_off_can_be_corrected(tmp_path: Path) -> None:
    source = {"train": pa.concat_tables([table(LOGS[:60], "chat"), table(LOGS[60:], "pay")])}
    first = prepared(tmp_path, source)
    assert first.cut == ["validation", "test"]
    assert [line.split(";")[0] for line in first.remarks] == [
        f"pt: no {split} split in the source" for split in ("test", "validation")]
    correct(tmp_path, first.tables, "validation", 0, "pay" if first.tables["validation"]["label"][
        0].as_py() == "chat" else "chat")
    second = prepared(tmp_path, source)
    assert second.tables["validation"]["text"] == first.tables["validation"]["text"]
    assert second.tables["validation"]["label"] != first.tables["validation"]["label"]
    assert second.tables["train"] == first.tables["train"]


def test_rows_are_sampled_afterwards(tmp_path: Path) -> None:
    source = {"train": table(LOGS, "chat"), "validation": table(["a"], "chat"),
              "test": table(["b"], "chat")}
    correct(tmp_path, source, "train", 7, "pay")
    labels = [prepared(tmp_path, source, sample={"rows": rows}).tables["train"]["label"].to_pylist()
              for rows in (100, 10)]
    assert [labels[0].count("pay"), len(labels[1])] == [1, 10]


def test_logs_that_annotators_have_labelled_are_cut_too(tmp_path: Path) -> None:
    logs = {"unlabelled": table(LOGS, None)}
    corrections.write(tmp_path / "pt.csv", [
        Correction("unlabelled", str(row), key, "", "chat" if row % 2 else "pay")
        for row, key in enumerate(corrections.keys(logs["unlabelled"])) if row < 60])
    made = prepared(tmp_path, logs)
    assert made.cut == ["validation", "test"]
    assert {split: len(rows) for split, rows in made.tables.items()} == {
        "train": 36, "validation": 12, "test": 12, "unlabelled": 40}


def test_texts_without_labels_are_held_out_before_others_are_mixed(tmp_path: Path) -> None:
    logs = {"unlabelled": table(LOGS, None)}
    plain, mixed = (prepared(tmp_path, logs, mixed=count, sample={"rows": 5, "labelled": 3})
                    for count in (0, 200))
    assert {split: len(rows) for split, rows in plain.tables.items()} == {
        "train": 0, "validation": 10, "test": 10, "unlabelled": 80}
    assert plain.cut == plain.remarks == []
    texts = [made.tables["unlabelled"]["text"].to_pylist() for made in (plain, mixed)]
    assert len(texts[1]) == 200
    assert texts[1][:80] == texts[0]


def test_a_correction_of_another_source(tmp_path: Path) -> None:
    logs = {"unlabelled": table(LOGS, None)}
    correct(tmp_path, {"unlabelled": table(["bom dia"], None)}, "unlabelled", 0, "chat")
    with pytest.raises(DataError, match=r"pt\.csv: expected a row of unlabelled with id '0', .* "
                                        r"found no such row"):
        prepared(tmp_path, logs)
