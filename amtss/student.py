"""The student: a shared encoder (Equation 5) and one projection head per language (Equation 6).

Shapes: B examples of a batch, S tokens, d the encoder's width, C classes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, XLMRobertaConfig

from amtss import checkpoint, hardware
from amtss.architecture import scratch
from amtss.config import Student
from amtss.errors import CheckpointError

MEND = "mend student.checkpoint in params.yaml"


class StudentConfig(PreTrainedConfig):
    """What `config.json` holds: the encoder's own config, the languages and the labels."""

    model_type = "amtss-student"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012

    def __init__(self, encoder: PreTrainedConfig | dict[str, Any] | None = None,
                 languages: list[str] | None = None, heads: str = "own", dropout: float = 0.1,
                 max_tokens: int = 64, **rest: Any) -> None:
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder or XLMRobertaConfig()
        self.languages = languages or []
        self.heads = heads
        self.dropout = dropout
        self.max_tokens = max_tokens
        super().__init__(**rest)


class Head(nn.Module):
    """dense(d, d), tanh, dropout, dense(d, C), as in XLM-R's classification head."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(width, classes)

    def forward(self, states: Tensor, shared: "Head | None" = None) -> Tensor:
        """Logits of `states` ((B, d)); with `shared`, this head is a residual to it. (B, C)"""
        dense, out_proj = (shared.dense, shared.out_proj) if shared else (None, None)
        hidden = torch.tanh(_linear(self.dropout(states), self.dense, dense))
        return _linear(self.dropout(hidden), self.out_proj, out_proj)


def _linear(x: Tensor, layer: nn.Linear, shared: nn.Linear | None) -> Tensor:
    if shared is None:
        return functional.linear(x, layer.weight, layer.bias)
    return functional.linear(x, layer.weight + shared.weight, layer.bias + shared.bias)


class StudentModel(PreTrainedModel):
    """A transformers model: `save_pretrained`, `from_pretrained`, safetensors."""

    config_class = StudentConfig
    config: StudentConfig
    base_model_prefix = "encoder"

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(
            config.encoder, add_pooling_layer=False, attn_implementation=hardware.attention())
        width, classes = config.encoder.hidden_size, len(config.id2label or {})
        self.heads = nn.ModuleDict({language: Head(width, classes, config.dropout)
                                    for language in config.languages})
        self.shared = (Head(width, classes, config.dropout)
                       if config.heads == "residual" else None)
        self.post_init()  # type: ignore[no-untyped-call]
        if self.shared is not None:
            for head in self.heads.values():
                for parameter in head.parameters():
                    nn.init.zeros_(parameter)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, language: Tensor) -> Tensor:
        """Logits of texts of any mix of languages.

        Args:
            input_ids: *Shape:* (B, S)
            attention_mask: *Shape:* (B, S)
            language: index of each text's language in `config.languages`. *Shape:* (B,)

        Returns: *Shape:* (B, C)
        """
        encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        states = encoded.last_hidden_state[:, 0]
        present = language.unique().tolist()
        if len(present) == 1:
            return self._head(present[0], states)
        rows = [(language == index).nonzero(as_tuple=True)[0] for index in present]
        parts = [self._head(index, states[at]) for index, at in zip(present, rows, strict=True)]
        return torch.cat(parts)[torch.argsort(torch.cat(rows))]

    def _head(self, index: int, states: Tensor) -> Tensor:
        head = self.heads[self.config.languages[index]]
        assert isinstance(head, Head)
        logits: Tensor = head(states, self.shared)
        return logits


def build(settings: Student, languages: list[str], labels: list[str], vocabulary: int,
          pad: int) -> StudentModel:
    """A new student with heads for `languages`, random or from a checkpoint's first layers.

    Args:
        languages: those with a head of their own.
        labels: class names, in order.
        vocabulary: number of token ids.
        pad: the padding token's id.

    Raises:
        CheckpointError: `settings.checkpoint` cannot be loaded or has too few layers.
    """
    encoder = _encoder_config(settings, vocabulary, pad)
    # A single head, X-LM-Tiny's, has nothing to share.
    heads = settings.heads if len(languages) > 1 else "own"
    config = StudentConfig(
        encoder=encoder, languages=languages, heads=heads, dropout=settings.dropout,
        max_tokens=settings.max_length, id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)})
    try:
        model = StudentModel(config)
    except TypeError as error:
        raise CheckpointError(f"{settings.checkpoint}: expected an encoder of BERT's family (BERT, "
                              "RoBERTa, XLM-R, CamemBERT), found "
                              f"{encoder.model_type}; {MEND}") from error
    if settings.checkpoint is not None:
        # Layers beyond the config's number are left in the file.
        pretrained = checkpoint.load(AutoModel, settings.checkpoint, MEND, config=encoder,
                                     revision=settings.revision or "main",
                                     add_pooling_layer=False)
        model.encoder.load_state_dict(pretrained.state_dict())
    return model


def _encoder_config(settings: Student, vocabulary: int, pad: int) -> PreTrainedConfig:
    if settings.checkpoint is None:
        return scratch(settings.architecture, vocabulary, pad, settings.max_length,
                       settings.dropout)
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            settings.checkpoint, revision=settings.revision or "main")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{settings.checkpoint}: expected a checkpoint, found: "
                              f"{str(error).strip().splitlines()[0]}; {MEND}") from error
    layers = settings.architecture.layers
    if layers > config.num_hidden_layers:
        raise CheckpointError(f"{settings.checkpoint}: expected at least {layers} layers, found "
                              f"{config.num_hidden_layers}; lower student.architecture.layers")
    config.num_hidden_layers = layers
    return config


AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, StudentModel)
