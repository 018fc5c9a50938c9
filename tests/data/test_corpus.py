import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.data import corpus
from amtss.data.corpus import UNLABELLED, Corpus
from amtss.errors import AmtssError, DataError
from amtss.paths import Layout

LABELS = ("no", "yes")
texts_of = st.lists(st.text("ab é", max_size=4), max_size=20)


def table(texts: list[str], labels: list[str | None] | None = None,
          pairs: list[str] | None = None) -> pa.Table:
    columns = {"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.string()),
               "label": pa.array(labels or [None] * len(texts), pa.string())}
    return pa.table(columns | ({"pair": pairs} if pairs else {}))


def written(root: Path, *texts: str, labels: tuple[str, ...] | None = LABELS) -> Corpus:
    splits = {split: table(list(texts), ["yes"] * len(texts)) for split in ("train", "test")}
    corpus.write(Layout(root), "en", splits, labels)
    return corpus.load(Layout(root), "en")


def test_round_trip(tmp_path: Path) -> None:
    read = written(tmp_path, "a", "b")
    assert (read.language, read.labels, set(read.splits)) == ("en", LABELS, {"train", "test"})
    assert read["train"].column_names == ["key", "id", "text", "label"]
    assert read.texts("train") == (["a", "b"], None)
    assert read.label_ids("train", LABELS).tolist() == [1, 1]


def test_pairs_and_missing_labels(tmp_path: Path) -> None:
    corpus.write(Layout(tmp_path), "en", {"train": table(["a"], pairs=["b"])}, None)
    read = corpus.load(Layout(tmp_path), "en")
    assert read.texts("train") == (["a"], ["b"])
    assert read.label_ids("train", LABELS).tolist() == [UNLABELLED]
    assert read.labels is None


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    first = written(tmp_path / "1", "a", "b")
    chunks = pa.concat_tables([table(["a"], ["yes"]), table(["b"], ["yes"])])
    chunks = chunks.set_column(0, "id", pa.array(["0", "1"])).replace_schema_metadata({"x": "y"})
    corpus.write(Layout(tmp_path / "2"), "en", {"train": chunks, "test": chunks}, LABELS)
    for name in ("train.arrow", "test.arrow", "corpus.json"):
        paths = [Layout(tmp_path / run).corpus("en") / name for run in "12"]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert corpus.load(Layout(tmp_path / "2"), "en").fingerprint == first.fingerprint


def test_the_fingerprint_sees_texts_and_labels(tmp_path: Path) -> None:
    fingerprints = {written(tmp_path, "a", "b").fingerprint,
                    written(tmp_path, "b", "a").fingerprint,
                    written(tmp_path, "a", "b", labels=("yes", "no")).fingerprint,
                    written(tmp_path, "a", "b", labels=None).fingerprint}
    assert len(fingerprints) == 4


def test_writing_again_leaves_no_old_split(tmp_path: Path) -> None:
    written(tmp_path, "a")
    corpus.write(Layout(tmp_path), "en", {"train": table(["a"])}, None)
    assert sorted(path.name for path in Layout(tmp_path).corpus("en").iterdir()) == [
        "checksums.json", "corpus.json", "train.arrow"]


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(AmtssError, match=r"corpus\.json: expected a file.*`dvc repro data@en`"):
        corpus.load(Layout(tmp_path), "en")
    written(tmp_path, "a", "b")
    path = Layout(tmp_path).corpus("en") / "train.arrow"
    whole = path.read_bytes()
    for spoilt in (b"", whole[:100], whole[:-100], b"x" * len(whole)):
        path.write_bytes(spoilt)
        with pytest.raises(AmtssError, match=r"train\.arrow: expected.*`dvc repro data@en`"):
            corpus.load(Layout(tmp_path), "en")
    path.unlink()
    with pytest.raises(AmtssError, match=r"train\.arrow: expected.*`dvc repro data@en`"):
        corpus.load(Layout(tmp_path), "en")


def test_rows_of_another_corpus(tmp_path: Path) -> None:
    written(tmp_path / "1", "a")
    written(tmp_path / "2", "a", "b")
    short, long = (Layout(tmp_path / run).corpus("en") / "train.arrow" for run in "12")
    long.write_bytes(short.read_bytes())
    with pytest.raises(AmtssError, match="checksum differs"):
        corpus.load(Layout(tmp_path / "2"), "en")


def test_the_test_rows_have_a_fingerprint(tmp_path: Path) -> None:
    def of(name: str, train: list[str], test: list[str], labels: list[str]) -> str:
        layout = Layout(tmp_path / name)
        corpus.write(layout, "en", {"train": table(train), "test": table(test, labels)}, LABELS)
        return corpus.test_fingerprint(layout, "en")

    first = of("1", ["a"], ["b", "c"], ["yes", "no"])
    assert len(first) == 16
    assert of("2", ["other"], ["b", "c"], ["yes", "no"]) == first
    others = {of("3", ["a"], ["b", "d"], ["yes", "no"]), of("4", ["a"], ["b", "c"], ["no", "no"]),
              of("5", ["a"], ["c", "b"], ["no", "yes"]), of("6", ["a"], ["b"], ["yes"])}
    assert len(others | {first}) == 5


def test_no_test_rows_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"en/test\.arrow: .*, found: .*; run `dvc repro data@en`"):
        corpus.test_fingerprint(Layout(tmp_path), "en")


@given(texts_of)
def test_keys_are_unique_also_for_duplicates(texts: list[str]) -> None:
    keys = corpus._keys(table(texts))
    assert len(set(keys.tolist())) == len(texts)
    assert keys.dtype == np.int64


@given(texts_of, st.randoms(use_true_random=False))
def test_keys_stay_with_their_texts(texts: list[str], draw: random.Random) -> None:
    moved = draw.sample(texts, len(texts))
    before, after = (set(zip(rows, corpus._keys(table(rows)).tolist(), strict=True))
                     for rows in (texts, moved))
    assert before == after


def test_a_key_depends_on_both_texts() -> None:
    keys = [corpus._keys(table(["a", "a"], pairs=pairs))[0] for pairs in (["b", "c"], ["c", "b"])]
    assert keys[0] != keys[1]
    assert corpus._keys(table(["a"]))[0] not in keys
