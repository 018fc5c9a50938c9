import pyarrow as pa
import pytest

from amtss.annotation import twins
from amtss.annotation.twins import Place


def table(texts: list[str], labels: list[str] | None = None) -> pa.Table:
    return pa.table({"id": [str(row) for row in range(len(texts))], "text": texts,
                     "label": labels or ["x"] * len(texts)})


@pytest.mark.parametrize(("first", "second", "same"), [
    ("Where is my order?", "my order: WHERE is", True), ("turn on", "turn off", False),
    ("hi hi", "hi", False), ("?!", "?", False), ("你好。", "你好", True), ("", "", True),
    ("$5", "5", True), ("क्या", "क्यों", False)])
def test_forms(first: str, second: str, same: bool) -> None:
    a, b = twins.forms(table([first, second]))
    assert (a == b) == same


def test_pairs_are_twins_if_both_texts_are() -> None:
    pairs = table(["a b", "b a", "b a"]).append_column("pair", pa.array(["c", "C!", "d"]))
    a, b, c = twins.forms(pairs)
    assert a == b != c


def test_conflicts_cross_the_splits() -> None:
    splits = {"train": table(["hi", "bye", "ok", ""], ["x", "y", "x", "x"]),
              "test": table(["Hi!", "ok", ""], ["y", "x", "y"])}
    assert twins.conflicts(splits) == [[Place("train", 0, "0", "x"), Place("test", 0, "0", "y")]]


def test_the_first_of_each_group_is_kept() -> None:
    own, others = twins.forms(table(["a", "b!", "A?", "c", "", "b"])), twins.forms(table(["c."]))
    assert twins.first_of_each(own, others) == [0, 1]
