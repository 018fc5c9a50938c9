"""Settings of the teachers: what each is, how it is fine-tuned, and how it scores texts."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
    model_validator,
)

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

ALL = "all"
"""In a teacher's languages: every language of the project."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""A teacher's name; DVC would read a dot as a step into a section."""


def _some_languages(codes: tuple[str, ...]) -> tuple[str, ...]:
    if not codes:
        raise ValueError("expected at least one language, found none")
    return codes


def _not_one_part(parts: int) -> int:
    if parts == 1:
        raise ValueError("expected 0 or at least 2 parts, found 1")
    return parts


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


TeacherLanguages = Annotated[tuple[str, ...], BeforeValidator(_as_tuple),
                             AfterValidator(_some_languages)]
Parts = Annotated[int, Field(ge=0, le=20), AfterValidator(_not_one_part)]
Candidates = Annotated[tuple[Positive, ...], Field(min_length=1)]
Pooling = Literal["first", "mean"]


class Teaching(Section):
    """How teachers of kind transformer are fine-tuned. Their own `training` overrides any of it."""

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
    """Highest learning rate of AdamW; it rises during `warmup` and then falls linearly to 0. If
    params.yaml has none, a `checkpoint` is fine-tuned with 5e-5, as by transformers' Trainer."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW."""
    warmup: Share = 0.1
    """Share of all steps in which the learning rate rises."""
    max_length: MaxLength | None = None
    """Most tokens of a text or a pair, with special tokens; longer ones are cut. Null: what 99.5%
    of each language's training texts have at most, from 16 to 256."""
    dropout: Dropout = 0.1
    """Dropout probability while training."""
    label_smoothing: Dropout = 0.0
    """Share of the target probability that is spread evenly over all labels."""
    freeze: Literal["embeddings"] | Count | None = None
    """Weights of a `checkpoint` that are not trained, which makes a step cheaper, above all on a
    CPU: `embeddings` for its table of token embeddings, a number N for all its embeddings and its
    first N layers. Null trains everything."""
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
    # Its fields have descriptions; to search for its source takes pydantic 0.6 s beside torch.
    TeachingOverrides = create_model(
        "TeachingOverrides", __base__=Section, __module__=__name__,
        __cls_kwargs__={"use_attribute_docstrings": False},
        __doc__="Any keys of `teaching`; those that are not set have its values.",
        **_optional(Teaching))


class Architecture(Section):
    """An encoder of XLM-R's architecture with new weights, and its tokenizer's size."""

    layers: Annotated[int, Field(ge=0)] = 3
    """Transformer layers. A student may have 0: then a text's state is the mean of its tokens'
    embeddings, with a learnt weight for each token, and `heads` and `feed_forward` are unused."""
    pairs: Annotated[int, Field(ge=0)] = 0
    """Without layers: embeddings for pairs of neighbouring tokens, which share so many rows by a
    hash, so that the order of words counts; 0 for none. If params.yaml has none, a student without
    layers has 65,536."""
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
        if self.layers and self.width % self.heads:
            raise ValueError(f"expected a width that {self.heads} heads divide, "
                             f"found {self.width}")
        return self

    @model_validator(mode="after")
    def _pairs_are_instead_of_layers(self) -> "Architecture":
        if self.layers and self.pairs:
            raise ValueError(f"pairs: expected 0 where layers is not 0, found {self.pairs}")
        return self


