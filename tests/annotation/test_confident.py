import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amtss.annotation.confident import contradicted


@settings(max_examples=15)  # cleanlab takes a tenth of a second
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_swapped_labels_are_found_whatever_labels_are_missing(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    gold = np.repeat(np.arange(classes), 12)
    answers = np.full((len(gold), classes + 1), 0.05)  # no row has the last label
    answers[np.arange(len(gold)), gold] = 0.9
    answers /= answers.sum(axis=1, keepdims=True)
    swapped = draw.choice(len(gold), 3, replace=False)
    noisy = gold.copy()
    noisy[swapped] = (gold[swapped] + 1) % classes
    assert set(contradicted(noisy, answers).tolist()) <= set(swapped.tolist())
    assert len(contradicted(gold, answers)) == 0


def test_a_swapped_label_is_found() -> None:
    gold = np.array([0, 1] * 10)
    answers = np.where(gold[:, None] == [0, 1], 0.9, 0.1)
    gold[4] = 1
    assert contradicted(gold, answers).tolist() == [4]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_a_label_that_the_teachers_prefer_is_not_suspicious(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    gold = draw.integers(classes, size=60)
    answers = draw.dirichlet(np.ones(classes), size=60)
    rows = contradicted(gold, answers)
    present = np.unique(gold)
    assert (present[answers[:, present].argmax(axis=1)][rows] != gold[rows]).all()


def test_one_label_alone_is_not_suspicious() -> None:
    assert contradicted(np.zeros(3, dtype=np.int64), np.full((3, 2), 0.5)).tolist() == []
