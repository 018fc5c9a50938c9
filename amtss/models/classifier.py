"""A classifier that reads the mean of all tokens' states, for checkpoints trained with that.

Importing this module registers it with transformers' AutoConfig and
AutoModelForSequenceClassification. Shapes: B texts of a batch, S tokens, C classes.
"""

from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    XLMRobertaConfig,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from amtss.errors import CheckpointError, first_line
from amtss.models import hardware
from amtss.models.pooling import pooled


class MeanPooledConfig(PreTrainedConfig):
    """The classifier's `config.json`: the encoder's own config, the labels and the dropout."""

    model_type = "amtss-mean-pooled"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012

    def __init__(self, encoder: PreTrainedConfig | dict[str, Any] | None = None,
                 dropout: float = 0.1, **rest: Any) -> None:
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder or XLMRobertaConfig()
        self.dropout = dropout
        super().__init__(**rest)

    @property
    def num_hidden_layers(self) -> int:
        """The encoder's layers."""
        return int(self.encoder.num_hidden_layers)


class MeanPooledClassifier(PreTrainedModel):
    """An encoder, the mean of its states, dropout, dense(d, C).

    Weights have the names that the encoder's own classifiers give them, such as `bert.embeddings`,
    so that the student can start from its layers.
    """

    config_class = MeanPooledConfig
    config: MeanPooledConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: MeanPooledConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        encoder = encoder or AutoModel.from_config(
            config.encoder, attn_implementation=hardware.attention())
        encoder.pooler = None  # BERT's family has one, for the first token's state
        self.base_model_prefix = encoder.base_model_prefix
        setattr(self, self.base_model_prefix, encoder)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.encoder.hidden_size, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor,
                token_type_ids: Tensor | None = None,
                labels: Tensor | None = None) -> SequenceClassifierOutput:
        """Logits of a batch, and their cross-entropy where there are labels.

        Args:
            input_ids, attention_mask, token_type_ids: *Shape:* (B, S) each
            labels: *Shape:* (B,)

        Returns: `logits`. *Shape:* (B, C)
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoded = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **types)
        states = pooled(encoded.last_hidden_state.float(), attention_mask, "mean")
        logits = self.classifier(self.dropout(states))
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def classifier_of(encoder: PreTrainedModel, dropout: float, **labels: Any) -> MeanPooledClassifier:
    """`encoder` under a new head.

    Args:
        labels: `id2label`, `label2id` and `problem_type`, as in any classifier's configuration.
    """
    # A copy, because the classifier unsets the attention's implementation in its parts' configs.
    config = MeanPooledConfig(deepcopy(encoder.config), dropout, **labels)
    return MeanPooledClassifier(config, encoder)


def configuration(checkpoint: str, fix: str, revision: str | None = None) -> PreTrainedConfig:
    """The configuration of a checkpoint's encoder, that of a mean-pooled classifier too.

    Args:
        fix: what fixes it, for the end of an error's message.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        config = AutoConfig.from_pretrained(checkpoint, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: expected a checkpoint, found: {first_line(error)}; "
                              f"{fix}") from error
    encoder: PreTrainedConfig = getattr(config, "encoder", config)
    return encoder


AutoConfig.register(MeanPooledConfig.model_type, MeanPooledConfig)
AutoModelForSequenceClassification.register(MeanPooledConfig, MeanPooledClassifier)
