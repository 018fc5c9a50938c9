from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.training import LABELS, begun, write_checkpoint

from amtss.config.schema import Architecture, Distil, Student
from amtss.data.corpus import UNLABELLED
from amtss.distillation import embedding_rows
from amtss.distillation.checkpoints import Progress
from amtss.distillation.examples import Examples
from amtss.distillation.learner import Learner
from amtss.distillation.loss import distillation_loss
from amtss.models import hardware
from amtss.student.model import StudentModel, build_student
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

V, CODES = 120, ("en", "fr")
SEPARATOR = int(np.random.default_rng(0).permutation(np.arange(5, V))[0])
"""One of the tokens of `Lesson`'s texts."""
MORE = {"batch_size": 8, "learning_rate": 1.0e-2, "weight_decay": 0.1, "warmup": 0.0,
        "precision": "fp32"}


def tokens_of(*parts: list[int]) -> Tokens:
    """A text per part."""
    return Tokens(tuple(np.array(part, np.int32) for part in parts),
                  np.cumsum([0, *map(len, parts)]))


def scratch(_: Path) -> StudentModel:
    sizes = Architecture(layers=1, width=16, heads=2, feed_forward=32)
    return build_student(Student(architecture=sizes, dropout=0.0), list(CODES), list(LABELS), V, 1)


def static(_: Path) -> StudentModel:
    settings = Student(architecture=Architecture(layers=0, width=16), dropout=0.0)
    return build_student(settings, list(CODES), list(LABELS), V, 1)


def started(kind: str) -> Callable[[Path], StudentModel]:
    def build(folder: Path) -> StudentModel:
        source = write_checkpoint(folder / kind, kind)
        model = begun(source, folder / f"start-{kind}", CODES, layers=1)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return model
    return build


def of_pairs(_: Path) -> StudentModel:
    settings = Student(architecture=Architecture(layers=0, width=16, pairs=300), dropout=0.0)
    return build_student(settings, list(CODES), list(LABELS), V, 1)


def of_two_texts(_: Path) -> StudentModel:
    settings = Student(architecture=Architecture(layers=0, width=16), dropout=0.0)
    model = build_student(settings, list(CODES), list(LABELS), V, 1, separator=SEPARATOR)
    with torch.no_grad():
        model.encoder.second[:] = 0.5
    return model


STUDENTS = {"scratch": scratch, "static": static, "pairs": of_pairs,
            "two texts": of_two_texts, "bert": started("bert"),
            "roberta": started("roberta")}


class Lesson:
    """Forty texts of few of the ids, and a student of them."""

    def __init__(self, folder: Path, make: Callable[[Path], StudentModel] = scratch) -> None:
        hardware.deterministic(0)
        self.model = make(folder)
        self.before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.name = next(name for name in self.before if name.endswith("word_embeddings.weight"))
        self.pad = self.model.config.encoder.pad_token_id
        self.settings, self.kd_weight = Distil.model_validate(MORE), 1.0
        draw = np.random.default_rng(0)
        known = draw.permutation(np.arange(5, len(self.before[self.name])))[:20]
        texts = [draw.choice(known, size=draw.integers(1, 9)).tolist() for _ in range(40)]
        self.data = Examples(tokens_of(*texts), draw.integers(0, 3, 40), np.arange(40) // 20)
        self.targets = draw.dirichlet(np.ones(3), 40).astype(np.float32)

    def unused(self) -> list[int]:
        used = set(np.concatenate(self.data.tokens.ids).tolist())
        return [row for row in range(self.pad + 1, len(self.before[self.name])) if row not in used]

    def learner(self) -> Learner:
        self.model.load_state_dict(self.before)
        return Learner(self.model, self.settings, self.pad, [self.data])

    def epoch(self, learner: Learner, number: int = 2) -> None:
        learner.epoch(self.data, np.arange(40), self.targets, number,
                      ((number - 1) / 5, number / 5), self.kd_weight)

    def plain(self, number: int = 2) -> dict[str, torch.Tensor]:
        """What the same epoch leaves of the model with its whole table."""
        adam = torch.optim.AdamW(
            [{"params": [p for p in self.model.parameters() if (p.dim() > 1) == decayed],
              "weight_decay": 0.1 * decayed} for decayed in (True, False)], lr=1e-2, fused=True)
        self.norms = []
        batches = list(tokens.batches(self.data.tokens.lengths, self.settings.batch_size,
                                      np.random.default_rng([self.settings.seed, number])))
        for step, at in enumerate(batches):
            for group in adam.param_groups:
                group["lr"] = 1e-2 * (1 - ((number - 1) / 5 + (number / 5 - (number - 1) / 5)
                                           * step / len(batches)))
            inputs = (*self.data.tokens.padded(at, self.pad), self.data.language[at])
            loss = distillation_loss(
                self.model(*map(torch.from_numpy, inputs)), torch.from_numpy(self.targets[at]),
                torch.from_numpy(self.data.labels[at]), kd_weight=self.kd_weight,
                temperature=1.0)
            loss.total.backward()
            self.norms.append(float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)))
            adam.step()
            adam.zero_grad()
        return {name: value.clone() for name, value in self.model.state_dict().items()}


