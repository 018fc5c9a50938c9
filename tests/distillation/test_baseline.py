import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.training import (
    LANGUAGES,
    Project,
    distilled,
    onboarding,
    rewrite_logits,
    scored,
    stopping_after,
    untimed,
)

from amtss import records
from amtss.distillation import baseline
from amtss.errors import AmtssError, CheckpointError
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.models import checkpoint

pytestmark = pytest.mark.slow


def tiny(project: Project) -> bytes:
    return (project.layout.baseline / "model.safetensors").read_bytes()


def until(project: Project, epochs: int) -> None:
    """Train, but stop after `epochs`."""
    with stopping_after(epochs) as stop:
        baseline.baseline(project.params, project.layout, stop)


class TestBudget:
    @pytest.mark.parametrize("distil", [{}, {"top_k": 1, "max_epochs": 3, "replay": 0.3},
                                        {"max_epochs": 2}])
    def test_sees_as_many_examples_as_the_student(self, tmp_path: Path,
                                                  distil: dict[str, Any]) -> None:
        project = scored(tmp_path)
        seen = sum(row["examples"] for row in project.distil(**distil))
        history = project.baseline()
        assert sum(row["examples"] for row in history) == seen
        cost = records.cost(project.layout, "baseline")
        assert cost["examples"] == seen
        assert all(row["examples"] == 164 for row in history[:-1])  # whole passes, then the rest
        assert 0 < history[-1]["examples"] <= 164

    def test_needs_the_students(self, tmp_path: Path) -> None:
        with pytest.raises(AmtssError, match=r"cost.json.*run `dvc repro distil`"):
            scored(tmp_path).baseline()


class TestModel:
    def test_has_one_head_and_else_the_students_encoder(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        one, many = (load_file(folder / "model.safetensors")
                     for folder in (project.layout.baseline, project.layout.student))
        heads = {name.split(".")[1] for name in one if name.startswith("heads.")}
        assert heads == {"all"}
        assert {name.split(".")[1] for name in many if name.startswith("heads.")} == {*LANGUAGES}
        assert {(name, value.shape) for name, value in one.items() if "heads." not in name} == {
            (name, value.shape) for name, value in many.items() if "heads." not in name}

    def test_answers_in_any_language_alike(self, tmp_path: Path) -> None:
        predictor = PytorchPredictor(distilled(tmp_path).layout.baseline)
        probabilities = [predictor.probabilities(["enpay1 enship2"], None, code)
                         for code in LANGUAGES]
        np.testing.assert_array_equal(probabilities[0], probabilities[1])
        np.testing.assert_array_equal(probabilities[0], probabilities[2])

    def test_learns_of_its_teacher_alone(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        before = tiny(project)
        for code in LANGUAGES:  # what the others say does not matter
            rewrite_logits(project, code, code, "train", np.zeros((48, 3)))
        project.baseline()
        assert tiny(project) == before
        rewrite_logits(project, "multilingual", "en", "train", np.zeros((48, 3)))
        project.baseline()
        assert tiny(project) != before

    def test_needs_no_weights_of_teachers(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        before = tiny(project)
        for path in (project.layout.artifacts / "teachers").glob("*/model.safetensors"):
            path.unlink()
        project.baseline()
        assert tiny(project) == before

    def test_another_seed_another_model(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        before = tiny(project)
        project.set(distil={"seed": 1})
        project.baseline()
        assert tiny(project) != before


class TestInterrupted:
    @pytest.mark.parametrize("epochs", [1, 3])
    def test_resumes_from_its_last_epoch(self, tmp_path: Path, epochs: int) -> None:
        project = distilled(tmp_path)
        before, history = tiny(project), project.history("baseline")
        until(project, epochs)
        reported: list[int] = []
        baseline.baseline(project.params, project.layout, lambda row: reported.append(row["epoch"]))
        assert reported[0] == epochs + 1
        assert tiny(project) == before
        assert untimed(project.history("baseline")) == untimed(history)
        assert not project.layout.checkpoints("baseline").exists()

    def test_another_budget_starts_afresh(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        until(project, 2)
        project.distil(max_epochs=3)
        history = project.baseline()
        assert sum(row["examples"] for row in history) == sum(
            row["examples"] for row in project.history("distil"))
        assert history[0]["epoch"] == 1


class TestOnboarding:
    def test_is_the_registered_student(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        assert project.baseline() == []
        registered = project.layout.registered / "student"
        assert checkpoint.fingerprint(project.layout.baseline) == checkpoint.fingerprint(registered)
        folder = project.layout.training("baseline")
        assert records.cost(project.layout, "baseline") == {
            "examples": 0, "seconds": 0.0, "epochs": 0, "best_epoch": 0}
        assert (folder / "epochs.csv").read_text() == "epoch,language,accuracy,margin,rank\n"

    def test_replaces_x_lm_tiny(self, tmp_path: Path) -> None:
        project = distilled(tmp_path)
        project.register()
        project.set(onboarding={"version": 1, "fingerprint": "0" * 16, "languages": ["ru"]})
        project.baseline()
        assert tiny(project) == project.student

    def test_needs_it(self, tmp_path: Path) -> None:
        project = onboarding(tmp_path, "ko")
        shutil.rmtree(project.layout.registered)
        with pytest.raises(CheckpointError, match=r"registered/student: .*`dvc repro -f fetch`"):
            project.baseline()
        assert not project.layout.baseline.exists()