class TransformerTeacher(Section):
    """A transformer: a checkpoint, or an encoder with new weights where there is no checkpoint."""

    kind: Literal["transformer"] = "transformer"
    """A transformers classifier; the kind of a teacher that names none."""
    languages: TeacherLanguages
    """Languages that it is fine-tuned on; `all` for every one."""
    scores: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] | None = None
    """Languages whose soft targets it contributes to (Equation 4); null for `languages`."""
    checkpoint: str | None = None
    """Hub id or local folder of a model with safetensors weights that
    AutoModelForSequenceClassification loads; null for new weights of `architecture`."""
    revision: str | None = None
    """A branch, tag or commit of the hub's `checkpoint`; null for its main branch."""
    fine_tune: bool = True
    """False uses a checkpoint that has been fine-tuned elsewhere as it is."""
    pooling: Pooling = "first"
    """What the classifier reads of a text. `first`: what the architecture's own classifier reads,
    mostly the first token's state. `mean`: the mean of all tokens' states, for checkpoints that
    were trained so, such as E5."""
    labels: dict[str, str] = Field(default={})
    """Label names of such a checkpoint -> ours, where they differ in more than case."""
    architecture: Architecture = Architecture()
    training: TeachingOverrides = TeachingOverrides()

    @model_validator(mode="after")
    def _has_weights(self) -> "TransformerTeacher":
        if not self.fine_tune and self.from_scratch:
            raise ValueError("expected a `checkpoint` where fine_tune is false, found none")
        if not self.architecture.layers:
            raise ValueError("architecture.layers: expected 1 or more, found 0")
        if self.pooling == "mean" and (self.from_scratch or not self.fine_tune):
            raise ValueError("pooling: expected `first`, unless a `checkpoint` is fine-tuned, "
                             "found `mean`")
        return self

    @property
    def from_scratch(self) -> bool:
        """Whether it knows nothing but what it is taught here."""
        return self.checkpoint is None


class LinearTeacher(Section):
    """TF-IDF of characters and words under a linear SVM, one model per language, calibrated."""

    kind: Literal["linear"]
    """Taught in seconds on a CPU; it errs differently from a transformer."""
    languages: TeacherLanguages
    """Languages that it is taught on; `all` for every one."""
    scores: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] | None = None
    """Languages whose soft targets it contributes to (Equation 4), some of `languages`; null for
    all of them."""
    regularisation: Candidates = (0.1, 0.3, 1.0)
    """Values of the SVM's C to choose from, by validation accuracy."""
    cross_fit: Parts = 4
    """Parts that the training rows are split into; each part is scored by a model of the others,
    because on rows that it has learnt such a model is all but certain. 0 scores them by the model
    of all rows, and is the default where no other teacher scores any of its languages. `amtss
    suspects` asks models that have not learnt a row whatever it is."""

    @model_validator(mode="after")
    def _scores_what_it_was_taught_on(self) -> "LinearTeacher":
        foreign = sorted(set(self.scores or ()) - set(self.languages))
        if foreign and "all" not in self.languages:
            raise ValueError("scores: expected some of its `languages`, as it has a model for each "
                             f"of them alone, found {', '.join(foreign)}")
        return self


class ProbeTeacher(Section):
    """A frozen pretrained encoder under one logistic regression for all its languages."""

    kind: Literal["probe"]
    """Taught in a minute or two on a CPU; a good teacher where there are few rows."""
    languages: TeacherLanguages
    """Languages that it is taught on; `all` for every one."""
    scores: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] | None = None
    """Languages whose soft targets it contributes to (Equation 4); null for `languages`. A
    multilingual encoder serves others as well."""
    checkpoint: str
    """Hub id or local folder of an encoder with safetensors weights that AutoModel loads."""
    revision: str | None = None
    """A branch, tag or commit of the hub's `checkpoint`; null for its main branch."""
    prefix: str = ""
    """What the encoder expects before each text; E5's is "query: "."""
    pooling: Pooling = "mean"
    """What stands for a text: the mean of its tokens' hidden states, or the first token's."""
    max_length: MaxLength | None = None
    """Most tokens of a text or a pair, with prefix and special tokens; longer ones are cut. Null:
    as in `teaching.max_length`."""
    regularisation: Candidates = (0.003, 0.01, 0.03, 0.1)
    """Values of the regression's C to choose from, by validation accuracy."""
    cross_fit: Parts = 4
    """Parts that the training rows are split into; each part is scored by a regression on the
    others, because with few rows a regression learns all their labels by heart. 0 scores them by
    the regression on all rows."""


def _kind(teacher: Any) -> str:
    if isinstance(teacher, dict):
        return str(teacher.get("kind", "transformer"))
    return str(getattr(teacher, "kind", ""))


Teacher = Annotated[Annotated[TransformerTeacher, Tag("transformer")]
                    | Annotated[LinearTeacher, Tag("linear")]
                    | Annotated[ProbeTeacher, Tag("probe")],
                    Discriminator(_kind)]
"""A teacher of any kind; a new kind is a class here and a module of `amtss/teachers/`."""


class Scoring(Section):
    """How teachers are run over all texts to cache their logits."""

    batch_size: Count = 64
    """Texts at a time."""
    precision: Precision = "auto"
    """Number format, as in `teaching.precision`."""
