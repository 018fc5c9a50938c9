from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from amtss.distillation import importance
from amtss.logits.pool import soft_targets
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
    found = importance.likelihood(gold, examples)
    assert log_likelihood(found, gold, examples) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_likelihood_agrees_with_scipy(seed: int) -> None:
    gold = np.random.default_rng(seed).beta(2, 2, (4, 200))
    found = importance.likelihood(gold)
    best = minimize(lambda w: -log_likelihood(np.abs(w), gold), np.full(4, 0.25), method="SLSQP",
                    bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
                    options={"ftol": 1e-12})
    assert found == pytest.approx(best.x, abs=2e-3)
    assert log_likelihood(found, gold) == pytest.approx(-best.fun, abs=1e-6)


@given(gold_of, st.randoms(use_true_random=False))
def test_likelihood_does_not_see_the_order_of_teachers(gold: Array, draw: Random) -> None:
    order = list(range(len(gold)))
    draw.shuffle(order)
    assert importance.likelihood(gold[order]) == pytest.approx(
        importance.likelihood(gold)[order], abs=1e-6)


@given(gold_of, st.floats(0.01, 100))
def test_boosted_with_equal_losses_is_likelihood(gold: Array, loss: float) -> None:
    assert importance.boosted(gold, np.full(gold.shape[1], loss)) == pytest.approx(
        importance.likelihood(gold), abs=1e-6)


def test_boosted_turns_to_the_teacher_of_hard_examples() -> None:
    gold = np.array([[0.9, 0.1], [0.1, 0.9]])
    easy, hard = importance.boosted(gold, np.array([0.1, 3.0]))
    assert hard > easy
    assert importance.boosted(gold, np.zeros(2)) == pytest.approx([0.5, 0.5])


def test_a_teacher_that_is_always_better_takes_all() -> None:
    assert importance.likelihood(np.array([[0.9, 0.8], [0.5, 0.4]])) == pytest.approx(
        [1, 0], abs=1e-3)


def test_probabilities_of_0_are_survived() -> None:
    assert on_simplex(importance.likelihood(np.array([[0.0, 0.0], [0.0, 0.5]])))


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
    targets = soft_targets(softmax(logits, temperature), weights)
    assert targets.shape == (6, 4)
    assert (targets >= 0).all()
    assert targets.sum(axis=-1) == pytest.approx(1)
