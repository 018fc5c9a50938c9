"""The student: a shared encoder (Equation 5) and one projection head per language (Equation 6).

Shapes: B examples of a batch, S tokens, d the encoder's width, C classes.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, XLMRobertaConfig

from amtss.config.schema import Pooling, Student
from amtss.errors import CheckpointError
from amtss.models import hardware
from amtss.models.architecture import scratch
from amtss.models.pooling import pooled
from amtss.student.static import StaticConfig, StaticEncoder

MAX_TOKENS = 64
"""Where texts are cut, if nothing says it; the stages always do."""


class StudentConfig(PreTrainedConfig):
    """The student's `config.json`: the encoder's own config, the languages and the labels."""

    model_type = "amtss-student"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012

    def __init__(self, encoder: PreTrainedConfig | dict[str, Any] | None = None,
                 languages: list[str] | None = None, heads: str = "own", dropout: float = 0.1,
                 max_tokens: int = MAX_TOKENS, pooling: Pooling = "first",
                 temperatures: dict[str, float] | None = None,
                 thresholds: dict[str, list[tuple[float, float]]] | None = None,
                 **rest: Any) -> None:
        """
        Args:
            temperatures: by head, what its logits are divided by before the softmax; 1 where none.
            thresholds: by head, accuracies on validation and the least confidence that reaches
                each; none in a student that was made before there were any.
        """
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder or XLMRobertaConfig()
        self.languages = languages or []
        self.heads = heads
        self.dropout = dropout
        self.max_tokens = max_tokens
        self.pooling = pooling
        self.temperatures = temperatures or {}
        self.thresholds = thresholds or {}
        super().__init__(**rest)


class Head(nn.Module):
    """dense(d, d), tanh, dropout, dense(d, C), as in XLM-R's classification head."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(width, classes)

    def forward(self, states: Tensor, shared: "Head | None" = None) -> Tensor:
        """Logits of a batch.

        Args:
            states: *Shape:* (B, d)
            shared: a head of all languages to which this one is a residual.

        Returns: *Shape:* (B, C)
        """
        dense, out_proj = (shared.dense, shared.out_proj) if shared else (None, None)
        hidden = torch.tanh(_linear(self.dropout(states), self.dense, dense))
        return _linear(self.dropout(hidden), self.out_proj, out_proj)


def _linear(x: Tensor, layer: nn.Linear, shared: nn.Linear | None) -> Tensor:
    if shared is None:
        return functional.linear(x, layer.weight, layer.bias)
    return functional.linear(x, layer.weight + shared.weight, layer.bias + shared.bias)


class StudentModel(PreTrainedModel):
    """The student as a transformers model, with `save_pretrained` and `from_pretrained`."""

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
        states = self.states(input_ids, attention_mask)
        present = language.unique().tolist()
        if len(present) == 1:
            return self._head(present[0], states)
        rows = [(language == index).nonzero(as_tuple=True)[0] for index in present]
        parts = [self._head(index, states[own]) for index, own in zip(present, rows, strict=True)]
        return torch.cat(parts)[torch.argsort(torch.cat(rows))]

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The states of texts that heads read, as `config.pooling` says.

        Args:
            input_ids: *Shape:* (B, S)
            attention_mask: *Shape:* (B, S)

        Returns: *Shape:* (B, d)
        """
        encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        if isinstance(self.encoder, StaticEncoder):
            mean: Tensor = encoded.pooler_output
            return mean
        return pooled(encoded.last_hidden_state, attention_mask, self.config.pooling)

    def _head(self, index: int, states: Tensor) -> Tensor:
        head = self.heads[self.config.languages[index]]
        assert isinstance(head, Head)
        logits: Tensor = head(states, self.shared)
        return logits


def build_student(settings: Student, languages: list[str], labels: list[str], vocabulary: int,
                  pad: int, start: Path | None = None, separator: int | None = None
                  ) -> StudentModel:
    """A new student with heads for `languages`, random except for the encoder's initial weights.

    Args:
        languages: those with a head of their own.
        labels: class names, in order.
        vocabulary: number of token ids.
        pad: the padding token's id.
        start: folder of the initial weights, written by `start.write_weights`; None for none.
        separator: the token that ends the first of two texts; None where texts come alone. A
            student with layers needs none.

    Raises:
        CheckpointError: the weights in `start` do not fit `settings`.
    """
    whole = settings.start == "layers"
    try:
        encoder = (AutoConfig.from_pretrained(start) if start and whole else
                   _new_encoder(settings, vocabulary, pad, separator))
        # X-LM-Tiny's single head has nothing to share.
        heads = settings.heads if len(languages) > 1 else "own"
        model = StudentModel(StudentConfig(
            encoder=encoder, languages=languages, heads=heads, dropout=settings.dropout,
            max_tokens=settings.max_length or MAX_TOKENS, pooling=settings.pooled_by,
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)}))
        if start is not None:
            model.encoder.load_state_dict(load_file(start / "model.safetensors"), strict=whole)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{start}: expected weights to start the student of params.yaml "
                              f"with, found: {str(error).strip().splitlines()[-1].strip()}; run "
                              "`dvc repro start`") from error
    return model


def _new_encoder(settings: Student, vocabulary: int, pad: int, separator: int | None
                 ) -> PreTrainedConfig:
    """The encoder that `settings.architecture` describes."""
    if settings.architecture.layers:
        return scratch(settings.architecture, vocabulary, pad, settings.max_length or MAX_TOKENS,
                       settings.dropout)
    return StaticConfig(vocab_size=vocabulary, hidden_size=settings.architecture.width,
                        dropout=settings.dropout, pad_token_id=pad,
                        pairs=settings.architecture.pairs, separator=separator)


AutoConfig.register(StudentConfig.model_type, StudentConfig)
AutoModel.register(StudentConfig, StudentModel)
