import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.student.spelling import UNSEEN, Ngrams

WORDS = st.lists(st.text("abcd", max_size=7), max_size=12)


def likely(model: Ngrams, word: str) -> float:
    """Of the whole word."""
    return math.exp(model.score(word) * len(word))


@given(WORDS, st.text("abcdx", max_size=6))
def test_letters_share_what_is_likely(words: list[str], before: str) -> None:
    model = Ngrams(words)
    assert sum(likely(model, before + letter) for letter in "abcdx") <= likely(model, before) * (
        1 + 5 * UNSEEN)


@given(WORDS, st.text("abcdx", max_size=9))
def test_no_word_is_impossible(words: list[str], word: str) -> None:
    assert math.log(UNSEEN) * (1 + math.log(40)) < Ngrams(words).score(word) <= 0


def test_after_some_letters_follow_those_that_have() -> None:
    model = Ngrams(["aab", "abb", "bba"])
    # b after a: two of three (aa, ab, ab) and two kinds; b after nothing: five of nine
    alone = (5 + 2 * UNSEEN) / (9 + 2)
    first = (4 + 2 * UNSEEN) / (9 + 2)
    assert likely(model, "ab") == pytest.approx(first * (2 + 2 * alone) / (3 + 2))


def test_a_language_s_words_are_likelier() -> None:
    spanish = Ngrams(["cantar", "bailar", "cantando", "bailando", "canciones"])
    italian = Ngrams(["cantare", "ballare", "cantando", "ballando", "canzoni"])
    assert spanish.score("ciones") > italian.score("ciones")
    assert italian.score("allare") > spanish.score("allare")


def test_a_word_counts_by_its_letters_mean() -> None:
    model = Ngrams(["ab"])
    assert model.score("") == 0
    assert model.score("x") == pytest.approx(math.log(2 * UNSEEN / 4))
    assert model.score("xxxx") == pytest.approx(model.score("x"))
