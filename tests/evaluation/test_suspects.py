import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.training import LABELS, ROWS, Project, write_corpus

from amtss.annotation.confident import contradicted
from amtss.config.schema import LinearTeacher
from amtss.data import corpus
from amtss.evaluation import suspects
from amtss.logits import pool
from amtss.logits.softmax import Array, softmax
from amtss.teachers import linear

CROSS_FITTED = LinearTeacher(kind="linear", languages=("all",), cross_fit=4)


def counted(project: Project, *teachers: str) -> list[dict[str, str]]:
    """The rows of suspects.csv."""
    corpora = [corpus.load(project.layout, code) for code in project.params.languages]
    suspects.write(project.params, project.layout, corpora, LABELS,
                   pool.load(project.params, project.layout, corpora, LABELS, teachers))
    with open(project.layout.evaluation / "suspects.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(language: str, gold: NDArray[np.int64], answers: Array) -> list[tuple[str, str, int]]:
    wrong = gold[contradicted(gold, answers)]
    return [(language, label, int((wrong == index).sum())) for index, label in enumerate(LABELS)]


def test_by_what_teachers_say_of_rows_that_they_have_not_learnt(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en", "fr"], teachers={
        "en": None, "fr": None, "ru": None, "multilingual": {"scores": []},
        "lin": {"kind": "linear", "languages": ["all"], "scores": ["en"], "cross_fit": 4},
        "fitted": {"kind": "linear", "languages": ["all"], "cross_fit": 0}},
        distil={"teachers": ["lin", "fitted"]}, baseline={"teacher": "fitted"}).write("en", "fr")
    project.teach("lin", "fitted")
    project.score("lin", "fitted")
    english, french = (corpus.load(project.layout, code) for code in ("en", "fr"))
    logits = pool.load(project.params, project.layout, [english], LABELS, ["lin"])["en"].logits
    rows = counted(project, "lin", "fitted")
    assert [(row["language"], row["label"], int(row["count"])) for row in rows] == [
        *expected("en", english.label_ids("train", LABELS), softmax(logits["train"][0])),
        *expected("fr", french.label_ids("train", LABELS),
                  softmax(linear.cross_fit(french, LABELS, CROSS_FITTED)))]
    assert sum(int(row["rows"]) for row in rows) == 2 * ROWS["train"]


def test_too_few_rows_to_say_anything(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en"], teachers={
        "en": None, "fr": None, "ru": None, "multilingual": {"scores": []},
        "lin": {"kind": "linear", "languages": ["en"], "cross_fit": 0}},
        distil={"teachers": ["lin"], "top_k": 1}, baseline={"teacher": "lin"})
    write_corpus(project.layout, "en", ROWS | {"train": 2})
    project.teach("lin")
    project.score("lin")
    assert counted(project, "lin") == []


def test_transformers_have_learnt_all_rows(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en"], teachers={
        "en": {"training": {"epochs": 1}}, "fr": None, "ru": None, "multilingual": None},
        distil={"top_k": 1}, baseline={"teacher": "en"}).write("en")
    project.teach("en")
    project.score("en")
    assert counted(project, "en") == []
