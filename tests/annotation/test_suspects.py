import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support.training import LABELS, Project

from amtss.annotation import suspects
from amtss.data import corpus, corrections
from amtss.data.corpus import Corpus
from amtss.data.corrections import Correction
from amtss.errors import AmtssError


def rows(*cells: tuple[str, str]) -> pa.Table:
    texts, labels = zip(*cells, strict=True)
    return pa.table({"id": [str(row) for row in range(len(texts))], "text": texts,
                     "label": labels})


def answers(*likeliest: tuple[int, float]) -> np.ndarray:
    result = np.array([[(1 - share) / 2] * 3 for _, share in likeliest])
    for row, (label, share) in enumerate(likeliest):
        result[row, label] = share
    return result


def test_the_worst_comes_first_and_twins_stand_together() -> None:
    train = rows(*[(f"{label} {number}", label) for number in range(8) for label in LABELS],
                 ("where is it", "pay"), ("where is it?", "ship"), ("a bill", "chat"),
                 ("good day", "pay"))
    validation = rows(("Good day!", "chat"), ("good day", "chat"))
    english = Corpus("en", {"train": train, "validation": validation, "test": validation}, "", None)
    gold = [(LABELS.index(label), 0.9) for label in train["label"].to_pylist()[:24]]
    lines = suspects.find(english, "train", LABELS, answers(
        *gold, (2, 0.98), (2, 0.98), (1, 0.96), (1, 0.8)))
    assert [(line.row, line.suggested, line.score) for line in lines] == [
        (26, "pay", pytest.approx(0.02)), (24, "ship", pytest.approx(0.01)),
        (25, "ship", pytest.approx(0.98)), (27, "pay", pytest.approx(0.8))]
    assert [line.group for line in lines] == ["", "2", "2", ""]
    assert [line.reason for line in lines] == [
        "teachers say pay (96%)", "teachers say ship (98%); train 25 has the same words: ship",
        "train 24 has the same words: pay",
        "validation 0 and 3 more has the same words: chat"]


def test_of_twins_the_commonest_label_is_not_suspicious() -> None:
    train = rows(("hi", "chat"), ("hi!", "chat"), ("Hi", "pay"))
    mute = train.set_column(2, "label", pa.nulls(3, pa.string()))
    english = Corpus("en", {"train": train, "validation": train, "test": mute}, "", None)
    lines = suspects.find(english, "train", LABELS, answers(*[(0, 0.5)] * 3))
    assert [line.row for line in lines] == [2]


def test_a_swapped_label_is_listed_until_someone_has_decided(tmp_path: Path,
                                                                   scored: Project) -> None:
    project = Project(tmp_path, **scored.settings)
    layout = project.layout
    french = corpus.load(scored.layout, "fr")
    tables = {split: french[split].drop(["key"]) for split in french.splits}
    labels = tables["train"]["label"].to_pylist()
    labels[5] = "pay"
    tables["train"] = tables["train"].set_column(2, "label", pa.array(labels))
    corpus.write(layout, "fr", tables, LABELS)
    project.teach("fitted")
    content, count = suspects.suspects(scored.params, layout, "fr", "train")
    listed = list(csv.DictReader(io.StringIO(content)))
    assert len(listed) == count
    swapped = next(row for row in listed if row["id"] == "fr-train-5")
    assert [swapped[name] for name in ("lang", "split", "label", "suggested", "corrected")] == [
        "fr", "train", "pay", "ship", ""]
    shorter, _ = suspects.suspects(scored.params, layout, "fr", "train", limit=2)
    assert content.startswith(shorter)
    assert shorter.count("\n") == 3
    corrections.write(layout.corrections("fr"), [
        Correction("train", swapped["id"], swapped["key"], "pay", "ship")])
    content, fewer = suspects.suspects(scored.params, layout, "fr", "train")
    assert swapped["key"] not in content
    assert fewer == count - 1


def test_another_language_is_refused(scored: Project) -> None:
    with pytest.raises(AmtssError, match="--lang: expected one of en, fr, ru, found 'ko'"):
        suspects.suspects(scored.params, scored.layout, "ko", "train")
