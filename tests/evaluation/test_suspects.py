import csv
from pathlib import Path

from support.training import LABELS, ROWS, Project

from amtss.annotation.confident import contradicted
from amtss.data import corpus
from amtss.evaluation import suspects
from amtss.logits import pool
from amtss.logits.softmax import softmax


def test_the_training_rows_of_cross_fitted_teachers_are_counted(tmp_path: Path) -> None:
    project = Project(tmp_path, languages=["en", "fr"], teachers={
        "en": None, "fr": None, "ru": None, "multilingual": {"scores": []},
        "lin": {"kind": "linear", "languages": ["all"], "scores": ["en"]},
        "fitted": {"kind": "linear", "languages": ["all"], "cross_fit": 0}},
        distil={"teachers": ["lin", "fitted"]}, baseline={"teacher": "fitted"}).write("en", "fr")
    project.teach("lin", "fitted")
    project.score("lin", "fitted")
    corpora = [corpus.load(project.layout, code) for code in ("en", "fr")]
    teachers = pool.load(project.params, project.layout, corpora, LABELS, ["lin", "fitted"])
    suspects.write(project.params, project.layout, corpora, LABELS, teachers)
    with open(project.layout.evaluation / "suspects.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    gold = corpora[0].label_ids("train", LABELS)
    wrong = gold[contradicted(gold, softmax(teachers["en"].logits["train"][0]))]
    assert [(row["language"], row["label"], int(row["count"])) for row in rows] == [
        ("en", label, int((wrong == index).sum())) for index, label in enumerate(LABELS)]
    assert sum(int(row["rows"]) for row in rows) == ROWS["train"]
