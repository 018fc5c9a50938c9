from pathlib import Path

import numpy as np
import pytest
import torch
from support.lesson import Lesson
from support.training import Project, scored

from amtss.data import corpus
from amtss.distillation.checkpoints import Progress
from amtss.distillation.examples import Examples

pytestmark = pytest.mark.slow


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


class TestExamples:
    def test_stand_language_by_language(self, tmp_path: Path) -> None:
        data: Examples = Lesson(scored(tmp_path)).data
        assert [len(data.of(index)) for index in range(3)] == [48, 48, 68]
        assert (np.diff(data.language) >= 0).all()
        project = Project(tmp_path)
        expected = [project.gold("en", "train"), project.gold("fr", "train"),
                    project.gold("ru", "train"), np.full(20, corpus.UNLABELLED)]
        np.testing.assert_array_equal(data.labels, np.concatenate(expected))


class TestEpoch:
    def test_losses_are_those_of_equation_7(self, tmp_path: Path) -> None:
        lesson = Lesson(scored(tmp_path), learning_rate=1.0e-12, batch_size=7, kd_weight=0.7)
        lesson.learner.model.config.dropout = 0.0
        for module in lesson.learner.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        logits = lesson.learner.predict(lesson.data).astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        labelled = np.flatnonzero(lesson.data.labels >= 0)
        hard = -logs[labelled, lesson.data.labels[labelled]].sum() / len(logs)
        soft = (lesson.targets * (np.log(lesson.targets) - logs)).sum() / len(logs)
        losses = lesson.epoch(1)
        assert losses["hard_loss"] == pytest.approx(hard, abs=1e-4)
        assert losses["soft_loss"] == pytest.approx(soft, abs=1e-4)
        assert losses["loss"] == pytest.approx(hard + 0.7 * soft, abs=1e-4)

    def test_temperature_softens_the_student_too(self, tmp_path: Path) -> None:
        lesson = Lesson(scored(tmp_path), learning_rate=1.0e-12, temperature=2.0)
        for module in lesson.learner.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        halved = lesson.learner.predict(lesson.data).astype(np.float64) / 2.0
        logs = halved - np.log(np.exp(halved).sum(axis=1, keepdims=True))
        soft = 4.0 * (lesson.targets * (np.log(lesson.targets) - logs)).sum() / len(logs)
        assert lesson.epoch(1)["soft_loss"] == pytest.approx(soft, abs=1e-4)

    def test_rows_without_labels_teach_by_their_soft_targets(self, tmp_path: Path) -> None:
        lesson = Lesson(scored(tmp_path), kd_weight=1.0)
        rows = np.flatnonzero(lesson.data.labels == corpus.UNLABELLED)
        lesson.targets[rows] = np.eye(3)[np.arange(len(rows)) % 3]
        losses = [lesson.epoch(number, rows) for number in (1, 2, 3)]
        assert [epoch["hard_loss"] for epoch in losses] == [0.0, 0.0, 0.0]
        assert losses[2]["soft_loss"] < losses[0]["soft_loss"]

    def test_rows_without_labels_teach_nothing_on_labels_alone(self, tmp_path: Path) -> None:
        lesson = Lesson(scored(tmp_path), kd_weight=0.0, weight_decay=0.0)
        before = lesson.weights()
        lesson.epoch(1, np.flatnonzero(lesson.data.labels == corpus.UNLABELLED))
        assert same(before, lesson.weights())

    def test_soft_targets_do_not_matter_on_labels_alone(self, tmp_path: Path) -> None:
        project, weights = scored(tmp_path), []
        for targets in (0, 1):
            lesson = Lesson(project, kd_weight=0.0)
            if targets:
                lesson.targets = lesson.targets[::-1].copy()
            lesson.epoch(1)
            weights.append(lesson.weights())
        assert same(*weights)

    def test_is_seeded_by_its_number(self, tmp_path: Path) -> None:
        project, weights = scored(tmp_path), []
        for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1)):
            lesson = Lesson(project, seed)
            lesson.epoch(number)
            weights.append(lesson.weights())
        assert same(weights[0], weights[1])
        assert not same(weights[0], weights[2])
        assert not same(weights[0], weights[3])

    def test_learning_rate_warms_up_and_decays_to_nothing(self, tmp_path: Path) -> None:
        learner = Lesson(scored(tmp_path), warmup=0.2, learning_rate=0.01).learner
        rates = []
        for share in (0.0, 0.1, 0.2, 0.6, 1.0):
            learner._set_learning_rate(share)
            rates.append(learner.optimizer.param_groups[0]["lr"])
        assert rates == pytest.approx([0.0, 0.005, 0.01, 0.005, 0.0])

    @pytest.mark.parametrize("warmup", [0.0, 1.0])
    def test_any_warm_up(self, tmp_path: Path, warmup: float) -> None:
        learner = Lesson(scored(tmp_path), warmup=warmup, learning_rate=0.01).learner
        for share in (0.0, 0.5, 0.999):
            learner._set_learning_rate(share)
            assert 0.0 <= learner.optimizer.param_groups[0]["lr"] <= 0.01

    def test_biases_and_norms_do_not_decay(self, tmp_path: Path) -> None:
        learner = Lesson(scored(tmp_path)).learner
        decayed, others = learner.optimizer.param_groups
        assert decayed["weight_decay"] == 0.01
        assert others["weight_decay"] == 0.0
        assert {p.dim() for p in others["params"]} == {1}
        assert len(decayed["params"]) + len(others["params"]) == len(
            list(learner.model.parameters()))

    @pytest.mark.parametrize("parts", [2, 3, 8])
    def test_in_parts_the_step_is_the_same(self, tmp_path: Path, parts: int) -> None:
        # of seven rows, so that parts differ in size, and some of eight are empty
        project = scored(tmp_path, student={"dropout": 0.0})
        whole, cut = (Lesson(project, batch_size=7, learning_rate=1.0e-3, accumulate=accumulate)
                      for accumulate in (1, parts))
        assert cut.epoch(1) == pytest.approx(whole.epoch(1), rel=1e-4)
        other = cut.weights()
        assert all(torch.allclose(value, other[name], atol=2e-4)
                   for name, value in whole.weights().items())

    def test_prediction_does_not_depend_on_the_batch(self, tmp_path: Path) -> None:
        lesson = Lesson(scored(tmp_path))
        every = lesson.learner.predict(lesson.data)
        lesson.learner.model.eval()
        with torch.inference_mode():
            for row in range(0, len(every), 17):
                alone = lesson.learner.model(*lesson.learner._inputs(lesson.data, np.array([row])))
                np.testing.assert_allclose(alone[0].numpy(), every[row], atol=1e-5)


