"""A language without labels in a small project: Polish, which a teacher of others scores. Its words
are the English ones, which that teacher can read."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from huggingface_hub import ModelCard
from support.training import LABELS, ROWS, Project, onboarding, prepared, rewrite_logits, table

from amtss import records
from amtss.annotation import suspects
from amtss.data import corpus
from amtss.data.holding_out import hold_out
from amtss.distillation import algorithm1
from amtss.errors import AmtssError, CheckpointError, ParamsError
from amtss.evaluation import evaluate
from amtss.files import write_json
from amtss.inference import card, facts
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.logits import pool
from amtss.registry import register
from amtss.report import accuracy

LOGS = 160


def labelled_test_rows() -> pa.Table:
    return table("en", "Polish test", ROWS["test"])


def write_logs(project: Project, labelled_test: bool) -> None:
    """Polish without labels, but maybe with a labelled test."""
    logs = table("en", "logs", LOGS)
    tables = {"unlabelled": logs.set_column(2, "label", pa.nulls(LOGS, pa.string()))}
    if labelled_test:
        tables["test"] = labelled_test_rows()
    corpus.write(project.layout, "pl", hold_out(tables, "pl", 0), LABELS)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """It is learnt and measured on a labelled test."""
    made = onboarding(tmp_path_factory.mktemp("learnt"), "pl", max_epochs=2)
    made.set(teachers={"pl": None, "multilingual": {"scores": ["en", "fr", "ru", "pl"]}})
    write_logs(made, labelled_test=True)
    made.score("multilingual")
    made.floor()
    made.start()
    made.distil()
    made.baseline()
    evaluate.evaluate(made.params, made.layout)
    return made


@pytest.fixture(scope="module")
def metrics(project: Project) -> records.Metrics:
    return records.metrics(project.layout)


@pytest.fixture(scope="module")
def mute(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, measured on a test without labels."""
    root = tmp_path_factory.mktemp("tested") / "project"
    shutil.copytree(project.layout.root, root)
    made = Project(root, **project.settings)
    write_logs(made, labelled_test=False)
    made.score("multilingual")
    evaluate.evaluate(made.params, made.layout)
    return made


def of_polish(project: Project) -> pool.LanguagePool:
    params = project.params
    return pool.load(params, project.layout, project.corpora(), LABELS, params.pool)["pl"]


@pytest.mark.slow
class TestLearning:
    def test_w_is_what_the_teachers_are_worth_elsewhere(self, project: Project) -> None:
        weights = project.history("distil")[0]["weights"]
        assert [name for name in weights if "pl" in weights[name]] == ["multilingual"]
        assert weights["multilingual"]["pl"] == 1.0

    def test_validation_has_the_teachers_answers(self, project: Project) -> None:
        lesson = prepared(project)
        answers = of_polish(project).logits["validation"][0].argmax(axis=-1)
        np.testing.assert_array_equal(lesson.validation.labels[lesson.validation.of(3)], answers)
        np.testing.assert_array_equal(lesson.teachers["pl"].gold, answers)
        np.testing.assert_array_equal(lesson.teachers["fr"].gold, project.gold("fr", "validation"))

    def test_the_student_learns_to_answer_as_they_do(self, project: Project) -> None:
        history = project.history("distil")
        assert max(epoch["accuracy"]["pl"] for epoch in history) > 60
        assert all(epoch["margin"]["pl"] == pytest.approx(100 - epoch["accuracy"]["pl"])
                   for epoch in history)

    @pytest.mark.parametrize(("changed", "message"), [
        ({"labels_only": True}, r"distil\.labels_only: expected false, as pl has no labels"),
        ({"kd_weight": 0.0}, r"distil\.kd_weight: expected > 0, as pl has no labels, found 0"),
    ])
    def test_not_from_labels_alone(self, project: Project, tmp_path: Path, changed: dict[str, Any],
                                   message: str) -> None:
        params = project.params.model_copy(update={
            "distil": project.params.distil.model_copy(update=changed)})
        with pytest.raises(ParamsError, match=message):
            algorithm1.distil(params, project.layout, lambda row: None)


