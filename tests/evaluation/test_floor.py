import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC
from support.project import run
from support.training import LABELS, LANGUAGES, ROWS, Project, write_corpus

from amtss.config import yaml
from amtss.config.params import load_project
from amtss.data import corpus
from amtss.errors import CheckpointError, DataError
from amtss.evaluation import floor
from amtss.files import read_json
from amtss.teachers import linear_model


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path).write()
    made.floor()
    return made


def accuracies(project: Project) -> dict[str, float]:
    """On test, in percent."""
    return {code: 100.0 * float((rows.argmax(1) == project.gold(code, "test")).mean())
            for code, rows in floor.predict_test(project.layout, project.corpora()).items()}


class TestTeach:
    def test_learns_what_words_tell(self, project: Project) -> None:
        assert all(accuracy > 75 for accuracy in accuracies(project).values())

    def test_says_what_it_learnt_and_cost(self, project: Project) -> None:
        about = read_json(project.layout.floor / "floor.json", dict[str, Any], "floor")
        assert about["rows"] == dict.fromkeys(LANGUAGES, ROWS["train"])
        assert set(about["regularisation"].values()) <= set(floor.CANDIDATES)
        assert about["seconds"] > 0
        models = linear_model.load(project.layout.floor, "floor")
        for code in LANGUAGES:
            texts, _ = corpus.load(project.layout, code).texts("validation")
            right = models[code].log_probabilities(texts).argmax(1) == project.gold(
                code, "validation")
            assert about["accuracy"][code] == pytest.approx(100.0 * right.mean())
            assert about["regularisation"][code] == models[code].regularisation

    def test_equal_rows_give_equal_bytes_whatever_it_cost(self, project: Project) -> None:
        folder = project.layout.floor
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert set(before) == {"checksums.json", "model.safetensors", "features.json",
                               "floor.json"}
        project.floor()
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
        first, second = (json.loads(files.pop("floor.json")) for files in (before, after))
        assert after == before
        cost = {"seconds": 0, "checksum": ""}
        assert first | cost == second | cost

    def test_reads_neither_chat_logs_nor_test(self, project: Project) -> None:
        before = (project.layout.floor / "model.safetensors").read_bytes()
        for code in LANGUAGES:
            write_corpus(project.layout, code, ROWS | {"test": 3, "unlabelled": 40})
        project.floor()
        assert (project.layout.floor / "model.safetensors").read_bytes() == before

    def test_of_too_many_rows_some_are_enough(self, project: Project,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(floor, "MAX_ROWS", 40)
        project.floor()
        about = read_json(project.layout.floor / "floor.json", dict[str, Any], "floor")
        assert about["rows"] == dict.fromkeys(LANGUAGES, 40)
        assert all(accuracy > 70 for accuracy in accuracies(project).values())

    def test_a_language_with_one_label(self, project: Project) -> None:
        train = corpus.load(project.layout, "fr")["train"].drop_columns("key")
        write_corpus(project.layout, "fr", train=train.take([0, 3, 6, 9]))
        project.floor()
        only = LABELS.index(train["label"][0].as_py())
        assert accuracies(project)["fr"] == pytest.approx(
            100.0 * (project.gold("fr", "test") == only).mean())

    def test_pairs(self, tmp_path: Path) -> None:
        made = Project(tmp_path).write(pairs=True)
        made.floor()
        assert all(accuracy > 75 for accuracy in accuracies(made).values())

    def test_texts_without_a_word(self, project: Project) -> None:
        train = corpus.load(project.layout, "fr")["train"].drop_columns("key")
        smile = train.set_column(train.column_names.index("text"), "text", [["🙂"] * len(train)])
        write_corpus(project.layout, "fr", train=smile)
        with pytest.raises(DataError, match=r"fr/train: expected texts .*vocabulary.*; correct "):
            project.floor()


class TestPredictTest:
    def test_probabilities_sum_to_one(self, project: Project) -> None:
        for rows in floor.predict_test(project.layout, project.corpora()).values():
            assert rows.shape == (ROWS["test"], len(LABELS))
            np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-9)

    def test_a_floor_of_other_languages(self, project: Project) -> None:
        write_corpus(project.layout, "ko")
        with pytest.raises(CheckpointError, match=r"floor: expected a model of ko, found those of "
                                                  r"en, fr, ru; run `dvc repro floor`"):
            floor.predict_test(project.layout, [corpus.load(project.layout, "ko")])


@pytest.mark.slow
def test_reaches_the_independent_recipe(massive: Path, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """French MASSIVE, 2,000 training rows, against a few lines of scikit-learn."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.dump({
        "project": "floor", "languages": ["fr"], "distil": {"top_k": 1},
        "data": {"source": "files", "path": str(massive), "files": "{language}/{split}.jsonl",
                 "columns": {"label": "scenario"}, "sample": {"labelled": 2000}},
        "teachers": {"fr": {"kind": "linear", "languages": ["fr"]}},
        "baseline": {"teacher": "fr"}}))
    for stage in ("sources", "data fr", "validate fr", "gate", "floor"):
        assert run(*stage.split()) == 0
    _, layout = load_project()
    rows = corpus.load(layout, "fr")
    labels = read_json(layout.gate_keys, dict[str, Any], "gate")["labels"]
    gold = {split: rows.label_ids(split, labels) for split in ("train", "validation", "test")}
    assert len(gold["train"]) == 2000
    own = floor.predict_test(layout, [rows])["fr"].argmax(axis=1) == gold["test"]

    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=2),
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=True))
    train = features.fit_transform(rows.texts("train")[0])
    best = max((LinearSVC(C=c).fit(train, gold["train"]) for c in (0.1, 0.3, 1.0)),
               key=lambda model: model.score(features.transform(rows.texts("validation")[0]),
                                             gold["validation"]))
    recipe = best.score(features.transform(rows.texts("test")[0]), gold["test"])
    assert 100 * own.mean() >= 100 * recipe - 0.3
