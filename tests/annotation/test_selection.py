import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from support.training import Project

from amtss.annotation import selection
from amtss.data import corpus, corrections
from amtss.data.corrections import Correction
from amtss.errors import AmtssError


def listed(sheet: tuple[str, int]) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(sheet[0])))
    assert len(rows) == sheet[1]
    return rows


def test_uncertainty_is_1_between_two_labels() -> None:
    answers = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(selection.uncertainty(answers), [1, 0, 0.6])


def test_texts_of_each_sort_are_chosen() -> None:
    sorts = ["where is parcel", "refuse my card", "hello dear robot", "unsubscribe me please"]
    texts = [f"{sort} {number}" for number in range(10) for sort in sorts]
    doubt = np.array([1.0, 0.9, 0.8, 0.0] * 10)
    chosen = selection.choose(texts, 2, doubt)
    assert [row % 4 for row in chosen.tolist()] == [0, 1]  # the half that is unsure
    assert len({row % 4 for row in selection.choose(texts, 4, None).tolist()}) == 4
    assert list(selection.choose(texts, 4, None)) == list(selection.choose(texts, 4, None))


def test_equal_texts_and_large_budgets() -> None:
    assert len(set(selection.choose(["same"] * 30, 5, None).tolist())) == 5
    assert sorted(selection.choose(["a", "b"], 5, np.array([0.1, 0.2])).tolist()) == [0, 1]


def test_logs_of_a_language_with_teachers(scored: Project) -> None:
    rows = listed(selection.label_next(scored.params, scored.layout, "ru", 5))
    logs = corpus.load(scored.layout, "ru")["unlabelled"]["id"].to_pylist()
    assert len({row["id"] for row in rows} & set(logs)) == 5
    assert all(row["label"] == "" and row["suggested"] and row["split"] == "unlabelled"
               for row in rows)
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)


def test_a_language_without_logs(scored: Project) -> None:
    with pytest.raises(AmtssError, match=r"en: expected logs that differ .* none among 0"):
        selection.label_next(scored.params, scored.layout, "en", 5)
    with pytest.raises(AmtssError, match=r"expected a language code .* found '../ko'"):
        selection.label_next(scored.params, scored.layout, "../ko", 5)


def test_logs_of_a_new_language(tmp_path: Path) -> None:
    project = Project(tmp_path, data={"path": str(tmp_path), "files": "{language}/{split}.jsonl",
                                      "splits": {"unlabelled": "logs"}})
    with pytest.raises(AmtssError, match="ko: expected a split of rows without labels"):
        selection.label_next(project.params, project.layout, "ko", 5)
    texts = ["hello", "Hello!", "a parcel", "my card", "card my"]
    (tmp_path / "ko").mkdir()
    (tmp_path / "ko/logs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n"
                                                    for text in texts))
    rows = listed(selection.label_next(project.params, project.layout, "ko", 5))
    assert sorted(row["text"] for row in rows) == ["a parcel", "hello", "my card"]
    assert {(row["suggested"], row["score"]) for row in rows} == {("", "")}
    labelled = rows[0]
    corrections.write(project.layout.corrections("ko"), [
        Correction("unlabelled", labelled["id"], labelled["key"], "", "chat")])
    again = listed(selection.label_next(project.params, project.layout, "ko", 5))
    assert sorted(row["text"] for row in again) == sorted(
        row["text"] for row in rows if row != labelled)
