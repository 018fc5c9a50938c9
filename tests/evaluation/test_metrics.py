"""Measures against brute force, and what must hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from amtss.evaluation import metrics

Bools = NDArray[np.bool_]


def answers(minimum: int = 1) -> st.SearchStrategy[Bools]:
    return st.lists(st.booleans(), min_size=minimum, max_size=60).map(np.array)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Bools], list[Bools]]:
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    def arrays() -> list[Bools]:
        return [np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for n in sizes]
    return arrays(), arrays()


def test_accuracy_and_macro_f1_by_hand() -> None:
    predicted, actual = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert metrics.accuracy(predicted, actual) == 75.0
    assert metrics.macro_f1(predicted, actual) == pytest.approx(100 * (2 / 3 + 4 / 5) / 2)


def test_macro_f1_is_over_labels_that_occur() -> None:
    assert metrics.macro_f1(np.array([0, 7]), np.array([0, 7])) == 100.0
    # Label 2 is only predicted: its F1 is 0, and it counts.
    assert metrics.macro_f1(np.array([0, 2]), np.array([0, 0])) == pytest.approx(100 / 3)


def test_a_constant_answer() -> None:
    assert metrics.majority(np.array([5, 0, 5, 2])) == 50.0
    assert metrics.majority(np.array([3])) == 100.0


def test_nothing_has_no_accuracy() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        metrics.accuracy(np.array([]), np.array([]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50), st.integers(1, 20))
def test_sure_and_right_is_calibrated(labels: list[int], bins: int) -> None:
    assert metrics.calibration_error(np.eye(5)[labels], np.array(labels), bins) == 0.0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.integers(1, 20))
def test_sure_and_wrong_is_as_bad_as_can_be(labels: list[int], bins: int) -> None:
    wrong = (np.array(labels) + 1) % 5
    assert metrics.calibration_error(np.eye(5)[labels], wrong, bins) == 100.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_calibration_is_that_of_a_loop_over_bins(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4) * 0.5, 200)
    actual = random.integers(0, 4, 200)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == actual
    expected = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(probabilities, actual, bins) == pytest.approx(100 * expected)


def test_confidence_equal_to_accuracy_is_calibrated() -> None:
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert metrics.calibration_error(probabilities, np.array([0, 0, 0, 1]), 15) == 0.0


@given(answers(), st.integers(0, 2**32 - 1))
def test_interval_holds_the_estimate(correct: Bools, seed: int) -> None:
    low, high = metrics.interval([correct], 200, seed)
    assert 0 <= low <= 100 * correct.mean() + 1e-9
    assert 100 * correct.mean() - 1e-9 <= high <= 100


def test_interval_is_the_brute_force_bootstraps() -> None:
    random = np.random.default_rng(1)
    correct = random.random(400) < 0.8
    brute = 100 * correct[random.integers(0, 400, (20_000, 400))].mean(axis=1)
    assert_allclose(metrics.interval([correct], 20_000, 0), np.percentile(brute, (2.5, 97.5)),
                    atol=0.3)


def test_average_interval_is_the_brute_force_bootstraps() -> None:
    random = np.random.default_rng(2)
    languages = [random.random(n) < share for n, share in [(100, 0.9), (400, 0.7), (50, 0.5)]]
    brute = np.mean([correct[random.integers(0, len(correct), (20_000, len(correct)))].mean(axis=1)
                     for correct in languages], axis=0)
    assert_allclose(metrics.interval(languages, 20_000, 0),
                    np.percentile(100 * brute, (2.5, 97.5)), atol=0.3)


def test_the_interval_of_scores_between_is_the_brute_force_bootstraps() -> None:
    random = np.random.default_rng(3)
    scores = random.binomial(3, 0.8, 200) / 3  # means over three seeds
    brute = 100 * scores[random.integers(0, 200, (20_000, 200))].mean(axis=1)
    assert_allclose(metrics.interval([scores], 20_000, 0), np.percentile(brute, (2.5, 97.5)),
                    atol=0.3)


def test_more_examples_make_a_narrower_interval() -> None:
    few, many = (metrics.interval([np.tile([True, True, True, False], n)], 2000, 0)
                 for n in (10, 1000))
    assert many[1] - many[0] < few[1] - few[0]


def test_the_same_seed_gives_the_same() -> None:
    correct = np.array([True, False, True] * 50)
    assert metrics.interval([correct], 500, 3) == metrics.interval([correct], 500, 3)
    assert metrics.paired_test([correct], [~correct], 500, 3) == \
        metrics.paired_test([correct], [~correct], 500, 3)


@given(pairs())
def test_paired_test_is_symmetric(pair: tuple[list[Bools], list[Bools]]) -> None:
    ahead, behind = metrics.paired_test(*pair, 400, 0), metrics.paired_test(*pair[::-1], 400, 0)
    assert ahead.difference == pytest.approx(-behind.difference)
    assert ahead.p == behind.p
    assert 0 < ahead.p <= 1
    assert ahead.low <= ahead.high


@given(st.lists(answers(), min_size=1, max_size=4))
def test_a_model_does_not_differ_from_itself(correct: list[Bools]) -> None:
    assert metrics.paired_test(correct, correct, 100, 0) == metrics.Paired(0.0, 0.0, 0.0, 1.0)


def test_one_language_is_mcnemars_exact_test() -> None:
    a = np.array([True] * 8 + [False] * 2 + [True] * 90)
    b = np.array([False] * 8 + [True] * 2 + [True] * 90)
    result = metrics.paired_test([a], [b], 2000, 0)
    # 2 x P(at most 2 heads of 10) = 2 x 56 / 1024
    assert result.p == pytest.approx(112 / 1024)
    assert result.difference == pytest.approx(6.0)
    assert result.low < 6.0 < result.high


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_average_agrees_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    a = [random.random(n) < 0.85 for n in (150, 300)]
    b = [random.random(n) < 0.80 for n in (150, 300)]
    result = metrics.paired_test(a, b, 20_000, 0)
    deltas = [x.astype(float) - y for x, y in zip(a, b, strict=True)]
    boot = np.mean([d[random.integers(0, len(d), (4000, len(d)))].mean(axis=1) for d in deltas],
                   axis=0)
    flips = np.mean([(d * random.choice([-1, 1], (4000, len(d)))).mean(axis=1) for d in deltas],
                    axis=0)
    observed = np.mean([d.mean() for d in deltas])
    assert result.difference == pytest.approx(100 * observed)
    assert_allclose((result.low, result.high), 100 * np.percentile(boot, (2.5, 97.5)), atol=0.6)
    assert result.p == pytest.approx(np.mean(np.abs(flips) >= abs(observed) - 1e-12), abs=0.05)


def test_two_languages_alike_are_nearly_mcnemars() -> None:
    a, b = np.array([True] * 30 + [False] * 10), np.array([False] * 30 + [True] * 10)
    pooled = metrics.paired_test([np.tile(a, 2)], [np.tile(b, 2)], 20_000, 0)
    assert metrics.paired_test([a, a], [b, b], 20_000, 0).p == pytest.approx(pooled.p, abs=0.002)


def test_chance_alone_is_called_significant_one_time_in_twenty() -> None:
    random = np.random.default_rng(0)
    ps = [metrics.paired_test([random.random(200) < 0.8 for _ in range(3)],
                              [random.random(200) < 0.8 for _ in range(3)], 500, i).p
          for i in range(400)]
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.08


def test_different_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="the same examples twice"):
        metrics.paired_test([np.array([True])], [np.array([True, False])], 100, 0)
