from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.distillation import margin
from amtss.distillation.margin import Margin

margins_of = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.builds(Margin, st.integers(-3, 3).map(float), st.integers(-3, 3).map(float)), min_size=1)


@given(margins_of)
def test_rank_is_a_permutation_from_large_to_small(margins: dict[str, Margin]) -> None:
    ranked = margin.rank(margins)
    assert sorted(ranked) == sorted(margins)
    values = [margins[language] for language in ranked]
    assert values == sorted(values, reverse=True)


@given(margins_of)
def test_equal_margins_keep_their_order(margins: dict[str, Margin]) -> None:
    ranked, given_ = margin.rank(margins), list(margins)
    for first, second in pairwise(ranked):
        if margins[first] == margins[second]:
            assert given_.index(first) < given_.index(second)


def test_accuracy_first_then_cross_entropy() -> None:
    margins = {"ar": Margin(0.0, 9.0), "en": Margin(1.0, 0.0), "fr": Margin(1.0, 0.5),
               "ru": Margin(-2.0, 0.0)}
    assert margin.rank(margins) == ["fr", "en", "ar", "ru"]


@given(margins_of, st.integers(1, 9))
def test_top_k_is_the_head_of_the_ranks(margins: dict[str, Margin], k: int) -> None:
    ranked = margin.rank(margins)
    chosen = margin.top_k(ranked, k)
    assert chosen == ranked[:k]
    assert len(chosen) == min(k, len(margins))


@given(margins_of, st.integers(1, 9), st.data())
def test_top_k_holds_what_it_always_must(margins: dict[str, Margin], k: int,
                                         data: st.DataObject) -> None:
    ranked = margin.rank(margins)
    always = data.draw(st.lists(st.sampled_from(ranked), unique=True)) if ranked else []
    chosen = margin.top_k(ranked, k, always)
    assert chosen[:len(always)] == always
    assert len(chosen) == len(set(chosen)) == max(len(always), min(k, len(margins)))
    others = [code for code in ranked if code not in always]
    assert chosen[len(always):] == others[:len(chosen) - len(always)]


@given(margins_of, st.floats(-5, 5))
def test_finished_when_the_largest_is_below(margins: dict[str, Margin], threshold: float) -> None:
    largest = max(value.points for value in margins.values())
    assert margin.finished(margins, threshold) == (largest < threshold)
    assert not margin.finished(margins, None)


@pytest.mark.parametrize(("points", "done"), [(0.49, True), (0.5, False), (-3.0, True)])
def test_the_threshold_itself_is_not_below(points: float, done: bool) -> None:
    assert margin.finished({"en": Margin(points, 0.0)}, 0.5) is done
