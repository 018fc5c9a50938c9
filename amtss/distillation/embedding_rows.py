"""The embedding table in training: only the rows of tokens that the texts use.

A row that no text uses has gradient 0 at every step. AdamW's moments of it stay 0, and only weight
decay changes it: the decay of many steps is applied at once. So the student learns exactly as with
the whole table, but gradient, clipping and optimiser cost only what the texts use.

Shapes: V tokens of the table, U of them used, d the encoder's width.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amtss.student.static import StaticConfig
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class EmbeddingRows:
    """Replaces a model's embedding table while it trains, and keeps the whole table aside."""

    def __init__(self, model: "PreTrainedModel", texts: Iterable[Tokens]) -> None:
        """Reduce the table of `model` to the rows that `texts` use."""
        table = cast(nn.Embedding, model.get_input_embeddings())
        encoder = model.config.encoder
        if isinstance(encoder, StaticConfig) and (encoder.pairs or encoder.separator is not None):
            # The hash of pairs is of the tokens' own ids, and the separator is known by its id.
            used = np.ones(table.num_embeddings, dtype=np.bool_)
        else:
            used = _used(texts, table.num_embeddings)
            # Positions begin behind the padding's id, so that id must not change.
            used[:(table.padding_idx or 0) + 1] = True
        self.places = np.where(used, np.cumsum(used) - 1, -1)
        """Each token's row in training; -1 for a token that no text uses. *Shape:* (V,)"""
        self._used = torch.from_numpy(np.flatnonzero(used))
        self._name = next(name for name, parameter in model.named_parameters()
                          if parameter is table.weight)
        self._table = table.weight.detach().cpu()
        table.weight = nn.Parameter(self._table[self._used])
        table.num_embeddings = len(self)

    def __len__(self) -> int:
        """U"""
        return len(self._used)

    def decay(self, factor: float) -> None:
        """Apply weight decay to the unused rows.

        Args:
            factor: the product of `1 - lr * weight_decay` over all steps since the last call.
        """
        self._table.mul_(factor)

    def put(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """`weights` of the model in training, with the whole table."""
        self._table[self._used] = weights[self._name].cpu()
        return {**weights, self._name: self._table}

    def take(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The opposite of `put`: weights with the whole table, made ready for the training."""
        self._table = weights[self._name]
        return {**weights, self._name: self._table[self._used]}


def _used(texts: Iterable[Tokens], vocabulary: int) -> NDArray[np.bool_]:
    """Which tokens occur. Reads one part of a file at a time. *Shape:* (V,)"""
    used = np.zeros(vocabulary, dtype=np.bool_)
    for tokens in texts:
        for ids in tokens.ids:
            used[ids] = True
    return used
