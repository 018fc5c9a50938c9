from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.logits.skill import Skill, skill, total

THREE = np.arange(30) % 3
"""Thirty rows of three labels, ten of each."""


class TestSkill:
    def test_one_answer_to_everything_is_nothing(self) -> None:
        for label in range(3):
            found = skill(np.full(30, label), THREE)
            assert found == Skill(30, 10, 10, 10.0, pytest.approx(0.0, abs=1e-9))
            assert found.nothing
            assert found.doubtful

    def test_also_where_labels_are_uneven(self) -> None:
        gold = np.array([0] * 90 + [1] * 10)
        assert skill(np.zeros(100, dtype=int), gold).nothing
        assert skill(np.ones(100, dtype=int), gold).nothing

    def test_worse_than_the_commonest_label_is_nothing(self) -> None:
        many = np.tile(THREE, 2)
        assert skill((many + 1) % 3, many).nothing

    def test_of_few_rows_only_one_answer_is_nothing(self) -> None:
        """A good student of twelve rows may well miss six."""
        gold = np.arange(12) % 2
        chosen = np.array([0, 1] * 3 + [1, 0] * 3)
        found = skill(chosen, gold)
        assert (found.right, found.commonest, found.nothing, found.doubtful) == (6, 6, False, True)
        assert skill(np.zeros(12, dtype=int), gold).nothing

    def test_answers_that_follow_uneven_labels_are_something(self) -> None:
        gold = np.array([0] * 90 + [1] * 10)
        chosen = gold.copy()
        chosen[:12], chosen[90:93] = 1, 0  # 85 right, below the 90 of the commonest label
        found = skill(chosen, gold)
        assert (found.right, found.commonest) == (85, 90)
        assert not found.nothing
        assert found.doubtful

    def test_a_little_better_than_the_commonest_label_is_doubtful(self) -> None:
        chosen = np.zeros(30, dtype=int)
        chosen[1] = 1
        found = skill(chosen, THREE)
        assert (found.right, found.nothing, found.doubtful) == (11, False, True)

    def test_right_answers_are_beyond_doubt(self) -> None:
        found = skill(THREE, THREE)
        assert (found.nothing, found.doubtful) == (False, False)

    def test_few_rows_are_never_nothing(self) -> None:
        assert not skill(np.zeros(9, dtype=int), np.arange(9) % 3).nothing

    def test_rows_of_one_label_say_nothing(self) -> None:
        found = skill(np.zeros(40, dtype=int), np.zeros(40, dtype=int))
        assert found == Skill(0, 0, 0, 0.0, 0.0)
        assert not found.nothing
        assert not found.doubtful

    def test_says_both_shares(self) -> None:
        assert str(skill(np.zeros(30, dtype=int), THREE)) == (
            "right for 33.33% of rows, where the commonest label alone is right for 33.33%")

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=6))
    def test_chance_is_that_of_all_permutations(self, rows: list[tuple[int, int]]) -> None:
        chosen, gold = (np.array(column) for column in zip(*rows, strict=True))
        if len({*gold.tolist()}) < 2:
            return
        right = [(np.array(order) == gold).sum() for order in permutations(chosen)]
        found = skill(chosen, gold)
        assert found.mean == pytest.approx(np.mean(right))
        assert found.variance == pytest.approx(np.var(right), abs=1e-9)


class TestTotal:
    def test_is_over_the_rows_of_all_languages(self) -> None:
        one, other = skill(THREE, THREE), skill(np.zeros(30, dtype=int), THREE)
        both = total([one, other])
        assert both == Skill(60, 40, 20, one.mean + other.mean, one.variance + other.variance)

    def test_a_constant_in_each_language_is_nothing(self) -> None:
        gold = {"en": np.array([0] * 20 + [1] * 10), "fr": np.array([1] * 20 + [0] * 10)}
        answers = {"en": np.zeros(30, dtype=int), "fr": np.ones(30, dtype=int)}
        assert total(skill(answers[code], gold[code]) for code in gold).nothing

    def test_of_no_language(self) -> None:
        assert total([]) == Skill(0, 0, 0, 0.0, 0.0)
