from collections import Counter

import pyarrow as pa
import pytest

from amtss.config.schema import Sample
from amtss.data.appendix_a import COUNTS
from amtss.data.sampling import sample
from amtss.data.sources import Tables
from amtss.errors import DataError

LABELS = [f"label{i}" for i in range(5)]


def tables(rows: int = 1000, logs: int = 0) -> Tables:
    """Splits of `rows`, half as many and half as many; label0 is the most frequent."""
    splits = {}
    for split, size in (("train", rows), ("validation", rows // 2), ("test", rows // 2)):
        labels = [LABELS[max(0, i % 15 - 10)] for i in range(size)]
        splits[split] = pa.table({"id": [f"{split}{i}" for i in range(size)],
                                "text": [f"{split} {i}" for i in range(size)], "label": labels})
    if logs:
        splits["unlabelled"] = pa.table({"id": [f"log{i}" for i in range(logs)],
                                       "text": [f"log {i}" for i in range(logs)],
                                       "label": pa.nulls(logs, pa.string())})
    return splits


def ids(table: pa.Table) -> list[str]:
    found: list[str] = table["id"].to_pylist()
    return found


def test_the_defaults_keep_everything() -> None:
    splits = tables(logs=7)
    assert sample(splits, Sample(), "en", 0) == splits


def test_rows_cut_all_splits_alike_and_in_order() -> None:
    splits = sample(tables(logs=7), Sample(rows=100), "en", 0)
    assert {split: len(table) for split, table in splits.items()} == {
        "train": 100, "validation": 50, "test": 50, "unlabelled": 7}
    at = [int(row.removeprefix("train")) for row in ids(splits["train"])]
    assert at == sorted(at)
    assert len(sample(tables(), Sample(rows=9999), "en", 0)["train"]) == 1000


@pytest.mark.parametrize("language", ["ar", "en", "fr"])
def test_skew_follows_appendix_a_by_rank(language: str) -> None:
    whole = tables(30_000)
    splits = sample(whole, Sample(skew="appendix-a", rows=300), language, 0)
    counted = Counter(whole["train"]["label"].to_pylist())
    ranked = sorted(counted, key=lambda label: (-counted[label], label))
    column = COUNTS[language][: len(ranked)]
    for split, rows in (("train", 300), ("validation", 150), ("test", 150)):
        found = Counter(splits[split]["label"].to_pylist())
        for label, count in zip(ranked, column, strict=True):
            assert found[label] == round(rows * count / sum(column))


def test_a_class_that_appendix_a_lacks_is_left_out() -> None:
    assert COUNTS["en"][1] == 0
    splits = sample(tables(), Sample(skew="appendix-a", rows=100), "en", 0)
    assert len(set(splits["train"]["label"].to_pylist())) == 4


def test_skew_without_a_column() -> None:
    with pytest.raises(DataError, match=r"data\.sample\.skew: .* found 'de'; set it to null"):
        sample(tables(), Sample(skew="appendix-a"), "de", 0)


def test_no_rows_to_sample() -> None:
    with pytest.raises(DataError, match="en/train: expected rows, found none"):
        sample({split: table.slice(0, 0) for split, table in tables().items()}, Sample(), "en", 0)


def test_seeded_by_language_and_seed() -> None:
    drawn = {(language, seed): ids(sample(tables(), Sample(rows=50), language, seed)["train"])
             for language in ("en", "fr") for seed in (0, 1)}
    assert drawn["en", 0] == ids(sample(tables(), Sample(rows=50), "en", 0)["train"])
    assert len({tuple(rows) for rows in drawn.values()}) == 4


def test_labelled_splits_the_train_rows() -> None:
    whole = tables(logs=7)
    splits = sample(whole, Sample(labelled=200), "en", 0)
    labelled, rest = ids(splits["train"]), ids(splits["unlabelled"])
    assert len(labelled) == 200
    assert rest[:7] == [f"log{i}" for i in range(7)]
    assert sorted(labelled + rest[7:]) == sorted(ids(whole["train"]))
    assert set(splits["unlabelled"]["label"].to_pylist()) == {None}
    assert None not in splits["train"]["label"].to_pylist()
    assert splits["test"] == whole["test"]


def test_all_rows_labelled_leaves_no_logs() -> None:
    splits = sample(tables(20), Sample(labelled=500), "en", 0)
    assert (len(splits["train"]), len(splits["unlabelled"])) == (20, 0)
