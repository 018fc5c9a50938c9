from pathlib import Path
from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from support.training import LABELS, LANGUAGES, Project, rewrite_logits, scored

from amtss.config.schema import Distil
from amtss.distillation import importance
from amtss.distillation.importance import fit
from amtss.logits import pool
from amtss.logits.mixing import MIXINGS, arithmetic
from amtss.logits.pool import LanguagePool, Pool
from amtss.logits.softmax import Array, softmax

shares = st.floats(0.01, 1)
gold_of = st.tuples(st.integers(1, 4), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=shares))
logits_of = arrays(np.float64, (3, 6, 4), elements=st.floats(-30, 30))


def log_likelihood(weights: Array, gold: Array, examples: Array | None = None) -> float:
    return float(np.average(np.log(weights @ gold), weights=examples))


def on_simplex(weights: Array) -> bool:
    return bool((weights >= 0).all() and np.isclose(weights.sum(), 1))


@given(gold_of)
def test_likelihood_lies_on_the_simplex(gold: Array) -> None:
    assert on_simplex(importance.likelihood(gold))


@given(gold_of)
def test_likelihood_is_at_least_that_of_any_teacher(gold: Array) -> None:
    best = log_likelihood(importance.likelihood(gold), gold)
    gap = np.log(len(gold)) / importance.MAX_STEPS  # EM's own bound, met by near-equal teachers
    for weights in [*np.eye(len(gold)), importance.uniform(len(gold))]:
        assert best >= log_likelihood(weights, gold) - gap - 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_likelihood_agrees_with_a_grid(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold, examples = draw.uniform(0.01, 1, (2, 20)), draw.uniform(0, 1, 20)
    grid = np.linspace(0, 1, 1001)
    best = max(log_likelihood(np.array([w, 1 - w]), gold, examples) for w in grid)
    weights = importance.likelihood(gold, examples)
    assert log_likelihood(weights, gold, examples) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_likelihood_agrees_with_scipy(seed: int) -> None:
    gold = np.random.default_rng(seed).beta(2, 2, (4, 200))
    weights = importance.likelihood(gold)
    best = minimize(lambda w: -log_likelihood(np.abs(w), gold), np.full(4, 0.25), method="SLSQP",
                    bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
                    options={"ftol": 1e-12})
    assert weights == pytest.approx(best.x, abs=2e-3)
    assert log_likelihood(weights, gold) == pytest.approx(-best.fun, abs=1e-6)


@given(gold_of, st.randoms(use_true_random=False))
def test_likelihood_does_not_depend_on_the_order_of_teachers(gold: Array, draw: Random) -> None:
    order = list(range(len(gold)))
    draw.shuffle(order)
    assert importance.likelihood(gold[order]) == pytest.approx(
        importance.likelihood(gold)[order], abs=1e-6)


@given(gold_of, st.floats(0.01, 100))
def test_likelihood_with_equal_weights_is_that_without(gold: Array, weight: float) -> None:
    assert importance.likelihood(gold, np.full(gold.shape[1], weight)) == pytest.approx(
        importance.likelihood(gold), abs=1e-6)


def test_likelihood_prefers_the_teacher_of_the_heavier_examples() -> None:
    gold = np.array([[0.9, 0.1], [0.1, 0.9]])
    light, heavy = importance.likelihood(gold, np.array([0.1, 3.0]))
    assert heavy > light
    assert importance.likelihood(gold, np.zeros(2)) == pytest.approx([0.5, 0.5])


def test_likelihood_gives_all_to_a_teacher_that_is_always_better() -> None:
    assert importance.likelihood(np.array([[0.9, 0.8], [0.5, 0.4]])) == pytest.approx(
        [1, 0], abs=1e-3)


def test_likelihood_of_zero_probabilities() -> None:
    assert on_simplex(importance.likelihood(np.array([[0.0, 0.0], [0.0, 0.5]])))


gold_and_logits = st.tuples(logits_of, arrays(np.int64, 6, elements=st.integers(0, 3)))


def geometric_likelihood(weights: Array, logits: Array, gold: NDArray[np.int64],
                         examples: Array | None = None) -> float:
    scores = np.tensordot(weights, logits, axes=1)
    scores = scores - logsumexp(scores, axis=1, keepdims=True)
    return float(np.average(scores[np.arange(len(gold)), gold], weights=examples))


@given(gold_and_logits)
def test_log_linear_is_at_least_as_likely_as_any_teacher(
        case: tuple[Array, NDArray[np.int64]]) -> None:
    logits, gold = case
    weights = importance.log_linear(logits, gold)
    assert on_simplex(weights)
    best = geometric_likelihood(weights, logits, gold)
    for other in [*np.eye(3), importance.uniform(3)]:
        assert best >= geometric_likelihood(other, logits, gold) - 1e-4


@pytest.mark.parametrize("seed", range(10))
def test_log_linear_agrees_with_a_grid(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold, examples = draw.integers(0, 4, 30), draw.uniform(0, 1, 30)
    logits = draw.normal(size=(2, 30, 4)) + np.eye(4)[gold] * draw.uniform(0, 3, (2, 1, 1))
    grid = [np.array([share, 1 - share]) for share in np.linspace(0, 1, 1001)]
    best = max(geometric_likelihood(w, logits, gold, examples) for w in grid)
    weights = importance.log_linear(logits, gold, examples)
    assert geometric_likelihood(weights, logits, gold, examples) == pytest.approx(best, abs=1e-5)


@given(gold_and_logits, st.permutations(range(3)))
def test_log_linear_does_not_depend_on_the_order_of_teachers(
        case: tuple[Array, NDArray[np.int64]], order: list[int]) -> None:
    logits, gold = case
    assert geometric_likelihood(importance.log_linear(logits[order], gold), logits[order],
                                gold) == pytest.approx(geometric_likelihood(
                                    importance.log_linear(logits, gold), logits, gold), abs=1e-4)


def test_log_linear_prefers_the_teacher_of_the_heavier_examples() -> None:
    logits = np.log(np.array([[[0.9, 0.1], [0.1, 0.9]], [[0.1, 0.9], [0.9, 0.1]]]))
    light, heavy = importance.log_linear(logits, np.array([0, 0]), np.array([0.1, 3.0]))
    assert heavy > light
    assert importance.log_linear(logits, np.array([0, 0]), np.zeros(2)) == pytest.approx([0.5, 0.5])


@given(st.lists(st.tuples(st.integers(0, 5), shares), min_size=1, max_size=6))
def test_own_is_one_teacher(pool: list[tuple[int, float]]) -> None:
    taught, accuracy = (np.array(column) for column in zip(*pool, strict=True))
    column = importance.own(taught, accuracy)
    assert sorted(column) == [0] * (len(pool) - 1) + [1]


@pytest.mark.parametrize(("taught", "accuracy", "chosen"), [
    ([1, 5], [0.7, 0.9], 0), ([5, 1], [0.9, 0.7], 1), ([1, 1, 5], [0.6, 0.7, 0.9], 1),
    ([0, 5], [0.9, 0.5], 1), ([0, 0], [0.4, 0.5], 1), ([3, 0, 3], [0.5, 0.9, 0.6], 2)])
def test_own_prefers_the_monolingual_then_the_better(
        taught: list[int], accuracy: list[float], chosen: int) -> None:
    assert importance.own(np.array(taught), np.array(accuracy)).argmax() == chosen


@given(st.integers(1, 9))
def test_uniform(teachers: int) -> None:
    assert on_simplex(importance.uniform(teachers))
    assert len(set(importance.uniform(teachers))) == 1


@given(logits_of, st.floats(0.5, 10))
def test_soft_targets_are_distributions(logits: Array, temperature: float) -> None:
    weights = importance.likelihood(softmax(logits)[:, :, 0])
    targets = arithmetic(logits, weights, temperature)
    assert targets.shape == (6, 4)
    assert (targets >= 0).all()
    assert targets.sum(axis=-1) == pytest.approx(1)


class TestStrategies:
    def test_are_those_of_params_yaml(self) -> None:
        choices = get_args(Distil.model_fields["weights"].annotation)
        assert set(importance.STRATEGIES) == set(choices)
        assert set(importance.STRATEGIES) > importance.BY_LOSSES


def load_pool(project: Project) -> Pool:
    return pool.load(project.params, project.layout, project.corpora(), LABELS,
                     project.params.pool)


class TestFit:
    def test_columns_lie_on_the_simplex(self, tmp_path: Path) -> None:
        teachers = load_pool(scored(tmp_path))
        loss = {code: np.linspace(0.1, 2.0, 24) for code in LANGUAGES}
        for strategy in importance.STRATEGIES:
            weights = fit(teachers, strategy, loss)
            assert list(weights) == list(LANGUAGES)
            for code, column in weights.items():
                assert set(column) == {code, "multilingual"}
                assert sum(column.values()) == pytest.approx(1.0)
                assert min(column.values()) >= 0.0

    def test_own_is_the_teacher_of_the_language_alone(self, tmp_path: Path) -> None:
        weights = fit(load_pool(scored(tmp_path)), "own")
        assert weights == {code: {code: 1.0, "multilingual": 0.0} for code in LANGUAGES}

    def test_uniform(self, tmp_path: Path) -> None:
        weights = fit(load_pool(scored(tmp_path)), "uniform")
        assert weights == {code: {code: 0.5, "multilingual": 0.5} for code in LANGUAGES}

    def test_likelihood_is_the_best_mixture_on_validation(self, tmp_path: Path) -> None:
        teachers = load_pool(scored(tmp_path))
        weights = fit(teachers, "likelihood")
        for code in LANGUAGES:
            gold = teachers[code].gold_probabilities()
            grid = np.linspace(0, 1, 201)
            values = [np.log(share * gold[0] + (1 - share) * gold[1]).mean() for share in grid]
            share = weights[code][code]
            assert np.log(share * gold[0] + (1 - share) * gold[1]).mean() >= max(values) - 1e-6

    def test_likelihood_finds_the_accurate_teacher(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        sure = 8.0 * np.eye(3)[project.gold("fr", "validation")]
        rewrite_logits(project, "fr", "fr", "validation", sure)
        weights = fit(load_pool(project), "likelihood")
        assert weights["fr"]["fr"] > 0.99

    @pytest.mark.parametrize("mixing", MIXINGS)
    def test_likelihood_is_that_of_the_mixing(self, tmp_path: Path, mixing: str) -> None:
        teachers = load_pool(scored(tmp_path, distil={"mixing": mixing}))
        geometric = mixing != "arithmetic"
        for strategy in ("likelihood", "boosted"):
            losses = {code: np.linspace(0.1, 2.0, 24) for code in LANGUAGES}
            weights = fit(teachers, strategy, losses)
            for code, members in teachers.items():
                examples = losses[code] if strategy == "boosted" else None
                expected = (importance.log_linear(members.logits["validation"], members.gold,
                                                  examples) if geometric
                            else importance.likelihood(members.gold_probabilities(), examples))
                assert list(weights[code].values()) == expected.tolist()

    def test_likelihood_does_not_read_training_rows(self, tmp_path: Path) -> None:
        project = scored(tmp_path)
        before = fit(load_pool(project), "likelihood")
        rewrite_logits(project, "fr", "fr", "train", np.zeros((48, 3)))
        assert fit(load_pool(project), "likelihood") == before

    def test_boosted_follows_the_students_mistakes(self, tmp_path: Path) -> None:
        # `fr` knows the first half, `multilingual` the second; the student errs on the second
        project = scored(tmp_path)
        sure = 6.0 * np.eye(3)[project.gold("fr", "validation")]
        wrong = 6.0 * np.eye(3)[(project.gold("fr", "validation") + 1) % 3]
        first = (np.arange(24) < 12)[:, None]
        rewrite_logits(project, "fr", "fr", "validation", np.where(first, sure, wrong))
        rewrite_logits(project, "multilingual", "fr", "validation", np.where(first, wrong, sure))
        teachers = load_pool(project)
        loss = {code: np.ones(24) for code in LANGUAGES}
        assert fit(teachers, "likelihood")["fr"]["fr"] == pytest.approx(0.5, abs=0.01)
        loss["fr"] = np.where(first[:, 0], 0.1, 0.9)
        assert fit(teachers, "boosted", loss)["fr"]["fr"] == pytest.approx(0.1, abs=0.01)
        assert fit(teachers, "boosted")["fr"] == fit(teachers, "likelihood")["fr"]


class TestUpdate:
    @pytest.mark.parametrize("strategy", importance.STRATEGIES)
    def test_fits_again_only_where_losses_matter(self, tmp_path: Path, strategy: str) -> None:
        teachers = load_pool(scored(tmp_path))
        before = fit(teachers, strategy)
        losses = {code: np.linspace(0.1, 2.0, 24) for code in LANGUAGES}
        after = importance.update(before, teachers, strategy, losses)
        assert after == fit(teachers, strategy, losses)
        assert (after is before) == (strategy != "boosted")


class TestWithoutLabels:
    """A language whose validation has no labels to fit weights on."""

    def members(self, *teachers: str, taught: tuple[int, ...],
                labelled: bool = True) -> LanguagePool:
        logits = np.random.default_rng(0).normal(size=(len(teachers), 6, 3)).astype(np.float32)
        return LanguagePool(teachers, taught, {"validation": logits}, np.zeros(6, dtype=np.int64),
                            "geometric", labelled)

    @pytest.mark.parametrize("strategy", ["own", "likelihood", "boosted"])
    def test_has_equal_weights(self, strategy: str) -> None:
        pools = {"pt": self.members("a", "b", "c", taught=(0, 0, 0), labelled=False),
                 "en": self.members("a", "b", taught=(1, 0))}
        losses = {code: np.linspace(0, 3, 6) for code in pools}
        first = fit(pools, strategy)
        for weights in (first, importance.update(first, pools, strategy, losses)):
            assert weights["pt"] == pytest.approx(dict.fromkeys("abc", 1 / 3))
            assert [*weights["en"].values()] != pytest.approx([0.5, 0.5])
