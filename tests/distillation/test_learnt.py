"""What has learnt nothing is an error, what has hardly learnt anything a warning."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.project import unfolded
from support.training import (
    LANGUAGES,
    Project,
    distilled,
    rewrite_logits,
    scored,
    stopping_after,
)

from amtss.distillation import algorithm1
from amtss.distillation.learnt import check_student, warn_of, warn_of_loss
from amtss.distillation.remedy import History
from amtss.errors import CheckpointError
from amtss.evaluation import evaluate
from amtss.files import seal
from amtss.logits.skill import Skill, skill

WELL: History = [{"loss": 1.0, "average": 50.0}, {"loss": 0.5, "average": 60.0}]
BADLY: History = [{"loss": 1.0, "average": 50.0}, {"loss": 7.0, "average": 40.0}]
GOLD = np.arange(30) % 3
GOOD, NOTHING = skill(GOLD, GOLD), skill(np.zeros(30, dtype=int), GOLD)


def check(project: Project, *skills: Skill, epochs: History = WELL,
          before: tuple[Skill, ...] | None = None) -> None:
    check_student(project.params, dict(zip(LANGUAGES, skills, strict=True)), "validation", epochs,
                  before and dict(zip(LANGUAGES, before, strict=True)))


class TestStudent:
    def test_a_good_one_passes_in_silence(self, tmp_path: Path,
                                          capfd: pytest.CaptureFixture[str]) -> None:
        check(Project(tmp_path), GOOD, GOOD, GOOD)
        assert capfd.readouterr().err == ""

    def test_nothing_is_an_error_that_says_what_to_change(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=(
                r"^student: expected one that has learnt something, found one that is right for "
                r"33\.33% of rows, where the commonest label alone is right for 33\.33% "
                r"\(validation\); raise distil\.max_epochs \(now 5\) or distil\.learning_rate "
                r"\(now 0\.01\), or set student\.architecture\.layers: 0, .*, or give it more")):
            check(Project(tmp_path), NOTHING, NOTHING, NOTHING)

    def test_with_a_loss_that_rose_the_steps_are_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=(
                r"; lower distil\.learning_rate, .* \(now 0\.01\), or set distil\.precision: fp32 "
                r"\(now bf16\)$")):
            check(Project(tmp_path, distil={"precision": "bf16"}), NOTHING, NOTHING, NOTHING,
                  epochs=BADLY)

    def test_nothing_in_one_language_is_a_warning(self, tmp_path: Path,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
        check(Project(tmp_path), GOOD, NOTHING, GOOD)
        assert "amtss: warning: student has learnt nothing in fr: it is right for 33.33%" in (
            unfolded(capfd.readouterr().err))

    def test_of_an_onboarding_the_new_languages_count(self, tmp_path: Path) -> None:
        project = Project(tmp_path)
        project.set(onboarding={"version": 1, "fingerprint": "0" * 16, "languages": ["ru"]})
        with pytest.raises(CheckpointError, match=r"raise continuation\.max_epochs \(now 2\) or"):
            check(project, GOOD, GOOD, NOTHING)

    def test_a_weak_one_is_a_warning(self, tmp_path: Path,
                                     capfd: pytest.CaptureFixture[str]) -> None:
        weak = Skill(30, 11, 10, 10.0, 6.0)
        check(Project(tmp_path), weak, weak, weak)
        assert "warning: student has hardly learnt anything: it is right for 36.67%" in (
            capfd.readouterr().err)

    def test_a_loss_that_rose_is_a_warning(self, tmp_path: Path,
                                           capfd: pytest.CaptureFixture[str]) -> None:
        warn_of_loss(Project(tmp_path).params, BADLY, "student")
        assert ("student: the training loss rose from 1.0000 to 7.0000, and no epoch was better "
                "than the first; lower distil.learning_rate") in unfolded(capfd.readouterr().err)

    def test_a_loss_may_rise_where_later_epochs_are_better(
            self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        epochs = [BADLY[0], {"loss": 7.0, "average": 51.0}]
        warn_of_loss(Project(tmp_path).params, epochs, "student")
        assert capfd.readouterr().err == ""

    def test_what_learnt_something_on_other_rows_may_miss_a_few(
            self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        unlucky = Skill(20, 9, 10, 9.0, 4.0)
        check(Project(tmp_path), unlucky, unlucky, unlucky, before=(GOOD, GOOD, GOOD))
        assert "warning: student has hardly learnt anything" in capfd.readouterr().err
        with pytest.raises(CheckpointError, match="learnt something"):
            check(Project(tmp_path), unlucky, unlucky, unlucky)
        with pytest.raises(CheckpointError, match="learnt something"):
            check(Project(tmp_path), NOTHING, NOTHING, NOTHING, before=(GOOD, GOOD, GOOD))

    def test_the_baseline_is_only_warned_of(self, tmp_path: Path,
                                            capfd: pytest.CaptureFixture[str]) -> None:
        skills = dict.fromkeys(LANGUAGES, NOTHING)
        warn_of(Project(tmp_path).params, skills, "validation", WELL, "baseline")
        assert "warning: baseline has hardly learnt anything" in capfd.readouterr().err


class TestStages:
    def test_a_student_that_learns_nothing_is_not_written(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        with pytest.raises(CheckpointError, match="learnt something, found one that is right for"):
            project.distil(max_epochs=1, learning_rate=1e-9)
        assert not project.layout.student.exists()

    def test_a_loss_that_is_no_number_stops_the_training(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        with pytest.raises(CheckpointError, match=r"finite l.*lower distil\.learning_rate"):
            project.distil(learning_rate=1e30)
        assert not project.layout.student.exists()

    def test_teachers_that_have_learnt_nothing(self, tmp_path: Path,
                                               capfd: pytest.CaptureFixture[str]) -> None:
        project = scored(tmp_path)
        constant = np.eye(3)[np.zeros(24, dtype=int)]
        rewrite_logits(project, "fr", "fr", "validation", constant)
        project.distil()
        assert "warning: teacher fr has learnt nothing: it is right for 33.33%" in (
            capfd.readouterr().err)
        for name in project.params.pool:
            for code in project.params.scored_by(name):
                rewrite_logits(project, name, code, "validation", constant)
        shutil.rmtree(project.layout.student)
        with pytest.raises(CheckpointError, match=(
                r"^teachers: expected one that has learnt something, .*training\.epochs")):
            project.distil()
        project.distil(labels_only=True)
        assert project.layout.student.exists()

    def test_evaluate_refuses_a_student_of_one_answer(self, tmp_path: Path) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        project = distilled(tmp_path)
        path = project.layout.student / "model.safetensors"
        weights = {name: torch.zeros_like(value) if name.startswith("heads") else value
                   for name, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
        seal(project.layout.student)
        with pytest.raises(CheckpointError, match=r"right for 33\.33% of rows, .* \(test\);"):
            evaluate.evaluate(project.params, project.layout)
        assert not project.layout.metrics.exists()

    def test_a_killed_training_judges_its_best_epoch(self, tmp_path: Path) -> None:
        # an epoch from before the kill, for a student that learns nothing
        project, epochs = scored(tmp_path), list[dict[str, Any]]()
        project.set(distil={"learning_rate": 1e-9, "max_epochs": 2})
        with stopping_after(2) as stop:
            algorithm1.distil(project.params, project.layout,
                              lambda row: (epochs.append(row), stop(row)))
        assert [row["best"] for row in epochs] == [True, True]
        with pytest.raises(CheckpointError, match=(
                rf"is right for {epochs[1]['average']:.2f}% of rows, .* \(validation\);")):
            project.distil()
        assert not project.layout.student.exists()
