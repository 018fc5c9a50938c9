import pyarrow as pa
import pytest

from amtss.data.holding_out import FEWEST, hold_out
from amtss.data.sources import Tables
from amtss.errors import DataError


def table(texts: list[str], label: str | None = None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(texts))], "text": texts,
                     "label": pa.array([label] * len(texts), pa.string())})


LOGS = [f"where is parcel {i}" for i in range(100)]


def texts(tables: Tables, split: str) -> list[str]:
    found: list[str] = tables[split]["text"].to_pylist()
    return found


def test_a_tenth_is_kept_for_validation_and_a_tenth_for_test() -> None:
    held_out = hold_out({"unlabelled": table(LOGS)}, "pt", 0)
    assert {split: len(rows) for split, rows in held_out.items()} == {
        "train": 0, "validation": 10, "test": 10, "unlabelled": 80}
    kept = [texts(held_out, split) for split in ("validation", "test", "unlabelled")]
    assert sorted(text for rows in kept for text in rows) == sorted(LOGS)
    assert all(rows == sorted(rows, key=LOGS.index) for rows in kept)
    assert {rows.schema for rows in held_out.values()} == {table(LOGS).schema}


@pytest.mark.parametrize("given", ["validation", "test"])
def test_what_the_source_has_stays(given: str) -> None:
    own = table(["bom dia"] * 3, "chat")
    held_out = hold_out({given: own, "unlabelled": table(LOGS)}, "pt", 0)
    assert held_out[given].equals(own)
    assert len(held_out["unlabelled"]) == 90


def test_copies_of_a_text_stay_together() -> None:
    logs = [text for i, text in enumerate(LOGS) for text in [text, text.upper()][:1 + i % 2]]
    held_out = hold_out({"unlabelled": table(logs)}, "pt", 0)
    kept = [{text.lower() for text in texts(held_out, split)}
            for split in ("validation", "test", "unlabelled")]
    assert [len(rows) for rows in kept] == [10, 10, 80]
    assert sum(len(rows) for rows in held_out.values()) == len(logs)


def test_language_and_seed_choose() -> None:
    logs: Tables = {"unlabelled": table(LOGS)}
    first = hold_out(logs, "pt", 0)
    assert hold_out(logs, "pt", 0) == first
    assert hold_out(logs, "pt", 1)["test"] != first["test"]
    assert hold_out(logs, "pl", 0)["test"] != first["test"]


def test_too_few_to_keep_any() -> None:
    with pytest.raises(DataError, match=r"^pt/unlabelled: expected at least 20 different texts, .*"
                                        r"found 19; add texts"):
        hold_out({"unlabelled": table(LOGS[:FEWEST - 1] * 3)}, "pt", 0)
