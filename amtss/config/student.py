"""Settings of the student: its model, and how Algorithm 1 and X-LM-Tiny train it."""

from math import ceil
from typing import Annotated, Literal

from pydantic import Field, model_validator

from amtss.config.section import (
    Count,
    Distinct,
    Dropout,
    Languages,
    MaxLength,
    NotNegative,
    Positive,
    Precision,
    Section,
    Seed,
    Share,
)
from amtss.config.teachers import Architecture, Pooling


class Trimming(Section):
    """Tokens that a trimmed vocabulary keeps, beside single characters."""

    coverage: Share = 0.9999
    """Share of each language's texts, in tokens, that the kept tokens make up; the most frequent
    ones are kept first."""
    min_count: Count = 1
    """A token must occur this often in the texts of all languages together."""
    at_least: Annotated[int, Field(ge=0)] = 63_000
    """Smallest number of tokens: further ones, frequent in general and spelt like the texts'
    words, are kept for words that no training text has. 63,000 give a student of 14.9 million
    parameters with the paper's architecture."""
    characters: Literal["all", "scripts"] = "all"
    """Single characters to keep. `all` of them: no text gets an unknown token that it did not
    have. `scripts`: letters of the scripts that the kept tokens are written in, digits, signs and
    punctuation. XLM-R's vocabulary has 11,000 characters of other scripts, most of them Chinese."""


class Student(Section):
    """The student: one encoder for all languages (Equation 5) and a head for each (Equation 6).
    X-LM-Tiny has the same encoder."""

    architecture: Architecture = Architecture(layers=4, width=200, heads=4, feed_forward=800)
    """With `start: layers` only its `layers` counts: the other sizes are the checkpoint's. If
    params.yaml names neither an architecture nor what the student starts from: 4 layers of the
    pretrained teacher that serves most languages, or no layers where none is pretrained."""
    checkpoint: str | None = None
    """Hub id or local folder of an encoder whose weights the student starts from, and whose
    tokenizer it uses; see `start`."""
    teacher: str | None = None
    """One of `teachers`, in place of a `checkpoint`: the student starts from it as fine-tuned."""
    start: Literal["random", "pca", "layers"] = "random"
    """What `checkpoint` or `teacher` gives the student. `pca`: its embeddings, reduced to
    `architecture.width`; the layers start at random. `layers`: its embeddings and some of its
    layers as they are. Where params.yaml names none of `start`, `checkpoint`, `teacher` and
    `tokenizer`, the student starts from the pretrained teacher that serves most languages, with a
    trimmed vocabulary and `pooling: mean`: by `layers`, or by `pca` if it has an `architecture`."""
    layers: tuple[int, ...] | None = None
    """With `start: layers`, which layers become the student's `architecture.layers`, counted from
    0, such as [0, 3, 6, 9]; null for the first ones."""
    tokenizer: str | None = None
    """Hub id or local folder of a tokenizer to use with random weights; null trains one on the
    texts of the student's languages."""
    revision: str | None = None
    """A branch, tag or commit of the hub's `checkpoint` or `tokenizer`; null for its main
    branch."""
    vocabulary: Literal["full", "trimmed"] = "full"
    """`trimmed` keeps only those of the tokenizer's tokens that the project's texts use."""
    trimming: Trimming = Trimming()
    heads: Literal["own", "residual"] = "own"
    """`own`: each language has a head of its own. `residual`: a shared head, plus one per
    language that is added to it."""
    pooling: Pooling | None = None
    """The state of a text that heads read. `first`: its first token's hidden state. `mean`: the
    mean of its tokens' hidden states; without layers, the weighted mean of their embeddings. Null
    is `first` with layers, and `mean`, the only choice, without."""
    dropout: Dropout = 0.1
    """Dropout probability while training."""
    max_length: MaxLength | None = None
    """Most tokens of a text or a pair, with special tokens; longer ones are cut. Null: what 99.5%
    of each language's training texts have at most, from 16 to 256; in an onboarding what the
    registered student has."""

    @model_validator(mode="after")
    def _starts_from_one_source(self) -> "Student":
        sources = [key for key in ("checkpoint", "teacher", "tokenizer") if getattr(self, key)]
        if len(sources) > 1:
            raise ValueError("expected one of checkpoint, teacher and tokenizer, found "
                             f"{' and '.join(sources)}")
        if (self.start != "random") != bool(self.checkpoint or self.teacher):
            raise ValueError("expected `start: pca` or `start: layers` together with a "
                             "`checkpoint` or a `teacher`, found one without the other")
        if self.start == "layers" and not self.architecture.layers:
            raise ValueError("architecture.layers: expected 1 or more with `start: layers`, "
                             "found 0")
        if self.revision and not (self.checkpoint or self.tokenizer):
            raise ValueError("expected `revision` beside a `checkpoint` or a `tokenizer`, found "
                             "neither")
        return self

    @model_validator(mode="after")
    def _first_state_is_a_layer_s(self) -> "Student":
        if self.pooling == "first" and not self.architecture.layers:
            raise ValueError("pooling: expected `mean` or null where architecture.layers is 0, "
                             "found `first`")
        return self

    @property
    def pooled_by(self) -> Pooling:
        """`pooling`, where it is null the one that fits."""
        return self.pooling or ("first" if self.architecture.layers else "mean")

    @model_validator(mode="after")
    def _layers_are_the_architecture_s(self) -> "Student":
        if self.layers is None:
            return self
        if self.start != "layers":
            raise ValueError("expected `layers` together with `start: layers`, found `start: "
                             f"{self.start}`")
        if list(self.layers) != sorted({*self.layers}) or min(self.layers, default=0) < 0:
            raise ValueError("layers: expected numbers from 0 in ascending order, each once, found "
                             f"{list(self.layers)}")
        if len(self.layers) != self.architecture.layers:
            raise ValueError("layers: expected as many as architecture.layers, "
                             f"{self.architecture.layers}, found {len(self.layers)}")
        return self


