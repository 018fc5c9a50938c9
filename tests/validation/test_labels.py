import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.data.appendix_a import COUNTS, LABELS
from amtss.validation import labels

PAPER = ("ar", "en", "es", "fr", "ru")
weights = st.lists(st.integers(0, 5000), min_size=2, max_size=25).filter(any)


@st.composite
def two_weights(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    p = draw(weights)
    q = draw(st.lists(st.integers(0, 5000), min_size=len(p), max_size=len(p)).filter(any))
    return p, q


def test_appendix_a_sums_to_its_printed_totals() -> None:
    printed = {"ar": 60367, "en": 25969, "es": 29285, "fr": 30685, "ru": 26999}
    assert {code: sum(COUNTS[code]) for code in PAPER} == printed
    assert all(len(COUNTS[code]) == len(LABELS) == 20 for code in PAPER)


def test_french_stands_out_in_appendix_a() -> None:
    mean = labels.mean_distribution(COUNTS[code] for code in PAPER)
    far = {code: labels.divergence(COUNTS[code], mean) for code in PAPER}
    assert far["fr"] == pytest.approx(0.45, abs=0.005)
    assert max(value for code, value in far.items() if code != "fr") < 0.2


def test_smoothing_hardly_moves_appendix_a() -> None:
    mean = labels.mean_distribution(COUNTS[code] for code in PAPER)
    for code in PAPER:
        p = labels.shares(COUNTS[code])
        some = p > 0
        exact = float(np.sum(p[some] * np.log(p[some] / mean[some])))
        assert labels.divergence(COUNTS[code], mean) == pytest.approx(exact, abs=1e-4)


def test_divergence_by_hand() -> None:
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert labels.divergence([1, 1], [1, 3]) == pytest.approx(expected, abs=1e-5)


def test_a_label_that_the_reference_lacks_costs_a_finite_amount() -> None:
    one_row = labels.divergence([999, 1], [1000, 0])
    assert one_row == pytest.approx(0.001 * math.log(0.001 / labels.SMOOTHING), abs=2e-3)
    assert labels.divergence([500, 500], [1000, 0]) > 100 * one_row


@given(two_weights())
def test_divergence_is_at_least_what_pinsker_says_and_finite(
        pair: tuple[list[int], list[int]]) -> None:
    p, q = pair
    found = labels.divergence(p, q)
    apart = np.abs(labels.smoothed(p) - labels.smoothed(q)).sum()
    assert found >= 0.5 * apart**2 - 1e-12  # so it is 0 for equal distributions only
    assert found <= math.log(1.1 / labels.SMOOTHING)


@given(weights, st.integers(1, 1000))
def test_divergence_of_a_distribution_from_itself_is_zero_whatever_the_number_of_rows(
        p: list[int], times: int) -> None:
    assert labels.divergence(p, [times * count for count in p]) == pytest.approx(0, abs=1e-12)


@given(two_weights(), st.randoms(use_true_random=False))
def test_divergence_does_not_depend_on_the_order_of_labels(
        pair: tuple[list[int], list[int]], draw: "np.random.Generator") -> None:
    p, q = pair
    order = list(range(len(p)))
    draw.shuffle(order)
    again = labels.divergence([p[i] for i in order], [q[i] for i in order])
    assert again == pytest.approx(labels.divergence(p, q), abs=1e-9)


@given(two_weights())
def test_mean_distribution_sums_to_one_and_lies_between(pair: tuple[list[int], list[int]]) -> None:
    mean = labels.mean_distribution(pair)
    both = np.array([labels.shares(one) for one in pair])
    assert mean.sum() == pytest.approx(1)
    assert (mean >= both.min(0) - 1e-12).all()
    assert (mean <= both.max(0) + 1e-12).all()


@given(weights, st.integers(1, 9))
def test_imbalance_is_at_least_one_and_knows_no_scale(found: list[int], times: int) -> None:
    ratio = labels.imbalance(found)
    assert ratio >= 1
    assert labels.imbalance([times * count for count in found]) == pytest.approx(ratio)
    assert labels.imbalance(sorted(found)) == ratio


def test_imbalance_leaves_out_labels_without_rows() -> None:
    assert labels.imbalance([0, 5, 20]) == 4.0
    assert labels.imbalance([0, 0]) == 1.0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=50))
def test_counts_sum_to_the_rows_with_a_label(rows: list[str | None]) -> None:
    found = labels.count_labels({"train": rows})["train"]
    assert sum(found.values()) == len(rows) - rows.count(None)
    assert list(found) == sorted(found)
    assert 0 not in found.values()
    assert labels.vector(found, ["c", "a", "none"]).tolist() == [
        rows.count("c"), rows.count("a"), 0]


@pytest.mark.parametrize("wrong", [[], [0, 0], [1, -1, 3], [float("nan")]])
def test_shares_refuses_what_is_no_distribution(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="expected weights >= 0 and one above 0"):
        labels.shares(wrong)
