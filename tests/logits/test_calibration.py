from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from amtss.logits import calibration
from amtss.logits.softmax import softmax


def drawn(rows: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax; then the logits are made too sure by `scale`."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0.0, 2.0, (rows, 4))
    gold = np.array([draw.choice(4, p=row) for row in softmax(logits)])
    return scale * logits, gold


class TestTemperature:
    @pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
    def test_finds_what_the_logits_were_multiplied_by(self, scale: float) -> None:
        assert calibration.temperature(*drawn(4000, 0, scale)) == pytest.approx(scale, rel=0.1)

    @given(st.integers(2, 60), st.integers(0, 99), st.floats(0.1, 8.0))
    def test_labels_are_at_least_as_likely(self, rows: int, seed: int, scale: float) -> None:
        logits, gold = drawn(rows, seed, scale)
        found = calibration.temperature(logits, gold)

        near = min(calibration.HOTTEST, 1.03 * found)

        def loss(temperature: float) -> float:
            own = softmax(logits, temperature)[np.arange(rows), gold]
            return float(-np.log(own).sum() + (1 / temperature - 1) ** 2 / 2)

        assert loss(found) <= min(map(loss, (1.0, 0.97 * found, near))) + 1e-4

    def test_stays_finite_where_nothing_can_be_learnt(self) -> None:
        assert calibration.temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
        assert calibration.temperature(np.zeros((5, 1)), np.zeros(5, int)) == 1.0
        assert 0.01 < calibration.temperature(np.eye(3), np.arange(3)) < 1.0


class TestThresholds:
    def test_what_is_above_one_reaches_its_accuracy(self) -> None:
        logits, gold = drawn(800, 1)
        probabilities = softmax(logits)
        found = calibration.thresholds(probabilities, gold)
        assert [accuracy for accuracy, _ in found] == pytest.approx(
            np.arange(found[0][0], found[-1][0] + 0.001, 0.005))
        assert found[0][1] == 0.0
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
        for accuracy, least in found:
            answered = confidence >= least
            assert right[answered].mean() >= accuracy
            # Were the true accuracy as low as that, so many would be right once in ten times.
            assert binom.sf(right[answered].sum() - 1, answered.sum(), accuracy) <= 0.1 + 1e-6
        assert all(one <= other for (_, one), (_, other)
                   in pairwise(found))

    def test_few_rows_promise_little(self) -> None:
        sure = np.tile([0.9, 0.1], (6, 1))
        (most, least), = calibration.thresholds(sure, np.zeros(6, int))
        assert (most, least) == (0.68, 0.0)  # 0.1 ** (1 / 6)
        assert calibration.thresholds(sure, np.ones(6, int)) == [(0.0, 0.0)]
        assert calibration.thresholds(np.zeros((0, 2)), np.zeros(0, int)) == []

    @pytest.mark.parametrize(("asked", "least"), [
        (0.0, 0.0), (0.9, 0.0), (0.901, 0.5), (0.905, 0.5), (0.91, 0.7), (0.92, inf), (1.0, inf)])
    def test_an_accuracy_is_rounded_up(self, asked: float, least: float) -> None:
        known = [(0.9, 0.0), (0.905, 0.5), (0.91, 0.7)]
        assert calibration.threshold(known, asked) == least
        assert calibration.threshold([], asked) == inf


def test_the_curve_answers_equal_confidences_together() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    found = calibration.curve(probabilities, np.array([0, 0, 0, 1]))
    assert found.confidence.tolist() == [0.9, 0.8, 0.6]
    assert (found.answered.tolist(), found.right.tolist()) == ([1, 2, 4], [1, 2, 3])
