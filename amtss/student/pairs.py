"""What a student without layers computes: the weighted mean of a text's tokens, and its pairs of
neighbouring tokens, which have rows of a table by a hash.

Where texts come in twos, such as NLI's premise and hypothesis, tokens and pairs of the second text
count differently from those of the first, and what both have in common counts as well.

Shapes: B texts of a batch, S tokens, P rows of the table of pairs, d the encoder's width.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 64
"""Length of a pair's embedding. Most pairs are rare, and a short one learns from fewer texts."""
EPS = 1e-6
"""The least length that a mean is divided by."""
GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio are spread most evenly. So pairs of frequent tokens, which have the
lowest ids, do not meet in a row."""
Map = Callable[["Tensor"], "Tensor"]
"""A matrix applied to vectors."""


class Looked(NamedTuple):
    """The embeddings of tokens or pairs, and their scores. *Shapes:* (B, S, d), (B, S)"""

    embeddings: "Tensor"
    scores: "Tensor"

    def told_apart(self, behind: "Tensor", second: "Tensor") -> "Looked":
        """The same, with embeddings and scores of the second text's tokens changed.

        Args:
            behind: which tokens are the second text's, see `behind`. *Shape:* (B, S)
            second: by how much their embeddings grow, as a share of themselves, and in the last
                place what is added to their scores. *Shape:* (d + 1,)
        """
        return Looked(self.embeddings * (1 + behind.unsqueeze(-1) * second[:-1]),
                      self.scores + behind * second[-1])


class Couples(NamedTuple):
    """A table of pairs.

    Its rows, what looks pairs up in it by those, and what makes the sum of their embeddings as long
    as a token's."""

    rows: int
    look: Callable[["Tensor"], Looked]
    widen: Map


class Second(NamedTuple):
    """What a second text counts by: the separator before it, what `Looked.told_apart` changes, and
    what `matched` is multiplied by."""

    separator: int
    change: "Tensor"
    match: Map


def states(ids: "Tensor", mask: "Tensor", tokens: Looked, couples: Couples | None,
           second: Second | None) -> "Tensor":
    """The states of texts. (B, d)

    Args:
        ids: *Shape:* (B, S)
        mask: 1 for what is no padding. *Shape:* (B, S)
        tokens: what stands for `ids` in their table.
        couples: None where pairs do not count.
        second: None where texts come alone.
    """
    which = behind(ids, second.separator) if second else None
    if second and which is not None:
        tokens = tokens.told_apart(which, second.change)
    if couples:
        looked = couples.look(places(ids, couples.rows, which))
        found = joint_mean(tokens, looked, couples.widen, mask)
    else:
        found = mean(tokens, mask)
    if second and which is not None:
        found = found + second.match(matched(tokens, mask, which))
    return found


def matched(tokens: Looked, mask: "Tensor", behind: "Tensor") -> "Tensor":
    """What the two texts have in common: the product of their weighted means, each of length 1.
    (B, d)

    Args:
        mask: 1 for what is no padding. *Shape:* (B, S)
        behind: which tokens are the second text's. *Shape:* (B, S)
    """
    from torch.nn import functional

    # A text may have no token at all; the softmax over nothing is not 0.
    first, second = (
        functional.normalize(total(shares(tokens.scores, own) * own, tokens.embeddings), dim=-1,
                             eps=EPS) for own in (mask * ~behind, mask * behind))
    return first * second


def behind(ids: "Tensor", separator: int) -> "Tensor":
    """Which tokens come behind the first text: the separator that ends it and all others.
    *Shape:* (B, S)"""
    return (ids == separator).cumsum(dim=1) > 0


def step(rows: int) -> int:
    """What the id of a pair's first token is multiplied by, for a table of so many rows."""
    return round(GOLDEN * rows)


def places(ids: "Tensor", rows: int, behind: "Tensor | None" = None) -> "Tensor":
    """The row of each pair of neighbours. (B, S) -> (B, S - 1)

    Args:
        behind: which tokens are a second text's; its pairs stand half a table further on.
            *Shape:* (B, S)
    """
    numbers = step(rows) * ids[:, :-1] + ids[:, 1:]
    if behind is not None:
        numbers = numbers + behind[:, 1:] * (rows // 2)
    return numbers % rows


def mean(tokens: Looked, mask: "Tensor") -> "Tensor":
    """The weighted mean of a text's tokens. (B, d)

    Args:
        mask: 1 for what is no padding. *Shape:* (B, S)
    """
    return total(shares(tokens.scores, mask), tokens.embeddings)


def joint_mean(tokens: Looked, couples: Looked, widen: Map, mask: "Tensor") -> "Tensor":
    """The weighted mean of a text's tokens and pairs. (B, d)

    Args:
        widen: makes the sum of pairs' embeddings as long as a token's.
        mask: 1 for what is no padding. *Shape:* (B, S)
    """
    single, double = joint_shares(tokens.scores, couples.scores, mask)
    return total(single, tokens.embeddings) + widen(total(double, couples.embeddings))


def shares(scores: "Tensor", mask: "Tensor") -> "Tensor":
    """The weights of tokens in a mean: the softmax of their scores, 0 for padding. (B, S)"""
    import torch

    return scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(dim=-1)


def total(weights: "Tensor", embeddings: "Tensor") -> "Tensor":
    """The weighted sum of embeddings. (B, S), (B, S, d) -> (B, d)"""
    return (weights.unsqueeze(1) @ embeddings).squeeze(1)


def joint_shares(scores: "Tensor", of_pairs: "Tensor", mask: "Tensor") -> "tuple[Tensor, Tensor]":
    """The weights of tokens and of pairs in one mean. (B, S), (B, S - 1)"""
    import torch

    both = shares(torch.cat([scores, of_pairs], dim=1), torch.cat([mask, mask[:, 1:]], dim=1))
    return both[:, :scores.shape[1]], both[:, scores.shape[1]:]
