"""The embedding table in training: the rows of the tokens that the texts use, and no other.

A row that no text uses has gradient 0 at every step. AdamW's moments of it stay 0, and weight decay
is all that changes it: what many steps of that come to is done at once. So the student learns as
with the whole table, but gradient, clipping and optimiser cost what the texts use.

Shapes: V tokens of the table, U of them used, d the encoder's width.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Rows:
    """What stands in for a model's embedding table while it learns; the table itself lies aside."""

    def __init__(self, model: "PreTrainedModel", texts: Iterable[Tokens]) -> None:
        """Leave in `model` the rows that `texts` use."""
        table = cast(nn.Embedding, model.get_input_embeddings())
        used = _used(texts, table.num_embeddings)
        # Positions begin behind the padding's id, so that it must stay where it is.
        used[:(table.padding_idx or 0) + 1] = True
        self.places = np.where(used, np.cumsum(used) - 1, -1)
        """Where a token's row is now; -1 for one that no text uses. *Shape:* (V,)"""
        self._used = torch.from_numpy(np.flatnonzero(used))
        self._name = next(name for name, each in model.named_parameters() if each is table.weight)
        self._table = table.weight.detach().cpu()
        table.weight = nn.Parameter(self._table[self._used])
        table.num_embeddings = len(self)

    def __len__(self) -> int:
        """U"""
        return len(self._used)

    def decay(self, factor: float) -> None:
        """Weight decay of the rows that lie aside: the product of all steps' `1 - lr * decay`."""
        self._table.mul_(factor)

    def put(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """`weights` of the model in training, with the whole table."""
        self._table[self._used] = weights[self._name].cpu()
        return {**weights, self._name: self._table}

    def take(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """What `put` gave, for the model in training; its other rows now lie aside."""
        self._table = weights[self._name]
        return {**weights, self._name: self._table[self._used]}


def _used(texts: Iterable[Tokens], vocabulary: int) -> NDArray[np.bool_]:
    """Which tokens occur; a part of a file is read at a time. *Shape:* (V,)"""
    used = np.zeros(vocabulary, dtype=np.bool_)
    for each in texts:
        for ids in each.ids:
            used[ids] = True
    return used
