from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.errors import CheckpointError
from amtss.student import recognition
from amtss.tokenization.tokens import Tokens, joined

COMMAND = "dvc repro -f distil"
WORDS = ([10, 11, 12], [20, 21, 12], [30, 31, 32])
"""Tokens of three languages; two share one."""


def tokens(*texts: list[int]) -> Tokens:
    ids = np.array([token for text in texts for token in text], dtype=np.int32)
    return Tokens((ids,), np.cumsum([0, *map(len, texts)], dtype=np.int64))


TEXTS = joined([tokens([0, *words, 2], [0, words[0], 2]) for words in WORDS])
FITTED = recognition.fit(TEXTS, np.repeat([0, 1, 2], 2), 3, special=[0, 1, 2, 999])


def test_texts_of_a_language_score_highest_in_it() -> None:
    assert FITTED.logits(TEXTS).argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2]
    assert set(FITTED.tokens.tolist()) == {10, 11, 12, 20, 21, 30, 31, 32}


@given(st.lists(st.lists(st.sampled_from([0, 2, 5, 10, 12, 20, 32, 40]), max_size=6), max_size=5))
def test_scores_are_sums_over_known_tokens(texts: list[list[int]]) -> None:
    place = {token: row for row, token in enumerate(FITTED.tokens.tolist())}
    expected = [sum((FITTED.scores[place[token]].astype(float) for token in text if token in place),
                    np.zeros(3)) for text in texts]
    found = FITTED.logits(tokens(*texts))
    assert found.shape == (len(texts), 3)
    np.testing.assert_allclose(found, np.reshape(expected, (-1, 3)), atol=1e-6)


def test_a_new_language_leaves_the_others_as_they_are() -> None:
    without = recognition.fit(joined([tokens([0, *words, 2], [0, words[0], 2])
                                      for words in WORDS[:2]]), np.repeat([0, 1], 2), 2, [0, 2])
    one, other = without.logits(TEXTS), FITTED.logits(TEXTS)
    assert (one[:4].argmax(axis=1) == other[:4].argmax(axis=1)).all()
    # New tokens change the smoothing alone, a little and for both alike.
    np.testing.assert_allclose((one[:, 0] - one[:, 1])[:4], (other[:, 0] - other[:, 1])[:4],
                               atol=0.05)


class TestFile:
    def test_is_read_back(self, tmp_path: Path) -> None:
        FITTED.at(2.0).save(tmp_path)
        found = recognition.load(tmp_path, 3, COMMAND)
        assert found is not None
        np.testing.assert_allclose(found.logits(TEXTS), FITTED.logits(TEXTS) / 2, atol=0.01)
        assert (tmp_path / recognition.FILE).stat().st_size < 300

    def test_old_students_have_none(self, tmp_path: Path) -> None:
        assert recognition.load(tmp_path, 3, COMMAND) is None

    def test_of_other_languages(self, tmp_path: Path) -> None:
        FITTED.save(tmp_path)
        with pytest.raises(CheckpointError, match=r"languages.safetensors: expected scores of "
                           r"tokens in 2 languages, found: .*; run `dvc repro -f distil`"):
            recognition.load(tmp_path, 2, COMMAND)

    def test_truncated(self, tmp_path: Path) -> None:
        (tmp_path / recognition.FILE).write_bytes(b"123")
        with pytest.raises(CheckpointError, match="expected scores of tokens in 3 languages"):
            recognition.load(tmp_path, 3, COMMAND)
