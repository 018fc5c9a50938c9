"""Changes that are there and changes that are not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.config.schema import Drift
from amtss.drift import comparison
from amtss.drift.answers import Answers
from amtss.drift.comparison import FIGURES

LIMITS = Drift()


def answers(rows: int, seed: int, **changed: Any) -> Answers:
    """Random answers of five labels; `changed` arrays stand in for the random ones."""
    draw = np.random.default_rng(seed)
    return Answers(**{"label": draw.integers(5, size=rows), "confidence": draw.random(rows),
                      "length": draw.integers(3, 40, size=rows), "unknown": draw.random(rows) < 0.1,
                      "cut": draw.random(rows) < 0.1} | changed)


def passed(before: Answers, now: Answers, comparisons: int = 6, limits: Drift = LIMITS
           ) -> list[str]:
    changes = comparison.compare(before, now, limits, comparisons)
    assert tuple(changes) == FIGURES
    return [figure for figure, change in changes.items() if change.passed]


class TestCompare:
    @pytest.mark.parametrize("rows", [5, 50, 2000])
    def test_no_drift_raises_no_alarm(self, rows: int) -> None:
        assert [passed(answers(1000, 1000 + seed), answers(rows, seed)) for seed in range(30)] == [
            []] * 30

    @pytest.mark.parametrize(("figure", "array"), [
        ("labels", {"label": np.zeros(300, np.int64)}),
        ("confidence", {"confidence": np.ones(300)}), ("length", {"length": np.full(300, 20)}),
        ("unknown", {"unknown": np.ones(300, bool)}), ("cut", {"cut": np.ones(300, bool)})])
    def test_each_figure_raises_its_own(self, figure: str, array: dict[str, Any]) -> None:
        assert passed(answers(1000, 0), answers(300, 1, **array)) == [figure]

    def test_less_sure(self) -> None:
        now = answers(300, 1, confidence=np.random.default_rng(1).random(300) ** 2)
        assert passed(answers(1000, 0), now) == ["confidence", "unsure"]

    def test_a_small_change_of_many_texts_is_none(self) -> None:
        before = answers(10**5, 0)
        now = answers(10**5, 1, confidence=before.confidence * 0.95)
        changes = comparison.compare(before, now, LIMITS, 6)
        assert changes["confidence"].p < 1e-9
        assert not changes["confidence"].passed

    def test_a_large_change_of_few_texts_is_chance(self) -> None:
        now = answers(5, 1, label=np.array([1, 2, 3, 3, 3]))
        changes = comparison.compare(answers(1000, 0), now, LIMITS, 6)
        assert changes["labels"].size > LIMITS.labels
        assert not changes["labels"].passed

    def test_the_more_comparisons_the_surer(self) -> None:
        before, now = answers(1000, 0), answers(40, 1, cut=np.arange(40) < 12)
        assert passed(before, now, comparisons=6) == ["cut"]
        assert passed(before, now, comparisons=600) == []

    def test_limits_are_the_settings(self) -> None:
        before, now = answers(1000, 0), answers(300, 1, cut=np.ones(300, bool))
        assert passed(before, now, limits=Drift(cut=0.95)) == []
        assert comparison.compare(before, now, Drift(cut=0.95), 6)["cut"].limit == 0.95

    def test_fewer_unknown_pieces_are_no_drift(self) -> None:
        before = answers(1000, 0, unknown=np.ones(1000, bool))
        change = comparison.compare(before, answers(300, 1), LIMITS, 6)["unknown"]
        assert change.size == pytest.approx(-0.9, abs=0.1)
        assert change.p == pytest.approx(1.0)
        assert not change.passed

    def test_a_reference_without_doubt(self) -> None:
        before = answers(100, 0, confidence=np.ones(100))
        assert comparison.compare(before, before, LIMITS, 6)["unsure"].before == 0.0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40),
       st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_labels(before: list[int], now: list[int]) -> None:
    one, other = np.array(before), np.array(now)
    size, p, *_ = comparison.labels(one, other)
    assert 0.0 <= size <= 1.0
    assert 0.0 <= p <= 1.0
    assert size == pytest.approx(comparison.labels(other, one)[0])
    assert comparison.labels(one, one)[:2] == (0.0, pytest.approx(1.0))
    if not {*before} & {*now}:
        assert size == pytest.approx(1.0)


def test_labels_by_hand() -> None:
    # shares 1/2, 1/2, 0 and 1/4, 1/2, 1/4: a quarter of the texts has moved
    size, *_ = comparison.labels(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]))
    assert size == 0.25


def test_shares() -> None:
    before = answers(4, 0, label=np.array([0, 0, 2, 2]))
    now = answers(2, 0, label=np.array([2, 2]))
    assert comparison.shares(["a", "b", "c"], before, now) == {
        "a": (0.5, 0.0), "b": (0.0, 0.0), "c": (0.5, 1.0)}
