from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amtss.student import embeddings


@st.composite
def tables(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    """Rows of unlike scale and direction, and a width to reduce them to."""
    rows, width = draw(st.integers(2, 40)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = random.uniform(0.01, 3.0, width) @ random.normal(size=(width, width))
    table = random.normal(size=(rows, width)) * scale + random.normal(size=width)
    return torch.from_numpy(table).float(), draw(st.integers(1, width))


class TestReduce:
    @given(tables())
    def test_directions_are_orthonormal(self, drawn: tuple[torch.Tensor, int]) -> None:
        table, width = drawn
        _, directions = embeddings.principal(table, width)
        torch.testing.assert_close(directions.T @ directions,
                                   torch.eye(width, dtype=torch.float64))

    @given(tables())
    def test_no_other_rows_of_that_width_say_more(self, drawn: tuple[torch.Tensor, int]) -> None:
        table, width = drawn
        mean, directions = embeddings.principal(table, width)
        again = mean + embeddings.reduce(table, width).double() @ directions.T
        away = table.double() - table.double().mean(dim=0)
        best = torch.linalg.svdvals(away)[width:].square().sum()  # Eckart and Young
        error = (table.double() - again).square().sum()
        torch.testing.assert_close(error, best, rtol=1e-4, atol=1e-4)

    @given(tables(), st.randoms(use_true_random=False))
    def test_is_the_same_for_rows_in_another_order(self, drawn: tuple[torch.Tensor, int],
                                                   random: Any) -> None:
        # so that no sign is left to chance
        table, _ = drawn
        order = list(range(len(table)))
        random.shuffle(order)
        spread = torch.linalg.svdvals(table.double() - table.double().mean(dim=0))
        if spread[0] - (spread[1] if len(spread) > 1 else 0) < 1e-3:
            return  # two directions that differ as much can stand for each other
        torch.testing.assert_close(embeddings.reduce(table[order], 1),
                                   embeddings.reduce(table, 1)[order], rtol=1e-3, atol=1e-4)

    def test_at_its_own_width_only_turns(self) -> None:
        table = torch.randn(50, 8) + 3
        reduced = embeddings.reduce(table, 8)
        torch.testing.assert_close(torch.pdist(reduced), torch.pdist(table))
        torch.testing.assert_close(reduced.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)

    def test_in_parts_as_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = torch.randn(50, 8)
        whole = embeddings.reduce(table, 3)
        monkeypatch.setattr(embeddings, "CHUNK", 7)
        torch.testing.assert_close(embeddings.reduce(table, 3), whole)


class TestCarry:
    @given(tables(), st.integers(0, 2**32 - 1))
    def test_rows_go_the_way_of_the_others(self, drawn: tuple[torch.Tensor, int],
                                           seed: int) -> None:
        table, width = drawn
        torch.manual_seed(seed)
        turn, shift = torch.randn(table.shape[1], width), torch.randn(width)
        mixing = torch.rand(5, len(table))
        rows = mixing / mixing.sum(dim=1, keepdim=True) @ table  # within the span of the others
        carried = embeddings.carry(rows, table, table @ turn + shift)
        torch.testing.assert_close(carried, rows @ turn + shift, rtol=1e-3, atol=1e-3)

    def test_to_a_table_that_has_not_changed(self) -> None:
        table = torch.randn(200, 8)
        torch.testing.assert_close(embeddings.carry(table[:50], table[50:], table[50:]), table[:50],
                                   rtol=1e-4, atol=1e-4)
