from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amtss.data import cutting
from amtss.errors import DataError
from amtss.lookalikes import plain


def train(rows: list[tuple[str, str]], pairs: bool = False) -> pa.Table:
    """Rows of text and label, with ids; of pairs, whose second texts all differ."""
    numbers = [str(number) for number in range(len(rows))]
    return pa.table({"id": numbers, "text": [text for text, _ in rows],
                     **({"pair": numbers} if pairs else {}), "label": [label for _, label in rows]})


def cut(rows: list[tuple[str, str]], seed: int = 0, **tables: Any) -> dict[str, list[Any]]:
    """The splits' rows."""
    made = cutting.complete({"train": train(rows), **tables}, "en", seed)
    return {split: table.to_pylist() for split, table in made.items()}


def labels(rows: list[dict[str, str]]) -> Counter[str]:
    return Counter(row["label"] for row in rows)


@pytest.mark.parametrize(("rows", "size"), [
    (0, 0), (5, 1), (60, 12), (500, 100), (999, 100), (2_000, 200), (10**6, 5_000)])
def test_sizes(rows: int, size: int) -> None:
    assert cutting.size(rows) == size


def test_splits_are_cut_by_label() -> None:
    rows = [(f"text {i}", "abc"[min(i % 10 // 4, 2)]) for i in range(1000)]
    made = cut(rows)
    assert list(made) == ["train", "validation", "test"]
    for split, size in {"train": 800, "validation": 100, "test": 100}.items():
        assert labels(made[split]) == {"a": 0.4 * size, "b": 0.4 * size, "c": 0.2 * size}
    whole = [row for split in made.values() for row in split]
    assert sorted(int(row["id"]) for row in whole) == list(range(1000))


def test_what_is_cut_is_said() -> None:
    source = {"train": train([(f"text {i}", "ab"[i % 2]) for i in range(1000)])}
    tables = cutting.complete(source, "en", 0)
    assert [*cutting.remarks(source, tables, "en")] == [
        f"en: no {split} split in the source; 100 of 1,000 training rows are cut off for it, by "
        "label" for split in ("test", "validation")]
    assert not [*cutting.remarks(tables, tables, "en")]


def test_what_the_source_has_stays() -> None:
    own = train([("own", "a")])
    made = cut([(str(i), "ab"[i % 2]) for i in range(10)], test=own, unlabelled=own)
    assert list(made) == ["train", "validation", "test", "unlabelled"]
    assert made["test"] == made["unlabelled"] == own.to_pylist()
    assert [len(made[split]) for split in ("train", "validation")] == [8, 2]
    whole = {"train": own, "validation": own, "test": own}
    assert cutting.complete(whole, "en", 0) is whole


def test_the_seed_chooses() -> None:
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(100)]
    assert cut(rows, 1) == cut(rows, 1) != cut(rows, 2)


def test_translations_land_on_the_same_side() -> None:
    english, french = (cut([(f"{word} {i}", "ab"[i % 2]) for i in range(100)])
                       for word in ("text", "texte"))
    for split in ("train", "validation", "test"):
        assert ([row["id"] for row in english[split]] == [row["id"] for row in french[split]])


def test_pairs_with_the_same_first_text_stay_together() -> None:
    rows = [(f"premise {i // 3}", "abc"[i % 3]) for i in range(300)]
    made = cutting.complete({"train": train(rows, pairs=True)}, "en", 0)
    for split in ("validation", "test"):
        assert len(made[split]) == 60
        assert set(Counter(made[split]["text"].to_pylist()).values()) == {3}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["Hi", "hi ", "ho", "x", "y", "z", "", "né"]),
                          st.sampled_from("abc")), min_size=40, max_size=120), st.integers(0, 9))
def test_no_text_is_on_two_sides_and_no_label_goes(rows: list[tuple[str, str]], seed: int) -> None:
    rows = [*rows, *((f"text {i}", "abc"[i % 3]) for i in range(60))]
    made = cut(rows, seed)
    texts = {split: {plain(row["text"]) for row in made[split]} for split in made}
    assert not texts["train"] & (texts["validation"] | texts["test"])
    assert not texts["validation"] & texts["test"]
    assert labels(made["train"]).keys() == {"a", "b", "c"}
    assert sum(map(len, made.values())) == len(rows)
    for split in ("validation", "test"):
        assert 0 < len(made[split]) <= cutting.size(len(rows))


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match=r"^en/train: expected enough rows to cut a test split off,"
                                        r" while each label keeps one, found 3 rows of 3 labels; "):
        cut([("1", "a"), ("2", "b"), ("3", "c")])
