import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from amtss.lookalikes import alike, plain, printed, shown

NORMALIZER = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
PIECES = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(),
                                  pre_tokenizers.Metaspace()])
"""As in `train_tokenizer`."""


def pieces(text: str) -> list[str]:
    return [piece for piece, _ in PIECES.pre_tokenize_str(NORMALIZER.normalize_str(text))]


ALIKE = [["a", "A", "\uff21"], ["\u00e9", "e\u0301", "\u00c9"], [" ", "\u00a0", "\u3000", "\t \n"],
         [", ", ",", " ,"], ["\u00bf", " \u00bf"], ["\u2026", "..."], ["\u0938\u093f"], ["\u00df"],
         ["\u0130"], ["\ufb01", "FI"], ["_", " _ "], ["+"]]
TEXTS = st.lists(st.tuples(st.sampled_from(ALIKE), st.integers(0, 5), st.integers(0, 5)),
                 max_size=6).map(lambda parts: tuple(
                     "".join(part[0][part[side] % len(part[0])] for part in parts)
                     for side in (1, 2)))


@given(TEXTS)
def test_texts_of_the_same_tokens_are_plainly_the_same(texts: tuple[str, str]) -> None:
    first, second = texts
    assert (plain(first) == plain(second)) is (pieces(first) == pieces(second))


@pytest.mark.parametrize(("first", "second"), [
    ("Hello, you!", "\uff28\uff25\uff2c\uff2c\uff2f , you !"), ("\u00e9t\u00e9", "e\u0301te\u0301"),
    ("a b", " a\u00a0\u3000b\n"), ("ab", "a\u200bb\ufeff"), ("stra\u00dfe", "STRASSE")])
def test_no_difference(first: str, second: str) -> None:
    assert plain(first) == plain(second)


@pytest.mark.parametrize(("first", "second"), [
    ("ab", "a b"), ("e", "\u00e9"), ("a!", "a?"), ("a!", "a!!"), ("\u0938 \u093f", "\u0938\u093f"),
    ("+", "-"), ("\u4e00", "\u4e8c")])
def test_a_difference(first: str, second: str) -> None:
    assert plain(first) != plain(second)


@given(st.text())
def test_plain_is_plain(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert plain(unicodedata.normalize("NFD", text)) == plain(text)


def test_labels_alike_are_grouped() -> None:
    assert alike(["b", "a", "A", "", " ", "c"]) == [["A", "a"]]
    assert printed("a\u200b \u00a0b") == printed("a b") != printed("A b")
    assert [shown(label) for label in ("\u00e9", "e\u0301", "a ")] == [
        "'\u00e9'", "'e\\u0301'", "'a '"]
