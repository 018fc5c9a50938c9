"""An encoder without layers: a text's state is the weighted mean of its tokens' embeddings, and of
those of neighbouring tokens.

Shapes: B texts of a batch, S tokens, V tokens of the table, d the encoder's width, P rows of the
table of pairs.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from amtss.student import pairs


class StaticConfig(PreTrainedConfig):
    """The encoder's `config.json`."""

    model_type = "amtss-static"

    def __init__(self, vocab_size: int = 8000, hidden_size: int = 200, dropout: float = 0.1,
                 pad_token_id: int = 1, pairs: int = 0, separator: int | None = None,
                 **rest: Any) -> None:
        """
        Args:
            pairs: rows of the table of pairs; 0 for a model without one.
            separator: the token that ends the first of two texts; None where texts come alone.
        """
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.pad_token_id = pad_token_id
        self.pairs = pairs
        self.separator = separator
        self.num_hidden_layers = 0
        super().__init__(**rest)


class StaticEncoder(PreTrainedModel):
    """Each token has an embedding and a score; the weights of a text's mean are the softmax of its
    tokens' scores.

    A score is the last column of its token's row, so that all that reduces, trims or extends the
    embedding table does the same to the scores. Equal scores give the plain mean.

    With pairs, neighbours have an embedding and a score as well, in a table of their own, and the
    mean is over both. Pairs' embeddings are shorter than tokens'; a matrix makes them as long.

    With a separator, what comes behind it counts differently from the first text, and a matrix
    adds what the two have in common, see `pairs`; at the start both are nothing.
    """

    config_class = StaticConfig
    config: StaticConfig
    base_model_prefix = "static"

    def __init__(self, config: StaticConfig, add_pooling_layer: bool = False) -> None:
        """
        Args:
            add_pooling_layer: has no effect; transformers' encoders take it.
        """
        super().__init__(config)
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(
            config.vocab_size, config.hidden_size + 1, padding_idx=config.pad_token_id)})
        if config.pairs:
            self.pairs = nn.Embedding(config.pairs, pairs.WIDTH + 1)
            self.widen = nn.Linear(pairs.WIDTH, config.hidden_size, bias=False)
        if config.separator is not None:
            self.second = nn.Parameter(torch.zeros(config.hidden_size + 1))
            self.match = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()  # type: ignore[no-untyped-call]
        if config.separator is not None:
            nn.init.zeros_(self.match.weight)

    def get_input_embeddings(self) -> nn.Module:
        """The table of embeddings and scores. *Shape:* (V, d + 1)"""
        return self.embeddings["word_embeddings"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutputWithPooling:
        """Embeddings of the tokens, (B, S, d), and as `pooler_output` the texts' states, (B, d).

        Args:
            input_ids: *Shape:* (B, S)
            attention_mask: *Shape:* (B, S)
        """
        tokens = self._looked(self.get_input_embeddings(), input_ids)
        couples = pairs.Couples(self.config.pairs, partial(self._looked, self.pairs), self.widen
                                ) if self.config.pairs else None
        second = None if self.config.separator is None else pairs.Second(
            self.config.separator, self.second, self.match)
        states = pairs.states(input_ids, attention_mask, tokens, couples, second)
        return BaseModelOutputWithPooling(last_hidden_state=tokens.embeddings, pooler_output=states)

    def _looked(self, table: nn.Module, index: Tensor) -> pairs.Looked:
        """The rows of a table of embeddings, the scores in its last column."""
        rows = table(index)
        return pairs.Looked(self.dropout(rows[..., :-1]), rows[..., -1])


AutoConfig.register(StaticConfig.model_type, StaticConfig)
AutoModel.register(StaticConfig, StaticEncoder)
