import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amtss.models.pooling import pooled


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 5), st.integers(0, 1000))
def test_the_mean_ignores_padding(texts: int, tokens: int, padding: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(texts, tokens, 3, generator=draw)
    junk = 1e6 * torch.randn(texts, padding, 3, generator=draw)
    mask = torch.cat([torch.ones(texts, tokens), torch.zeros(texts, padding)], dim=1).long()
    for rows in (slice(None), [0]):
        torch.testing.assert_close(pooled(torch.cat([states, junk], dim=1), mask, "mean")[rows],
                                   states.mean(dim=1)[rows])


def test_lengths_may_differ() -> None:
    states = torch.tensor([[[1.0], [3.0], [8.0]], [[5.0], [9.0], [9.0]]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert pooled(states, mask, "mean").tolist() == [[4.0], [5.0]]
    assert pooled(states, mask, "first").tolist() == [[1.0], [5.0]]


def test_a_text_without_tokens_is_zero() -> None:
    assert pooled(torch.ones(1, 2, 3), torch.zeros(1, 2), "mean").tolist() == [[0.0] * 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_dtype(dtype: torch.dtype) -> None:
    states = torch.ones(2, 3, 4, dtype=dtype)
    assert pooled(states, torch.ones(2, 3), "mean").dtype == dtype
