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
    """Splits of `rows`, half as many and half as many; label0 is commonest."""
    made = {}
    for split, size in (("train", rows), ("validation", rows // 2), ("test", rows // 2)):
        labels = [LABELS[max(0, i % 15 - 10)] for i in range(size)]
        made[split] = pa.table({"id": [f"{split}{i}" for i in range(size)],
                                "text": [f"{split} {i}" for i in range(size)], "label": labels})
    if logs:
        made["unlabelled"] = pa.table({"id": [f"log{i}" for i in range(logs)],
                                       "text": [f"log {i}" for i in range(logs)],
                                       "label": pa.nulls(logs, pa.string())})
    return made


def ids(table: pa.Table) -> list[str]:
    found: list[str] = table["id"].to_pylist()
    return found


def test_nothing_asked_for_keeps_everything() -> None:
    made = tables(logs=7)
    assert sample(made, Sample(), "en", 0) == made


def test_rows_cut_all_splits_alike_and_in_order() -> None:
    made = sample(tables(logs=7), Sample(rows=100), "en", 0)
    assert {split: len(table) for split, table in made.items()} == {
        "train": 100, "validation": 50, "test": 50, "unlabelled": 7}
    at = [int(each.removeprefix("train")) for each in ids(made["train"])]
    assert at == sorted(at)
    assert len(sample(tables(), Sample(rows=9999), "en", 0)["train"]) == 1000


@pytest.mark.parametrize("language", ["ar", "en", "fr"])
def test_skew_follows_appendix_a_by_rank(language: str) -> None:
    whole = tables(30_000)
    made = sample(whole, Sample(skew="appendix-a", rows=300), language, 0)
    counted = Counter(whole["train"]["label"].to_pylist())
    ranked = sorted(counted, key=lambda label: (-counted[label], label))
    column = COUNTS[language][: len(ranked)]
    for split, rows in (("train", 300), ("validation", 150), ("test", 150)):
        found = Counter(made[split]["label"].to_pylist())
        for label, count in zip(ranked, column, strict=True):
            assert found[label] == round(rows * count / sum(column))


def test_a_class_that_appendix_a_lacks_is_left_out() -> None:
    assert COUNTS["en"][1] == 0
    made = sample(tables(), Sample(skew="appendix-a", rows=100), "en", 0)
    assert len(set(made["train"]["label"].to_pylist())) == 4


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
    assert len({tuple(each) for each in drawn.values()}) == 4


def test_labelled_and_unlabelled_part_the_train_rows() -> None:
    whole = tables(logs=7)
    made = sample(whole, Sample(labelled=200), "en", 0)
    labelled, rest = ids(made["train"]), ids(made["unlabelled"])
    assert len(labelled) == 200
    assert rest[:7] == [f"log{i}" for i in range(7)]
    assert sorted(labelled + rest[7:]) == sorted(ids(whole["train"]))
    assert set(made["unlabelled"]["label"].to_pylist()) == {None}
    assert None not in made["train"]["label"].to_pylist()
    assert made["test"] == whole["test"]


def test_all_rows_labelled_leaves_no_logs() -> None:
    made = sample(tables(20), Sample(labelled=500), "en", 0)
    assert (len(made["train"]), len(made["unlabelled"])) == (20, 0)