ids = st.lists(st.integers(0, V - 1), min_size=1, max_size=30)


class TestEmbeddingRows:
    @pytest.mark.parametrize("make", [of_pairs, of_two_texts])
    def test_are_all_where_tokens_count_by_their_ids(
            self, make: Callable[[Path], StudentModel]) -> None:
        model = make(Path())
        rows = embedding_rows.EmbeddingRows(model, [tokens_of([4, 9, 30])])
        assert rows.places.tolist() == list(range(V))
        assert len(model.get_input_embeddings().weight) == V

    @given(st.lists(st.lists(ids, min_size=1, max_size=4), min_size=1, max_size=3))
    def test_are_those_of_the_texts_in_their_order(self, several: list[list[list[int]]]) -> None:
        model = scratch(Path())
        before = model.get_input_embeddings().weight.detach().clone()
        rows = embedding_rows.EmbeddingRows(model, [tokens_of(*parts) for parts in several])
        used = sorted({0, 1}.union(*(part for parts in several for part in parts)))
        assert len(rows) == len(used)
        assert rows.places[used].tolist() == list(range(len(used)))
        assert (np.delete(rows.places, used) == -1).all()
        now = model.get_input_embeddings().weight
        assert torch.equal(now, before[used])
        whole = rows.put(model.state_dict())
        assert any(torch.equal(value, before) for value in whole.values())
        assert model.config.encoder.vocab_size == V

    def test_other_tokens_are_not_read(self, tmp_path: Path) -> None:
        lesson = Lesson(tmp_path)
        learner = lesson.learner()
        lesson.data.tokens.ids[0][:] = lesson.unused()[0]
        with pytest.raises(IndexError, match="index out of range"):
            learner.predict(lesson.data)


class TestTraining:
    @pytest.mark.parametrize("kind", STUDENTS)
    def test_is_that_of_the_whole_table(self, tmp_path: Path, kind: str) -> None:
        lesson = Lesson(tmp_path, STUDENTS[kind])
        lesson.kd_weight = 20.0
        expected, learner = lesson.plain(), lesson.learner()
        assert min(lesson.norms) > 1.0  # clipped
        lesson.epoch(learner)
        weights = learner.weights()
        assert {name: value.shape for name, value in weights.items()} == {
            name: value.shape for name, value in expected.items()}
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4, msg=name)
        at = lesson.unused()
        assert len(at) > 20
        torch.testing.assert_close(weights[lesson.name][at], expected[lesson.name][at],
                                   atol=0.0, rtol=1e-6)
        assert not torch.equal(weights[lesson.name][at], lesson.before[lesson.name][at])

    def test_a_step_without_clipping_leaves_the_same_bytes(self, tmp_path: Path) -> None:
        lesson, settings = Lesson(tmp_path), Distil.model_validate(MORE | {"batch_size": 40})
        lesson.settings = settings
        lesson.data.labels[:] = UNLABELLED
        lesson.targets[:] = 1 / 3  # all but what it says already
        expected = lesson.plain()
        assert len(lesson.norms) == 1
        assert 0.0 < lesson.norms[0] < 1.0
        learner = lesson.learner()
        lesson.epoch(learner)
        weights = learner.weights()
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
        assert not torch.equal(weights[lesson.name], lesson.before[lesson.name])

    def test_gradient_and_moments_are_of_used_rows_only(self, tmp_path: Path) -> None:
        lesson = Lesson(tmp_path)
        learner = lesson.learner()
        lesson.epoch(learner)
        table = lesson.model.get_input_embeddings().weight
        assert len(table) == len(learner.rows) == V - len(lesson.unused())
        learner.save(tmp_path / "saved", Progress("print", epoch=1, best_epoch=1))
        saved = tmp_path / "saved" / "epoch-0001"
        moments = [moment.shape for moment in load_file(saved / "optimizer.safetensors").values()]
        assert moments.count(table.shape) == 2
        assert (V, table.shape[1]) not in moments
        assert load_file(saved / "model.safetensors")[lesson.name].shape == (V, table.shape[1])

    def test_goes_on_as_though_never_stopped(self, tmp_path: Path) -> None:
        lesson = Lesson(tmp_path)
        whole = lesson.learner()
        for number in (1, 2):
            lesson.epoch(whole, number)
        whole.save(tmp_path / "saved", Progress("print", epoch=2, best_epoch=2))
        lesson.epoch(whole, 3)
        expected = {name: value.clone() for name, value in whole.weights().items()}
        other = Lesson(tmp_path)
        resumed = other.learner()
        assert resumed.resume(tmp_path / "saved", "print").epoch == 2
        other.epoch(resumed, 3)
        weights = resumed.weights()
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
        resumed.restore_best(tmp_path / "saved", Progress("print", best_epoch=2))
        best = load_file(tmp_path / "saved" / "epoch-0002" / "model.safetensors")
        assert all(torch.equal(resumed.weights()[name], value) for name, value in best.items())
