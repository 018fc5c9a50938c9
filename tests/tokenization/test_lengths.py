"""Where texts are cut, and how many are."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.project import unfolded
from transformers import PreTrainedTokenizerBase

from amtss.config.schema import Validation
from amtss.data.corpus import Corpus
from amtss.tokenization import lengths
from amtss.tokenization.tokenizer import train_tokenizer

SHORT, LONG = "mon colis", "où est mon colis et que fait le livreur " * 3


def corpus(language: str, *texts: str, test: tuple[str, ...] = (SHORT,),
           mixed: tuple[str, ...] = ()) -> Corpus:
    splits = {name: pa.table({"id": [f"{kind}{number}" for number in range(len(rows))],
                              "text": pa.array(rows, pa.string())})
              for name, kind, rows in (("train", "", texts), ("test", "", test),
                                       ("unlabelled", "mixed-", mixed))}
    return Corpus(language, splits, "", None)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([corpus("fr", SHORT, LONG)], 300)


@pytest.fixture(autouse=True)
def unlimited(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    before = tokenizer.model_max_length
    yield
    tokenizer.model_max_length = before


tokens = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@settings(max_examples=30, deadline=None)
@given(st.lists(tokens, min_size=1, max_size=3), st.integers(16, 600))
def test_the_usual_length_leaves_most_texts_of_every_language_whole(
        languages: list[list[int]], most: int) -> None:
    length = lengths.usual([{"train": np.array(rows), "test": np.array([10_000])}
                            for rows in languages], most)
    assert 16 <= length <= min(256, most)
    assert length == most or length % 8 == 0
    if length < min(256, most):
        for rows in languages:
            assert np.mean(np.array(rows) > length) <= 0.005
    shorter = length - 8  # and no longer than that takes
    assert length == 16 or any(np.mean(np.array(rows) > shorter) > 0.005 for rows in languages)


def test_without_training_texts_the_length_is_the_shortest() -> None:
    assert lengths.usual([{"train": np.zeros(0, np.int64)}, {}], 512) == 16


def test_the_length_follows_from_own_training_texts(tokenizer: PreTrainedTokenizerBase) -> None:
    read = lengths.settle(tokenizer, [corpus("fr", SHORT, test=(LONG,), mixed=(LONG,) * 3),
                                      corpus("es", SHORT)], None, None, "words")
    assert read == {"max_length": tokenizer.model_max_length, "cut": {"fr": 0.5, "es": 0.0}}
    assert read["max_length"] == 16
    whole = lengths.settle(tokenizer, [corpus("fr", LONG, SHORT)], 512, None, "words")
    assert whole == {"max_length": 512, "cut": {"fr": 0.0}}


def test_it_is_no_more_than_the_model_reads(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.model_max_length = 20
    assert lengths.settle(tokenizer, [corpus("fr", LONG)], None, None, "it")["max_length"] == 20


def test_what_is_cut_is_a_warning(tokenizer: PreTrainedTokenizerBase,
                                  capfd: pytest.CaptureFixture[str]) -> None:
    read = [corpus("fr", SHORT, LONG), corpus("es", SHORT, SHORT)]
    lengths.settle(tokenizer, read, 16, Validation(warn_truncated=0.3), "the student")
    assert unfolded(capfd.readouterr().err) == (
        "amtss: warning: fr: 1 of 3 rows (33.3%) are longer than 16 tokens, the max_length of the "
        "student, and are cut there; raise it to read them whole\n")
    lengths.settle(tokenizer, read, 16, Validation(warn_truncated=0.4), "the student")
    assert capfd.readouterr().err == ""
