"""A linear teacher, taught, scored and distilled by the real stages on small projects."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from support.project import STAGES, run
from support.project import Project as Commands
from support.training import LABELS, LANGUAGES, ROWS, Project, table, write_corpus

from amtss import processes
from amtss.config.schema import LinearTeacher
from amtss.data import corpus
from amtss.errors import AmtssError, DataError
from amtss.evaluation import footprint
from amtss.files import read_json
from amtss.logits import cache as logits_cache
from amtss.teachers import linear, linear_model

RARE = "zyzzogeton"
"""A word that no other text has."""


def project(root: Path, **teacher: Any) -> Project:
    """A project with a linear teacher `lin` of these settings beside the multilingual one."""
    own = {"kind": "linear", "languages": ["en"]} | teacher
    return Project(root, teachers={"en": None, "fr": None, "ru": None, "lin": own}).write()


def logits(project: Project, code: str = "en", split: str = "train") -> NDArray[np.float32]:
    origin = logits_cache.origin_of(project.params, project.layout, "lin", code)
    return logits_cache.read(project.layout.logits("lin", code), origin, "lin")[split].values


def scored(project: Project) -> Project:
    project.teach("lin")
    project.score("lin")
    return project


def model(project: Project, code: str = "en") -> linear_model.LinearModel:
    """The model of all rows."""
    return linear_model.load(project.layout.teacher("lin"), "teach")[code]


def rows(texts: Iterable[str], labels: Iterable[str]) -> pa.Table:
    texts = list(texts)
    return pa.table({"id": [str(number) for number in range(len(texts))], "text": texts,
                     "label": list(labels)})


def relabelled(train: pa.Table, row: int, label: str) -> pa.Table:
    labels = train["label"].to_pylist()
    labels[row] = label
    return train.set_column(train.column_names.index("label"), "label", [labels])


class TestTaught:
    def test_it_knows_more_than_chance_and_reports_it_once(self, tmp_path: Path) -> None:
        own = project(tmp_path)
        (number, figures), = own.teach("lin")
        own.score("lin")
        right = logits(own, split="validation").argmax(axis=1) == own.gold("en", "validation")
        assert (number, figures["accuracy"]) == (1, pytest.approx(100.0 * right.mean()))
        assert figures["accuracy"] > 70.0
        assert 0.0 < figures["loss"] < np.log(3)

    def test_leaves_tensors_and_json(self, tmp_path: Path) -> None:
        own = scored(project(tmp_path, languages=["all"]))
        folder = own.layout.teacher("lin")
        assert {path.name for path in folder.iterdir()} == {
            "checksums.json", "model.safetensors", "cross_fitted.safetensors", "features.json",
            "teacher.json"}
        about = own.about("lin")
        assert (about["kind"], about["languages"]) == ("linear", list(LANGUAGES))
        assert (about["epochs"], about["layers"], about["examples"]) == (1, None, 3 * 48)
        assert tuple(about["labels"]) == LABELS

    @pytest.mark.parametrize("cross_fit", [0, 3])
    def test_twice_gives_the_same_bytes(self, tmp_path: Path, cross_fit: int) -> None:
        one, two = (scored(project(tmp_path / name, cross_fit=cross_fit)) for name in "ab")
        for path in one.layout.teacher("lin").iterdir():
            other = two.layout.teacher("lin") / path.name
            if path.name == "teacher.json":
                first, second = (json.loads(file.read_text()) for file in (path, other))
                cost = {"seconds": 0, "checksum": ""}
                assert first | cost == second | cost
            else:
                assert path.read_bytes() == other.read_bytes()
        assert (one.layout.logits("lin", "en").read_bytes()
                == two.layout.logits("lin", "en").read_bytes())

    def test_a_language_whose_validation_lacks_a_class(self, tmp_path: Path) -> None:
        own = project(tmp_path)
        held_out = [row for row in table("en", "validation", 24).to_pylist()
                    if row["label"] != "ship"]
        write_corpus(own.layout, "en", validation=rows(
            (row["text"] for row in held_out), (row["label"] for row in held_out)))
        values = logits(scored(own), split="test")
        assert (values.argmax(axis=1) == own.gold("en", "test")).mean() > 0.6
        assert (values.argmax(axis=1) == LABELS.index("ship")).any()

    def test_validation_of_classes_that_train_lacks(self, tmp_path: Path) -> None:
        own = project(tmp_path, cross_fit=0)
        write_corpus(own.layout, "en", validation=rows(["x y"], ["ship"]), train=rows(
            [f"a{number} {label}" for number in range(9) for label in LABELS[:2]],
            LABELS[:2] * 9))
        probabilities = np.exp(logits(scored(own), split="test"))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
        assert (probabilities[:, 2] < 0.1).all()


class TestScored:
    @pytest.mark.parametrize("split", ["validation", "test", "unlabelled"])
    def test_by_the_model_of_all_rows(self, tmp_path: Path, split: str) -> None:
        own = scored(project(tmp_path, languages=["ru"]))
        texts = corpus.load(own.layout, "ru")[split]["text"].to_pylist()
        np.testing.assert_array_equal(logits(own, "ru", split),
                                      model(own, "ru").log_probabilities(texts))

    def test_training_rows_too_without_cross_fitting(self, tmp_path: Path) -> None:
        own = scored(project(tmp_path, cross_fit=0))
        english = corpus.load(own.layout, "en")
        texts = english["train"]["text"].to_pylist()
        np.testing.assert_array_equal(logits(own), model(own).log_probabilities(texts))
        kept = linear.unseen(own.layout, "lin", english)
        assert kept is not None
        teacher = LinearTeacher(kind="linear", languages=("en",), cross_fit=4)
        np.testing.assert_array_equal(kept, linear.cross_fit(english, LABELS, teacher))

    def test_too_few_rows_to_set_any_aside(self, tmp_path: Path) -> None:
        own = project(tmp_path, cross_fit=0)
        write_corpus(own.layout, "en", train=rows(["a b", "a c"], ["pay", "ship"]))
        own.teach("lin")
        assert linear.unseen(own.layout, "lin", corpus.load(own.layout, "en")) is None

    def test_training_rows_by_a_model_that_has_not_seen_them(self, tmp_path: Path) -> None:
        train = table("en", "train", 48)
        texts, labels = train["text"].to_pylist(), train["label"].to_pylist()
        # Only a model that has seen this text knows what the word says.
        texts[5], labels[5] = RARE, "ship"
        told = {}
        for cross_fit in (0, 4):
            own = project(tmp_path / str(cross_fit), cross_fit=cross_fit)
            write_corpus(own.layout, "en", train=rows(texts, labels))
            told[cross_fit] = float(np.exp(logits(scored(own))[5, LABELS.index("ship")]))
        assert told[0] > 0.8
        assert told[4] < 0.6

    def test_equal_texts_are_seen_by_no_model_that_scores_them(self, tmp_path: Path) -> None:
        train = table("en", "train", 48)
        texts, labels = train["text"].to_pylist(), train["label"].to_pylist()
        for row in (3, 17, 29, 40):
            texts[row], labels[row] = RARE, "ship"
        own = project(tmp_path)
        write_corpus(own.layout, "en", train=rows(texts, labels))
        told = np.exp(logits(scored(own))[[3, 17, 29, 40], LABELS.index("ship")])
        assert (told < 0.6).all()

    def test_a_row_keeps_its_part_when_others_come(self, tmp_path: Path) -> None:
        """A row's label changes the scores of all other parts' rows, and not those of its own."""
        parts, whole = [], table("en", "train", 67)
        for size in (48, 67):  # the new rows come between the others
            own = project(tmp_path / str(size))
            order = np.random.default_rng(size).permutation(size)
            train, at = whole.take(order), np.argsort(order)[:48]
            write_corpus(own.layout, "en", train=train)
            before = logits(scored(own))
            other = "pay" if whole["label"][7].as_py() != "pay" else "chat"
            write_corpus(own.layout, "en", train=relabelled(train, int(at[7]), other))
            parts.append((before == logits(scored(own))).all(axis=1)[at])
        np.testing.assert_array_equal(parts[0], parts[1])
        assert parts[0][7]
        assert 4 < parts[0].sum() < 24

    def test_pairs(self, tmp_path: Path) -> None:
        own = project(tmp_path)
        write_corpus(own.layout, "en", pairs=True)
        scored(own)
        first, second = corpus.load(own.layout, "en").texts("test")
        assert second is not None
        whole = model(own).log_probabilities([f"{text} \n {pair}" for text, pair
                                              in zip(first, second, strict=True)])
        np.testing.assert_array_equal(logits(own, split="test"), whole)
        assert not np.array_equal(whole, model(own).log_probabilities(first))


class TestRefused:
    @pytest.mark.parametrize(("train", "cross_fit", "message"), [
        (rows(["a b", "a c"], ["pay", "pay"]), 0,
         r"^en/train: expected rows of two labels or more to teach .*found 1 in 2 rows; add"),
        (rows(["a b", "a c"], ["pay", "ship"]), 4,
         r"^en/train: expected rows of two labels or more outside each of 4 parts, .*cross_fit"),
        (rows(["?!", "!!", "..", "!?"], ["pay", "ship"] * 2), 0,
         r"^en/train: expected texts to teach a linear model on, found: .*; correct the source")],
        ids=["one label", "too few for parts", "no words"])
    def test_too_few_rows(self, tmp_path: Path, train: pa.Table, cross_fit: int,
                          message: str) -> None:
        own = project(tmp_path, cross_fit=cross_fit)
        write_corpus(own.layout, "en", train=train)
        with pytest.raises(DataError, match=message) as refused:
            own.teach("lin")
        assert "\n" not in str(refused.value)
        assert not own.layout.teacher("lin").exists()

    def test_no_validation_rows(self, tmp_path: Path) -> None:
        own = project(tmp_path)
        write_corpus(own.layout, "en", ROWS | {"validation": 0})
        with pytest.raises(DataError, match=r"^en/validation: expected rows .*found none"):
            own.teach("lin")

    def test_stale_cross_fitted_rows(self, tmp_path: Path) -> None:
        own = project(tmp_path)
        own.teach("lin")
        write_corpus(own.layout, "en", ROWS | {"train": 51})
        with pytest.raises(AmtssError, match=r"expected log-probabilities of the training rows of "
                                             r"en, found .* run `dvc repro -f teach@lin`"):
            own.score("lin")

    @pytest.mark.parametrize("name", ["cross_fitted.safetensors", "model.safetensors"])
    def test_a_truncated_file(self, tmp_path: Path, name: str) -> None:
        own = project(tmp_path)
        own.teach("lin")
        path = own.layout.teacher("lin") / name
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(AmtssError, match=r"checksum differs.*run `dvc repro teach@lin`"):
            own.score("lin")


@pytest.mark.slow
def test_it_is_distilled_beside_a_transformer(tmp_path: Path) -> None:
    own = project(tmp_path, languages=["all"])
    own.set(teaching={"epochs": 1})
    own.teach()
    own.score()
    own.start()
    history = own.distil(max_epochs=4, mixing="geometric")
    assert set(history[0]["weights"]) == {"lin", "multilingual"}
    own.baseline()
    own.floor()
    size = footprint.sizes(own.params, own.layout)["teachers.lin"]
    assert size["architecture"] == "TF-IDF, linear SVM"
    assert size["parameters"] == own.about("lin")["parameters"]
    assert footprint.costs(own.params, own.layout)["teachers.lin"]["examples"] == 3 * 48


def with_linear(values: dict[str, Any]) -> None:
    """Change params.yaml of the commands' project: its teacher `en` is linear."""
    values["teachers"]["en"] = {"kind": "linear", "languages": ["all"]}


@pytest.mark.slow
def test_it_is_taught_in_this_process_alone(ready: Commands, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    ready.params(lambda values: (with_linear(values), values.update(project="linear")))
    monkeypatch.setenv(processes.PROCESSES, "2")
    assert run("teach", "en") == 0
    assert "en epoch 1: accuracy 100.00" in capsys.readouterr().out  # torchrun's is not captured
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("amtss-linear")
    logged, = client.search_runs([experiment.experiment_id])
    assert logged.data.params["teachers.en.kind"] == "linear"
    assert set(logged.data.metrics) >= {"accuracy", "loss"}


@pytest.mark.slow
def test_every_command_up_to_the_report(project: Commands) -> None:
    project.params(with_linear)
    for stage in STAGES:
        assert run(*stage.split()) == 0, stage
    metrics = read_json(project.root / "artifacts" / "metrics.json", dict[str, Any], "evaluate")
    assert metrics["sizes"]["teachers.en"]["architecture"] == "TF-IDF, linear SVM"
    assert metrics["best_teacher"] == {"en": "en", "fr": "en"}
    report = (project.root / "artifacts" / "report" / "report.md").read_text(encoding="utf-8")
    assert "TF-IDF, linear SVM" in report
    assert "mixing: arithmetic" in report