class Distil(Section):
    """How the student is trained: Algorithm 1 with the loss of Equation 7."""

    teachers: Distinct | None = None
    """Names of the teachers in the pool; null for all of `teachers`."""
    weights: Literal["own", "uniform", "likelihood", "boosted"] = "likelihood"
    """How the importance weights W of Equation 4 are found, for each language. `own`: one teacher,
    the best of those fine-tuned on the fewest languages. `uniform`: all alike. `likelihood`: the
    mixture under which the validation labels are most likely. `boosted`: the same, refitted after
    every epoch with each example weighted by the student's loss on it."""
    mixing: Literal["arithmetic", "geometric"] = "geometric"
    """How the teachers' probabilities become soft targets. `arithmetic`: their mean weighted by W
    (Equation 4). `geometric`: their normalised geometric mean weighted by W."""
    kd_weight: NotNegative = 2.0
    """Lambda of Equation 7: the weight of the distillation term beside the cross-entropy."""
    labels_only: bool = False
    """Train without teachers: cross-entropy alone, on labelled rows, with as many examples per
    epoch as otherwise. For ablations."""
    temperature: Positive = 1.0
    """Softens soft targets and the student's outputs, and its square scales the distillation term;
    1 is the paper's."""
    top_k: Count = 3
    """K, the number of languages trained on in each epoch after the first (line 11). If params.yaml
    has none and there are fewer than 3 languages: all of them."""
    share: Share = 1.0
    """Share of a selected language's rows used per epoch; the first epoch uses all rows."""
    replay: Share = 0.0
    """Share of the other languages' rows mixed in."""
    margin_threshold: float | None = None
    """Epsilon (line 12), in points of validation accuracy: training stops once the student is
    less than this far behind its teachers in every language. Null never stops early."""
    max_epochs: Count | None = None
    """M, the largest number of epochs (line 3). Null for 8; for more where there are so many
    languages that 8 epochs learn each of them less than five times; and for up to 30 where rows are
    so few that 8 make less than 800 steps."""
    batch_size: Count = 64
    """Examples per step of the optimiser, over all processes together."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other: less memory, the same step."""
    learning_rate: Positive = 1.0e-3
    """Highest learning rate of AdamW; it rises during `warmup` and then falls linearly to 0. If
    params.yaml has none: 3e-4 with `start: layers`, 5e-3 for a student without layers, else
    1e-3."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW."""
    warmup: Share = 0.05
    """Share of the training in which the learning rate rises."""
    precision: Precision = "auto"
    """Number format, as in `teaching.precision`."""
    seed: Seed = 0
    """Seed of new weights, dropout and the choice and order of rows."""

    def epochs(self, rows: int, languages: int) -> int:
        """M for that many training rows, of so many languages: `max_epochs`, or what is said there
        of null."""
        if self.max_epochs is not None:
            return self.max_epochs
        five_times = 1 + ceil(4 * languages / self.top_k)  # the first epoch learns all of them
        return max(8, five_times, min(30, ceil(800 / ceil(rows / self.batch_size))))


class Baseline(Section):
    """X-LM-Tiny (section 3.3): the student's encoder with one head, distilled from one teacher
    with the settings of `distil`."""

    teacher: str = "multilingual"
    """Name of its teacher, one that scores every language. DVC reads it from params.yaml before
    it runs anything; `amtss` alone would take the teacher of most languages."""


class Onboarding(Section):
    """The last onboarding of languages. `amtss onboard-language` writes this section; null for
    none."""

    version: Count
    """Number of the registered version that the student resumes from."""
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Fingerprint of that version's student; another student of the same number is refused."""
    languages: Languages
    """The languages that are new to it."""


class Continuation(Section):
    """How Algorithm 1 trains new languages into a registered student. Keys that are not here are
    those of `distil`."""

    max_epochs: Count = 2
    """As `distil.max_epochs`."""
    top_k: Count = 3
    """As `distil.top_k`."""
    share: Share = 0.2
    """As `distil.share`."""
    replay: Share = 0.15
    """As `distil.replay`."""
    learning_rate: Positive | None = None
    """As `distil.learning_rate`; null for half of it."""
    batch_size: Count | None = None
    """As `distil.batch_size`; null for the same."""
    vocabulary: Annotated[int, Field(ge=0)] = 6000
    """Most pieces added to the tokenizer for each new language."""
