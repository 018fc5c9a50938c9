from pathlib import Path

import pyarrow as pa
import pytest

from amtss.data import corrections
from amtss.data.corrections import Correction
from amtss.errors import DataError

PATH = Path("corrections/en.csv")


def rows(*cells: tuple[str, str, str | None]) -> pa.Table:
    names, texts, labels = zip(*cells, strict=True)
    return pa.table({"id": pa.array(names, pa.string()), "text": pa.array(texts, pa.string()),
                     "label": pa.array(labels, pa.string())})


TABLES = {"train": rows(("1", "hello", "chat"), ("2", "pay", "chat")),
          "unlabelled": rows(("1", "a parcel", None), ("2", "=1+1", None))}


def correction(split: str, row: int, old: str, new: str) -> Correction:
    table = TABLES[split]
    return Correction(split, table["id"][row].as_py(), corrections.keys(table)[row], old, new)


def labels(table: pa.Table) -> list[tuple[str, str | None]]:
    return list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_labels_are_corrected_and_logs_become_training_rows(tmp_path: Path) -> None:
    path = tmp_path / "en.csv"
    corrections.write(path, [correction("unlabelled", 1, "", "ship"),
                             correction("train", 1, "chat", "pay")])
    corrected = corrections.correct(TABLES, path)
    assert labels(corrected["train"]) == [("hello", "chat"), ("pay", "pay"), ("=1+1", "ship")]
    assert labels(corrected["unlabelled"]) == [("a parcel", None)]
    assert corrected["train"].schema == TABLES["train"].schema
    assert labels(TABLES["train"])[1] == ("pay", "chat")


def test_without_corrections_nothing_changes(tmp_path: Path) -> None:
    assert corrections.correct(TABLES, tmp_path / "none.csv") is TABLES


def test_logs_alone_make_a_train_split() -> None:
    corrected = corrections.corrected({"unlabelled": TABLES["unlabelled"]},
                                      [correction("unlabelled", 0, "", "ship")], PATH)
    assert labels(corrected["train"]) == [("a parcel", "ship")]


def test_a_label_that_the_source_has_corrected_too_is_left_alone() -> None:
    corrected = corrections.corrected(TABLES, [correction("train", 0, "pay", "chat")], PATH)
    assert labels(corrected["train"]) == labels(TABLES["train"])


def test_the_file_does_not_depend_on_the_order(tmp_path: Path) -> None:
    both = [correction("train", 0, "chat", "pay"), correction("train", 1, "chat", "pay")]
    corrections.write(tmp_path / "a", both)
    corrections.write(tmp_path / "b", both[::-1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert corrections.read(tmp_path / "b") == sorted(both)


@pytest.mark.parametrize(("changed", "problem"), [
    (correction("train", 0, "pay", "ship"), "the label 'pay', found the label 'chat'"),
    (correction("train", 0, "chat", "pay")._replace(key="k0"), "found no such row"),
    (correction("unlabelled", 0, "", "pay")._replace(key="k0"), "and no label, found no such row"),
    (correction("train", 0, "chat", "pay")._replace(split="test"), "found no split test")])
def test_a_source_that_has_changed_is_noticed(changed: Correction, problem: str) -> None:
    with pytest.raises(DataError, match=f"corrections/en.csv: expected a row of .*{problem}"):
        corrections.corrected(TABLES, [changed], PATH)


def test_keys_tell_rows_apart() -> None:
    table = rows(("1", "a", "x"), ("2", "a", "x"), ("1", "b", "x"), ("1", "a", "y"))
    first, second, third, fourth = corrections.keys(table)
    assert len({first, second, third}) == 3
    assert first == fourth
    pairs = table.append_column("pair", pa.array(["p", "p", "p", "q"]))
    assert len(set(corrections.keys(pairs))) == 4
