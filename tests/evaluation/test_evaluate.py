import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import f1_score
from support.training import (
    LABELS,
    LANGUAGES,
    ROWS,
    Project,
    distilled,
    onboarding,
    rewrite_logits,
    scored,
)

from amtss import records
from amtss.data import corpus
from amtss.errors import AmtssError, CheckpointError
from amtss.evaluation import evaluate, footprint
from amtss.evaluation.advice import advice
from amtss.files import read_json, write_json
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.logits import pool
from amtss.models import checkpoint
from amtss.teachers import linear_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = distilled(tmp_path_factory.mktemp("evaluated"))
    evaluate.evaluate(project.params, project.layout)
    return project


@pytest.fixture(scope="module")
def metrics(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = read_json(project.layout.metrics, dict[str, Any], "dvc repro")
    return found


@pytest.fixture(scope="module")
def predictions(project: Project) -> list[dict[str, str]]:
    with open(project.layout.evaluation / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits.astype(np.float64))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


class TestPredictions:
    def test_are_of_every_test_row(self, project: Project,
                                   predictions: list[dict[str, str]]) -> None:
        expected = [(code, *row) for code in LANGUAGES
                    for table in [corpus.load(project.layout, code)["test"]]
                    for row in zip(table["id"].to_pylist(), table["label"].to_pylist(),
                                   strict=True)]
        assert [(row["language"], row["id"], row["actual"]) for row in predictions] == expected
        assert {row["student"] for row in predictions} <= set(LABELS)


class TestFigures:
    def test_of_the_floor(self, project: Project, metrics: dict[str, Any]) -> None:
        models = linear_model.load(project.layout.floor, "dvc repro floor")
        for code in LANGUAGES:
            texts, _ = corpus.load(project.layout, code).texts("test")
            right = models[code].log_probabilities(texts).argmax(1) == project.gold(code, "test")
            assert metrics["floor"]["accuracy"][code] == pytest.approx(100.0 * right.mean())
        assert set(metrics["floor"]) == {"accuracy", "macro_f1", "ece", "low", "high"}
        assert set(metrics["floor"]["accuracy"]) == {"average", *LANGUAGES}

    def test_of_a_constant_answer(self, project: Project, metrics: dict[str, Any]) -> None:
        assert metrics["majority"] == pytest.approx({
            code: 100.0 * np.bincount(project.gold(code, "test")).max() / ROWS["test"]
            for code in LANGUAGES})

    @pytest.mark.parametrize("name", ["student", "baseline"])
    def test_agree_with_the_predictions(self, metrics: dict[str, Any], name: str,
                                        predictions: list[dict[str, str]]) -> None:
        averages = []
        for code in LANGUAGES:
            rows = [row for row in predictions if row["language"] == code]
            actual, chosen = [row["actual"] for row in rows], [row[name] for row in rows]
            accuracy = 100.0 * np.mean([a == c for a, c in zip(actual, chosen, strict=True)])
            averages.append(accuracy)
            assert metrics[name]["accuracy"][code] == pytest.approx(accuracy)
            assert metrics[name]["macro_f1"][code] == pytest.approx(
                100.0 * f1_score(actual, chosen, average="macro", labels=LABELS), abs=1e-6)
            assert metrics[name]["low"][code] <= accuracy <= metrics[name]["high"][code]
        assert metrics[name]["accuracy"]["average"] == pytest.approx(np.mean(averages))

    def test_of_teachers_are_those_of_their_caches(self, project: Project,
                                                   metrics: dict[str, Any]) -> None:
        for teacher, codes in (("fr", ("fr",)), ("multilingual", LANGUAGES)):
            assert set(metrics["teachers"][teacher]["accuracy"]) == {"average", *codes}
            for code in codes:
                logits = load_file(project.layout.logits(teacher, code))["test.logits"]
                right = logits.argmax(axis=1) == project.gold(code, "test")
                assert metrics["teachers"][teacher]["accuracy"][code] == pytest.approx(
                    100.0 * right.mean())

    def test_of_the_mixture(self, project: Project, metrics: dict[str, Any]) -> None:
        kept = [row for row in project.history("distil") if row["best"]][-1]
        for code in LANGUAGES:
            mixture = sum(kept["weights"][teacher][code] * softmax(
                load_file(project.layout.logits(teacher, code))["test.logits"])
                for teacher in (code, "multilingual"))
            right = np.asarray(mixture).argmax(axis=1) == project.gold(code, "test")
            assert metrics["mixture"]["accuracy"][code] == pytest.approx(100.0 * right.mean())

    def test_of_another_mixing(self, tmp_path: Path) -> None:
        made = distilled(tmp_path)
        made.distil(mixing="geometric", max_epochs=3)
        made.baseline()
        evaluate.evaluate(made.params, made.layout)
        teachers = pool.load(made.params, made.layout, made.corpora(), LABELS, made.params.pool)
        weights, found = made.history("distil")[0]["weights"], records.metrics(made.layout)
        for code, members in teachers.items():
            mixture = members.soft_targets("test", {name: weights[name][code]
                                                    for name in (code, "multilingual")})
            right = mixture.argmax(axis=1) == made.gold(code, "test")
            assert found["mixture"]["accuracy"][code] == pytest.approx(100.0 * right.mean())

    def test_what_to_try_below_the_floor(self, project: Project, metrics: dict[str, Any]) -> None:
        assert metrics["advice"] == advice(project.params) != []

    def test_paired_with_the_baseline(self, metrics: dict[str, Any]) -> None:
        for name in ("average", *LANGUAGES):
            expected = (metrics["student"]["accuracy"][name]
                        - metrics["baseline"]["accuracy"][name])
            assert metrics["paired"][name]["difference"] == pytest.approx(expected)

    def test_the_best_teacher_is_chosen_on_validation(self, project: Project,
                                                      metrics: dict[str, Any]) -> None:
        for code in LANGUAGES:
            right = {}
            for teacher in (code, "multilingual"):
                logits = load_file(project.layout.logits(teacher, code))["validation.logits"]
                right[teacher] = (logits.argmax(1) == project.gold(code, "validation")).mean()
            assert metrics["best_teacher"][code] == max(right, key=right.__getitem__)

    def test_twice_is_the_same(self, project: Project, metrics: dict[str, Any]) -> None:
        evaluate.evaluate(project.params, project.layout)
        assert read_json(project.layout.metrics, dict[str, Any], "dvc repro") == metrics


class TestSizes:
    def test_are_those_on_disk(self, project: Project, metrics: dict[str, Any]) -> None:
        folders = {"student": project.layout.student, "baseline": project.layout.baseline,
                   "floor": project.layout.floor, "teachers.en": project.layout.teacher("en")}
        for name, folder in folders.items():
            path = folder / "model.safetensors"
            assert metrics["sizes"][name]["bytes"] == path.stat().st_size
            assert metrics["sizes"][name]["parameters"] == sum(
                value.size for value in load_file(path).values())
        assert metrics["sizes"]["teachers.en"]["parameters"] == project.about("en")["parameters"]
        assert metrics["sizes"]["student"]["architecture"] == "xlm-roberta, 1 layers"
        assert metrics["sizes"]["floor"]["architecture"] == "TF-IDF, linear SVM"

    def test_of_a_linear_teacher(self, tmp_path: Path) -> None:
        project = Project(tmp_path, teachers={"multilingual": None, "fr": None, "ru": None, "en": {
            "kind": "linear", "architecture": None}}, languages=["en"], distil={"top_k": 1},
            baseline={"teacher": "en"}).write("en")
        project.teach()
        size = footprint._teacher(project.layout, "en")
        assert size["architecture"] == "TF-IDF, linear SVM"
        assert size["parameters"] == project.about("en")["parameters"]

    def test_of_a_teacher_without_tensors(self, tmp_path: Path) -> None:
        project = Project(tmp_path)
        write_json(project.layout.teacher("en") / "teacher.json",
                   {"fingerprint": "", "labels": [], "architecture": "majority", "layers": None,
                    "parameters": 3, "examples": 1, "seconds": 0.1, "epochs": 1, "best_epoch": 1})
        assert footprint._teacher(project.layout, "en") == {
            "architecture": "majority", "parameters": 3, "bytes": 0}

    @pytest.mark.parametrize("layers", [1, 0])
    def test_of_a_trimmed_vocabulary_and_of_all_of_it(self, tmp_path: Path, layers: int) -> None:
        project = scored(tmp_path, student={
            "architecture": {"layers": layers},
            "tokenizer": str(tmp_path / "artifacts/teachers/multilingual")})
        sizes = []
        few = {"coverage": 0.3, "at_least": 0}
        for changed in ({}, {"vocabulary": "trimmed", "trimming": few}):
            project.set(student=changed)
            project.start()
            project.distil(max_epochs=3)
            project.baseline()
            sizes.append(footprint.sizes(project.params, project.layout))
        full, trimmed = sizes
        for name in ("student", "baseline"):
            assert trimmed[name]["parameters"] < full[name]["parameters"]
            assert trimmed[name]["full_vocabulary"] == full[name]["parameters"]
        assert [name for models in sizes for name, size in models.items()
                if "full_vocabulary" in size] == ["student", "baseline"]

    def test_costs(self, project: Project, metrics: dict[str, Any]) -> None:
        seen = sum(row["examples"] for row in project.history("distil"))
        assert metrics["cost"]["student"]["examples"] == seen
        assert metrics["cost"]["baseline"]["examples"] == seen
        about = read_json(project.layout.floor / "floor.json", dict[str, Any], "floor")
        assert metrics["cost"]["floor"] == {"examples": 3 * ROWS["train"], "epochs": 1,
                                            "best_epoch": 1, "seconds": about["seconds"]}
        assert metrics["cost"]["teachers.en"]["examples"] == project.about("en")["examples"]


class TestMeasured:
    def test_says_which_student_on_which_rows(self, project: Project,
                                              metrics: dict[str, Any]) -> None:
        assert metrics["measured"] == {
            "student": checkpoint.fingerprint(project.layout.student),
            "test": {code: corpus.test_fingerprint(project.layout, code) for code in LANGUAGES}}

    def test_without_an_onboarding(self, metrics: dict[str, Any]) -> None:
        assert "onboarded" not in metrics


@pytest.fixture(scope="module")
def onboarded(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = onboarding(tmp_path_factory.mktemp("onboarded"), "ko")
    project.distil()
    project.baseline()
    evaluate.evaluate(project.params, project.layout)
    return project


class TestOnboarding:
    @pytest.fixture
    def metrics(self, onboarded: Project) -> dict[str, Any]:
        found: dict[str, Any] = read_json(onboarded.layout.metrics, dict[str, Any], "dvc repro")
        return found

    def test_says_what_it_began_from(self, onboarded: Project, metrics: dict[str, Any]) -> None:
        assert metrics["onboarded"] == {"version": 1, "languages": ["ko"]}
        assert metrics["measured"]["student"] == checkpoint.fingerprint(onboarded.layout.student)
        assert set(metrics["measured"]["test"]) == {*LANGUAGES, "ko"}

    def test_all_languages_are_measured_after(self, onboarded: Project,
                                              metrics: dict[str, Any]) -> None:
        predictor = PytorchPredictor(onboarded.layout.student)
        for code in (*LANGUAGES, "ko"):
            texts = corpus.load(onboarded.layout, code).texts("test")
            right = predictor.probabilities(*texts, code).argmax(1) == onboarded.gold(code, "test")
            assert metrics["student"]["accuracy"][code] == pytest.approx(100.0 * right.mean())
        for name in ("mixture", "floor"):
            assert set(metrics[name]["accuracy"]) == {"average", *LANGUAGES, "ko"}
        assert metrics["best_teacher"]["ko"] == "ko"

    def test_those_that_were_there_also_before(self, onboarded: Project,
                                               metrics: dict[str, Any]) -> None:
        predictor = PytorchPredictor(onboarded.layout.registered / "student")
        assert set(metrics["baseline"]["accuracy"]) == {"average", *LANGUAGES}
        for code in LANGUAGES:
            texts = corpus.load(onboarded.layout, code).texts("test")
            right = predictor.probabilities(*texts, code).argmax(1) == onboarded.gold(code, "test")
            assert metrics["baseline"]["accuracy"][code] == pytest.approx(100.0 * right.mean())

    def test_before_and_after_are_paired(self, metrics: dict[str, Any]) -> None:
        assert set(metrics["paired"]) == {"average", *LANGUAGES}
        differences = []
        for code in LANGUAGES:
            differences.append(metrics["student"]["accuracy"][code]
                               - metrics["baseline"]["accuracy"][code])
            assert metrics["paired"][code]["difference"] == pytest.approx(differences[-1])
        assert metrics["paired"]["average"]["difference"] == pytest.approx(np.mean(differences))

    def test_predictions_leave_out_what_was_not_served(self, onboarded: Project) -> None:
        path = onboarded.layout.evaluation / "predictions.csv"
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4 * 24
        for row in rows:
            assert row["student"] in LABELS
            assert row["baseline"] in (("",) if row["language"] == "ko" else LABELS)

    def test_costs_and_sizes(self, metrics: dict[str, Any]) -> None:
        assert metrics["cost"]["baseline"]["examples"] == 0
        assert metrics["cost"]["student"]["examples"] > 0
        assert metrics["sizes"]["student"]["parameters"] > (
            metrics["sizes"]["baseline"]["parameters"])


class TestWithout:
    @pytest.mark.parametrize("name", ["student", "baseline"])
    def test_a_model(self, tmp_path: Path, name: str) -> None:
        project = distilled(tmp_path)
        (project.layout.artifacts / name / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=f"{name}: expected a student.*run `dvc repro`"):
            evaluate.evaluate(project.params, project.layout)
        assert not project.layout.metrics.exists()

    def test_a_history(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        (project.layout.training("distil") / "history.jsonl").unlink()
        with pytest.raises(AmtssError, match=r"history\.jsonl.*run `dvc repro"):
            evaluate.evaluate(project.params, project.layout)

    def test_a_teacher_in_the_pool(self, tmp_path: Path) -> None:
        # the mixture is that of the student's pool, other teachers are measured all the same
        project = distilled(tmp_path)
        project.distil(teachers=["multilingual"])
        project.baseline()
        evaluate.evaluate(project.params, project.layout)
        metrics = json.loads(project.layout.metrics.read_text())
        assert metrics["mixture"]["accuracy"] == pytest.approx(
            metrics["teachers"]["multilingual"]["accuracy"])
        assert "fr" in metrics["teachers"]

    def test_a_mixture_of_changed_logits(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        sure = 9.0 * np.eye(3)[project.gold("en", "test")]
        for teacher in ("en", "multilingual"):
            rewrite_logits(project, teacher, "en", "test", sure)
        evaluate.evaluate(project.params, project.layout)
        assert json.loads(project.layout.metrics.read_text())["mixture"]["accuracy"]["en"] == 100.0
