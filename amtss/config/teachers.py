"""Settings of the teachers: what each is, how it is fine-tuned, and how it scores texts."""

from typing import TYPE_CHECKING, Annotated, Any, Optional

from pydantic import Field, create_model, model_validator

from amtss.config.section import (
    Count,
    Dropout,
    MaxLength,
    NotNegative,
    Positive,
    Precision,
    Section,
    Seed,
    Share,
)


class Teaching(Section):
    """How teachers are fine-tuned. A teacher's own `training` overrides any of these keys."""

    epochs: Count = 8
    """Most passes over the training rows; the epoch with the best validation accuracy is kept."""
    patience: Count = 2
    """Epochs without a better validation accuracy after which training stops."""
    batch_size: Count = 32
    """Examples per step of the optimiser, over all processes together."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other: less memory, the same step."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower."""
    learning_rate: Positive = 1.0e-3
    """Highest learning rate of AdamW; it rises during `warmup` and then falls linearly to 0."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW."""
    warmup: Share = 0.1
    """Share of all steps in which the learning rate rises."""
    max_length: MaxLength = 64
    """Most tokens of a text or a pair, with special tokens; longer ones are cut."""
    dropout: Dropout = 0.1
    """Dropout probability while training."""
    label_smoothing: Dropout = 0.0
    """Share of the target probability that is spread evenly over all labels."""
    precision: Precision = "auto"
    """Number format of the computation; `auto` is bf16 where the hardware computes in it, else
    fp32."""
    seed: Seed = 0
    """Seed of new weights, dropout and the order of batches."""


def _optional(section: type[Section]) -> dict[str, Any]:
    """The fields of a section for `create_model`, each null unless it is set."""
    return {key: (Optional[Annotated[field.annotation, Field(), *field.metadata]],  # noqa: UP045
                  Field(default=None, description=field.description))
            for key, field in section.model_fields.items()}


if TYPE_CHECKING:
    class TeachingOverrides(Section):
        """The keys of `Teaching`, all optional."""
else:
    TeachingOverrides = create_model(
        "TeachingOverrides", __base__=Section, __module__=__name__,
        __doc__="Any keys of `teaching`; those that are not set have its values.",
        **_optional(Teaching))


class Architecture(Section):
    """An encoder of XLM-R's architecture with new weights, and its tokenizer's size."""

    layers: Count = 3
    """Transformer layers."""
    width: Count = 256
    """Length of the hidden states; `heads` must divide it."""
    heads: Count = 4
    """Attention heads per layer."""
    feed_forward: Count = 1024
    """Inner length of the feed-forward networks."""
    vocabulary: Annotated[int, Field(ge=300)] = 8000
    """Pieces of a tokenizer that is trained on the project's texts; unused with any other."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Architecture":
        if self.width % self.heads:
            raise ValueError(f"expected a width that {self.heads} heads divide, "
                             f"found {self.width}")
        return self


class Teacher(Section):
    """One teacher: a checkpoint, or an encoder with new weights where there is no checkpoint."""

    languages: tuple[str, ...]
    """Languages that it is fine-tuned on; `[all]` for every one."""
    scores: tuple[str, ...] | None = None
    """Languages whose soft targets it contributes to (Equation 4); null for `languages`."""
    checkpoint: str | None = None
    """Hub id or local folder of a model with safetensors weights that
    AutoModelForSequenceClassification loads; null for new weights of `architecture`."""
    revision: str | None = None
    """A branch, tag or commit of the hub's `checkpoint`; null for its main branch."""
    fine_tune: bool = True
    """False uses a checkpoint that has been fine-tuned elsewhere as it is."""
    labels: dict[str, str] = Field(default={})
    """Label names of such a checkpoint -> ours, where they differ in more than case."""
    architecture: Architecture = Architecture()
    training: TeachingOverrides = TeachingOverrides()

    @model_validator(mode="after")
    def _has_weights_and_languages(self) -> "Teacher":
        if not self.fine_tune and self.checkpoint is None:
            raise ValueError("expected a `checkpoint` where fine_tune is false, found none")
        if not self.languages:
            raise ValueError("expected at least one language, found none")
        return self


class Scoring(Section):
    """How teachers are run over all texts to cache their logits."""

    batch_size: Count = 64
    """Texts at a time."""
    precision: Precision = "auto"
    """Number format, as in `teaching.precision`."""
