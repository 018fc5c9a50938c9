"""An encoder without layers: a text's state is the weighted mean of its tokens' embeddings.

Shapes: B texts of a batch, S tokens, V tokens of the table, d the encoder's width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


class StaticConfig(PreTrainedConfig):
    """The encoder's `config.json`."""

    model_type = "amtss-static"

    def __init__(self, vocab_size: int = 8000, hidden_size: int = 200, dropout: float = 0.1,
                 pad_token_id: int = 1, **rest: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.pad_token_id = pad_token_id
        self.num_hidden_layers = 0
        super().__init__(**rest)


class StaticEncoder(PreTrainedModel):
    """Each token has an embedding and a score; the weights of a text's mean are the softmax of its
    tokens' scores.

    A score is the last column of its token's row, so that all that reduces, trims or extends the
    embedding table does the same to the scores. Equal scores give the plain mean.
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
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """The table of embeddings and scores. *Shape:* (V, d + 1)"""
        return self.embeddings["word_embeddings"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutputWithPooling:
        """Embeddings of the tokens, (B, S, d), and as `pooler_output` their weighted mean, (B, d).

        Args:
            input_ids: *Shape:* (B, S)
            attention_mask: *Shape:* (B, S)
        """
        rows = self.get_input_embeddings()(input_ids)
        embeddings, scores = self.dropout(rows[..., :-1]), rows[..., -1]
        padding = attention_mask == 0
        weights = scores.masked_fill(padding, torch.finfo(scores.dtype).min).softmax(dim=-1)
        mean = (weights.unsqueeze(1) @ embeddings).squeeze(1)
        return BaseModelOutputWithPooling(last_hidden_state=embeddings, pooler_output=mean)


AutoConfig.register(StaticConfig.model_type, StaticConfig)
AutoModel.register(StaticConfig, StaticEncoder)