class TestCheckpoints:
    def trained(self, project: Project, best: tuple[int, ...] = (1, 2, 3)) -> Lesson:
        """Three epochs, each saved; `best` are those that were the best so far."""
        lesson, progress = Lesson(project), Progress("print")
        for number in (1, 2, 3):
            lesson.epoch(number)
            progress.epoch = number
            progress.best_epoch = number if number in best else progress.best_epoch
            lesson.learner.save(lesson.folder, progress)
        return lesson

    def test_the_last_and_the_best_are_kept(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        folder = self.trained(project, best=(1,)).folder
        assert {path.name for path in folder.iterdir()} == {"epoch-0001", "epoch-0003"}
        assert {path.name for path in (folder / "epoch-0003").iterdir()} == {
            "checksums.json", "model.safetensors", "optimizer.safetensors", "progress.json"}

    def test_resuming_is_as_never_having_stopped(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        lesson = self.trained(project)
        lesson.epoch(4)
        resumed = Lesson(project)
        progress = resumed.learner.resume(resumed.folder, "print")
        assert progress.epoch == 3
        resumed.epoch(4)
        assert same(lesson.weights(), resumed.weights())

    def test_another_training_starts_afresh(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        folder = self.trained(project).folder
        fresh = Lesson(project)
        before = fresh.weights()
        assert fresh.learner.resume(folder, "another") == Progress("another")
        assert same(before, fresh.weights())
        assert not folder.exists()

    @pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors",
                                      "progress.json"])
    @pytest.mark.parametrize("how", ["cut", "missing", "empty"])
    def test_an_unreadable_last_one_falls_back_to_the_best(
            self, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str) -> None:
        project = scored(tmp_path)
        path = self.trained(project, best=(1,)).folder / "epoch-0003" / name
        data = path.read_bytes()
        path.unlink()
        if how != "missing":
            path.write_bytes(data[:len(data) // 2] if how == "cut" else b"")
        resumed = Lesson(project)
        assert resumed.learner.resume(resumed.folder, "print").epoch == 1
        assert "epoch-0003: unreadable" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["optimizer.safetensors", "progress.json"])
    def test_none_readable_begins_at_the_beginning(self, tmp_path: Path, name: str) -> None:
        project = scored(tmp_path)
        path = self.trained(project).folder / "epoch-0003" / name
        path.write_bytes(path.read_bytes()[:20])
        fresh, resumed = Lesson(project), Lesson(project)
        assert resumed.learner.resume(resumed.folder, "print") == Progress("print")
        for lesson in (fresh, resumed):
            lesson.epoch(1)
        assert same(fresh.weights(), resumed.weights())

    def test_without_the_best_it_does_not_resume(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        folder = self.trained(project, best=(1,)).folder
        (folder / "epoch-0001" / "model.safetensors").unlink()
        resumed = Lesson(project)
        assert resumed.learner.resume(folder, "print") == Progress("print")

    def test_a_temporary_folder_is_no_checkpoint(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        folder = self.trained(project).folder
        (folder / ".epoch-0004-abc" / "epoch-0004").mkdir(parents=True)
        resumed = Lesson(project)
        assert resumed.learner.resume(folder, "print").epoch == 3
