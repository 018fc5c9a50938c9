from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amtss.student import pairs


class TestPlaces:
    @given(st.lists(st.integers(0, 250_001), min_size=1, max_size=9), st.integers(1, 100_000))
    def test_are_rows_of_the_table_that_depend_on_the_pair_alone(self, ids: list[int],
                                                                  rows: int) -> None:
        places = pairs.places(torch.tensor([ids]), rows)
        assert places.shape == (1, len(ids) - 1)
        assert ((places >= 0) & (places < rows)).all()
        for at, place in enumerate(places[0].tolist()):
            assert pairs.places(torch.tensor([ids[at:at + 2]]), rows).item() == place

    def test_know_the_order(self) -> None:
        one, other = pairs.places(torch.tensor([[7, 9], [9, 7]]), 65_536).flatten().tolist()
        assert one != other

    def test_of_frequent_tokens_do_not_meet(self) -> None:
        every = torch.tensor(list(product(range(150), range(150))))
        assert len(pairs.places(every, 65_536).unique()) == len(every)

    def test_fill_the_table_evenly(self) -> None:
        every = torch.randint(0, 24_000, (200_000, 2), generator=torch.Generator().manual_seed(0))
        counts = torch.bincount(pairs.places(every, 1000).flatten(), minlength=1000)
        assert counts.min() > 120
        assert counts.max() < 280

    def test_of_a_second_text_stand_half_a_table_further_on(self) -> None:
        ids = torch.tensor([[7, 9, 2, 7, 9]])
        plain, (first, *middle, second) = pairs.places(ids, 100)[0], pairs.places(
            ids, 100, pairs.behind(ids, 2))[0].tolist()
        assert (first, second) == (plain[0], (plain[3] + 50) % 100)
        assert middle == [(place + 50) % 100 for place in plain[1:3].tolist()]


class TestBehind:
    @pytest.mark.parametrize(("ids", "expected"), [
        ([0, 8, 9, 2, 2, 7, 2], [0, 0, 0, 1, 1, 1, 1]),  # XLM-R: two separators between the texts
        ([0, 8, 9, 2], [0, 0, 0, 1]),
        ([8, 9], [0, 0])], ids=str)
    def test_is_from_the_first_separator_on(self, ids: list[int], expected: list[int]) -> None:
        assert pairs.behind(torch.tensor([ids]), 2).tolist() == [list(map(bool, expected))]


class TestToldApart:
    def test_changes_the_second_text_alone(self) -> None:
        looked = pairs.Looked(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[0.5, 0.5]]))
        found = looked.told_apart(torch.tensor([[False, True]]), torch.tensor([1.0, -1.0, 0.25]))
        assert found.embeddings.tolist() == [[[1.0, 2.0], [6.0, 0.0]]]
        assert found.scores.tolist() == [[0.5, 0.75]]

    def test_of_nothing_changes_nothing(self) -> None:
        looked = pairs.Looked(torch.randn(2, 4, 3), torch.randn(2, 4))
        found = looked.told_apart(torch.ones(2, 4, dtype=torch.bool), torch.zeros(4))
        assert all(torch.equal(one, other) for one, other in zip(found, looked, strict=True))


class TestMatched:
    def test_is_highest_where_the_two_are_alike(self) -> None:
        draw = torch.Generator().manual_seed(0)
        one, other = torch.randn(2, 3, 8, generator=draw)
        behind = torch.tensor([[False] * 3 + [True] * 3])
        alike, unlike = (
            pairs.matched(pairs.Looked(torch.cat([one, second])[None], torch.zeros(1, 6)),
                          torch.ones(1, 6), behind).sum().item() for second in (2 * one, other))
        assert alike == pytest.approx(1, rel=1e-4)  # whatever the length of the embeddings
        assert unlike < 0.9

    @pytest.mark.parametrize("behind", [[0, 0, 0], [1, 1, 1]])
    def test_is_nothing_where_there_is_one_text(self, behind: list[int]) -> None:
        looked = pairs.Looked(torch.randn(1, 3, 4), torch.randn(1, 3))
        found = pairs.matched(looked, torch.ones(1, 3), torch.tensor([behind]).bool())
        assert found.tolist() == [[0.0] * 4]


class TestShares:
    @given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    def test_of_tokens_and_pairs_sum_to_one(self, lengths: list[int]) -> None:
        draw = torch.Generator().manual_seed(0)
        scores, couples = (torch.randn(len(lengths), width, generator=draw) for width in (6, 5))
        mask = (torch.arange(6) < torch.tensor(lengths)[:, None]).long()
        single, double = pairs.joint_shares(scores, couples, mask)
        torch.testing.assert_close(single.sum(dim=1) + double.sum(dim=1), torch.ones(len(lengths)))
        assert not single[mask == 0].any()
        assert not double[mask[:, 1:] == 0].any()

    def test_are_a_softmax(self) -> None:
        scores, couples = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0]])
        single, double = pairs.joint_shares(scores, couples, torch.ones(1, 2))
        weights = torch.tensor([0.0, 1.0, 2.0]).softmax(dim=0)
        assert torch.cat([single, double], dim=1)[0].tolist() == pytest.approx(weights.tolist())