class TestWithALabelledTest:
    def test_accuracy_is_measured(self, project: Project, metrics: records.Metrics) -> None:
        assert metrics["without_labels"] == {"pl": None}
        accuracies = metrics["student"]["accuracy"]
        assert set(accuracies) == {"en", "fr", "ru", "pl", "average"}
        with open(project.layout.evaluation / "predictions.csv", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["language"] == "pl"]
        right = [row["student"] == row["actual"] for row in rows]
        assert accuracies["pl"] == pytest.approx(100 * np.mean(right))
        assert [row["actual"] for row in rows] == labelled_test_rows()["label"].to_pylist()

    def test_there_is_no_floor(self, metrics: records.Metrics) -> None:
        assert set(metrics["floor"]["accuracy"]) == {"en", "fr", "ru", "average"}

    def test_averages_beside_each_other_are_of_the_same_languages(
            self, project: Project, metrics: records.Metrics) -> None:
        rows = {row[0]: row[1:] for row in
                accuracy.results(metrics, project.params.languages).rows}
        assert rows["Linear floor"][3:] == ("–", "–")
        assert rows["AMTSS student"][-1] != "–"
        assert "without pl, which has no labels in train" in accuracy.headline(metrics)


class TestWithoutOne:
    def test_agreement_is_kept_apart(self, mute: Project) -> None:
        measured = records.metrics(mute.layout)
        assert set(measured["student"]["accuracy"]) == {"en", "fr", "ru", "average"}
        assert "pl" not in measured["mixture"]["accuracy"] | measured["paired"]
        found = measured["without_labels"]["pl"]
        assert found is not None
        student = evaluate.predict_test(mute.layout.student, mute.corpora())["pl"].argmax(axis=-1)
        answers = of_polish(mute).logits["test"][0].argmax(axis=-1)
        assert found["agreement"] == pytest.approx(100 * (student == answers).mean())
        assert found["low"] <= found["agreement"] <= found["high"]

    def test_tables_say_so(self, mute: Project) -> None:
        measured = records.metrics(mute.layout)
        agreement = f"{measured['without_labels']['pl']['agreement']:.2f}"
        for made in (accuracy.results(measured, mute.params.languages),
                     accuracy.adapted(measured, beside_paper=False)):
            rows = {row[0]: row for row in made.rows}
            assert agreement in rows["Agrees with teachers"]
            assert rows["AMTSS student"][-2] == "–"
            assert made.notes[-1].startswith("pl has no labels, so its accuracy is unknown")

    def test_a_version_knows_the_difference(self, mute: Project) -> None:
        for code in mute.params.languages:
            write_json(mute.layout.validation(code) / "validation.json", {
                "fingerprint": "", "errors": 0, "warnings": 0})
        version = register._evaluated(mute.params, mute.layout)
        assert version.languages == ("en", "fr", "ru", "pl")
        assert set(version.accuracy) == set(version.floor or {}) == {"en", "fr", "ru"}
        assert version.without_labels["pl"] == (
            records.metrics(mute.layout)["without_labels"]["pl"]["agreement"])


    def test_no_accuracy_is_promised(self, mute: Project) -> None:
        student = PytorchPredictor(mute.layout.student)
        assert student.thresholds["pl"] == []
        [answer] = student.predict(["enpay1"], "pl", min_accuracy=0.5)
        assert answer.label is None
        selective = records.metrics(mute.layout)["selective"]
        assert all("pl" not in figures["coverage"] for figures in selective.values())
        assert "pl" not in records.metrics(mute.layout)["untold"]["accuracy"]
        assert student.recognise(["frship1 frship2"]) == ["fr"]

    def test_its_card_says_so(self, mute: Project) -> None:
        known = facts.gather(mute.params, mute.layout, mute.layout.student)
        text = card.content(card.Model("student", LABELS, mute.params.languages, 16, known))
        assert "It has learnt pl without labels: its accuracy there is unknown." in text
        data = ModelCard(text).data
        assert [result.dataset_config for result in data.eval_results] == ["en", "fr", "ru"]

    def test_no_label_is_suspicious(self, mute: Project) -> None:
        with pytest.raises(AmtssError, match=r"^pl/train: expected rows with labels, found none"):
            suspects.suspects(mute.params, mute.layout, "pl", "train")


@pytest.mark.parametrize(("codes", "message"), [
    (("en", "fr", "ru"), "teachers: expected one that has learnt something, found that each"),
    (("pl",), "teachers: expected different answers to the validation texts of pl, which has no "
              "labels, found one label for all of them"),
])
def test_teachers_with_one_answer_to_everything(project: Project, tmp_path: Path,
                                                codes: tuple[str, ...], message: str) -> None:
    root = tmp_path / "project"
    shutil.copytree(project.layout.root, root)
    broken = Project(root, **project.settings)
    broken.set(distil={"teachers": ["multilingual"]})
    for code in codes:
        rows = len(corpus.load(broken.layout, code)["validation"])
        rewrite_logits(broken, "multilingual", code, "validation", np.eye(3)[np.zeros(rows, int)])
    with pytest.raises(CheckpointError, match=message):
        broken.distil()
