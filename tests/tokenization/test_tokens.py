import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

lengths_of = st.lists(st.integers(1, 30), min_size=1, max_size=300).map(np.array)


def tokens_of(lengths: list[int], cuts: tuple[int, ...] = ()) -> Tokens:
    """Text i is made of the ids i+1; parts end at the texts `cuts`."""
    ids = [np.full(length, at + 1, dtype=np.int32) for at, length in enumerate(lengths)]
    parts = [np.concatenate([np.empty(0, np.int32), *ids[first:last]])
             for first, last in zip((0, *cuts), (*cuts, len(ids)), strict=True)]
    return Tokens(tuple(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


@given(lengths_of, st.integers(1, 40), st.one_of(st.none(), st.integers(0, 99)))
def test_batches_cover_each_example_once(lengths: np.ndarray, size: int,
                                         seed: int | None) -> None:
    draw = None if seed is None else np.random.default_rng(seed)
    batches = list(tokens.batches(lengths, size, draw))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) <= -(-len(lengths) // size) + len(lengths) // (tokens.POOL * size)


@given(lengths_of, st.integers(0, 99))
def test_batches_are_seeded(lengths: np.ndarray, seed: int) -> None:
    first, second = (np.concatenate(list(tokens.batches(
        lengths, 4, np.random.default_rng(seed)))).tolist() for _ in range(2))
    assert first == second


def test_batches_are_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 5000)
    for draw in (None, np.random.default_rng(0)):
        padding = [lengths[at].max() - lengths[at].mean()
                   for at in tokens.batches(lengths, 16, draw)]
        assert np.mean(padding) < 3


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any), st.data())
def test_padded(lengths: list[int], data: st.DataObject) -> None:
    indices = st.integers(0, len(lengths) - 1)
    texts = tokens_of(lengths, data.draw(st.lists(indices, max_size=3).map(sorted).map(tuple)))
    rows = np.array(data.draw(st.lists(indices, min_size=1)))
    ids, mask = texts.padded(rows, pad=0)
    longest = max(lengths[row] for row in rows)
    assert ids.shape == mask.shape == (len(rows), longest)
    assert texts.lengths.tolist() == lengths
    for row, padded, real in zip(rows, ids, mask, strict=True):
        assert padded.tolist() == [row + 1] * lengths[row] + [0] * (longest - lengths[row])
        assert real.tolist() == [1] * lengths[row] + [0] * (longest - lengths[row])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 12))
def test_rows_of_joined(lengths: list[int], cut: int) -> None:
    texts = tokens.joined([tokens_of(lengths[:cut]), tokens_of(lengths[cut:])])
    assert len(texts) == len(lengths)
    expected = [*range(1, cut + 1), *range(1, len(lengths) - cut + 1)]
    for row, (length, text) in enumerate(zip(lengths, expected, strict=False)):
        assert texts[row]["input_ids"].tolist() == [text] * length
    with pytest.raises(IndexError, match="out of bounds"):
        texts[len(lengths)]
