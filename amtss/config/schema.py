"""The settings, section by section: frozen; an unknown key or a wrong type is refused."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # DVC takes a dot for a step into a section
ALL = "all"


def _language(code: str) -> str:
    if not CODE.fullmatch(code):
        raise ValueError(f"expected a language code such as 'ko' or 'zh-CN', found {code!r}")
    return code


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({v for v in values if values.count(v) > 1})
    if twice:
        raise ValueError(f"expected each entry once, found {', '.join(twice)} more than once")
    return values


Language = Annotated[str, AfterValidator(_language)]
Languages = Annotated[tuple[Language, ...], AfterValidator(_distinct)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Section(BaseModel):
    """A part of params.yaml: frozen, strict (no `"3"` for 3), unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Columns(Section):
    """Which column holds what; the first of the names listed that a source has is taken."""

    text: tuple[str, ...] = ("text",)
    pair: tuple[str, ...] = ()
    """The second sentence of a pair (NLI's hypothesis); empty for single texts."""
    label: tuple[str, ...] = ("label",)
    id: tuple[str, ...] = ("id",)
    """Optional in the source; without it rows are numbered."""

    @field_validator("text", "pair", "label", "id", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("text", "label")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected at least one column name, found none")
        return value


class Splits(Section):
    """What the source calls each split; `unlabelled` is optional and may be null."""

    train: str = "train"
    validation: str = "validation"
    test: str = "test"
    unlabelled: str | None = None


class Sample(Section):
    """Rows to keep of each language, drawn with `data.seed`. Null keeps all."""

    skew: Literal["appendix-a"] | None = None
    """Give each language the label distribution of its column in Appendix A, matched by rank."""
    rows: Count | None = None
    """At most this many training rows; the other splits are cut in the same proportion."""
    labelled: Count | None = None
    """Training rows that keep their label; the rest go to the unlabelled split."""


class Data(Section):
    """Where the texts come from."""

    source: Literal["demo", "dataset", "files"] = "demo"
    path: str = "data"
    """A local folder in the hub's layout (`dataset`), or the one `files` starts from. DVC watches
    it. `data`, the project's own folder, means for a `dataset`: take `hub`."""
    hub: str | None = None
    """A data set's id on the hub, used while `path` is `data`."""
    revision: str | None = None
    """A branch, tag or commit of the hub's data set."""
    files: str = "{language}/{split}.csv"
    """Pattern of local CSV, JSONL or Parquet files below `path`."""
    configs: dict[Language, str] = {}
    """What the source calls a language, where that is not its code: a data set's config, or what
    stands for {language} in `files`."""
    columns: Columns = Columns()
    splits: Splits = Splits()
    labels: Annotated[tuple[str, ...], AfterValidator(_distinct)] | None = None
    """The label names in order; null reads them from the source's train splits."""
    scale: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Share of Appendix A's counts that the demo generates."""
    sample: Sample = Sample()
    seed: Seed = 0

    @field_validator("files")
    @classmethod
    def _has_split(cls, pattern: str) -> str:
        if "{split}" not in pattern or "{language}" not in pattern:
            raise ValueError("expected a pattern with {language} and {split}, "
                             f"found {pattern!r}")
        try:
            pattern.format(language="", split="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError("expected no other braces than {language} and {split}, "
                             f"found {pattern!r}") from None
        return pattern

    @field_validator("labels")
    @classmethod
    def _two_labels(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if labels is not None and len(labels) < 2:
            raise ValueError(f"expected at least 2 labels, found {len(labels)}")
        return labels

    @model_validator(mode="after")
    def _named(self) -> "Data":
        if self.source == "dataset" and self.path == "data" and self.hub is None:
            raise ValueError("expected `path` (a local folder) or `hub` (an id), found neither")
        return self


class Validation(Section):
    """Thresholds of the gate. Above an error threshold the pipeline stops; the rest is reported.

    Shares are of a split's rows, divergences in nats.
    """

    max_characters: Count = 2000
    """A text longer than this is absurd."""
    max_empty: Share = 0.0
    max_absurd: Share = 0.01
    max_duplicates: Share = 0.25
    """Texts that stand more than once in a split."""
    max_leaked: Share = 0.25
    """Test or validation texts that also stand in train."""
    max_conflicting: Share = 0.05
    """Texts of a split that carry two labels."""
    min_examples: Count = 1
    """A label with fewer training examples than this, in any language, is a warning."""
    warn_duplicates: Share = 0.0
    warn_leaked: Share = 0.0
    warn_conflicting: Share = 0.0
    warn_split_divergence: Positive = 0.05
    """KL(validation or test || train) of the label distribution."""
    warn_language_divergence: Positive = 0.25
    """KL(language || mean over languages)."""
    warn_imbalance: Positive = 50.0
    """Rows of the largest label over rows of the smallest that has any."""
    warn_truncated: Share = 0.01
    """Rows of a language that a checkpoint's tokenizer cuts at its teacher's `max_length`."""
    examples: Count = 5
    """Offending texts shown per finding."""


class Teaching(Section):
    """How a teacher is fine-tuned; any of these may stand under a teacher's `training`."""

    epochs: Count = 8
    patience: Count = 2
    """Epochs without a better validation accuracy before it stops; the best epoch is kept."""
    batch_size: Count = 32
    """Examples per step of the optimiser, of all processes together."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other: less memory, the same step."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower."""
    learning_rate: Positive = 1.0e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.1
    max_length: Annotated[int, Field(ge=8)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Precision = "auto"
    seed: Seed = 0


class TeachingOverrides(Section):
    """A teacher's own training settings; what is not named is taken from `teaching`."""

    epochs: Count | None = None
    patience: Count | None = None
    batch_size: Count | None = None
    accumulate: Count | None = None
    gradient_checkpointing: bool | None = None
    learning_rate: Positive | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    warmup: Share | None = None
    max_length: Annotated[int, Field(ge=8)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    precision: Precision | None = None
    seed: Seed | None = None


class Architecture(Section):
    """A transformer encoder from scratch (XLM-R's architecture) and its tokenizer's size."""

    layers: Count = 3
    width: Count = 256
    heads: Count = 4
    feed_forward: Count = 1024
    vocabulary: Annotated[int, Field(ge=300)] = 8000

    @model_validator(mode="after")
    def _divides(self) -> "Architecture":
        if self.width % self.heads:
            raise ValueError(f"expected a width that {self.heads} heads divide, "
                             f"found {self.width}")
        return self


class Teacher(Section):
    """One teacher: a checkpoint, or a from-scratch architecture where there is none."""

    languages: tuple[str, ...]
    """Languages it is fine-tuned on; `[all]` for every one."""
    scores: tuple[str, ...] | None = None
    """Languages it scores (Equation 4); null for those it is fine-tuned on."""
    checkpoint: str | None = None
    """Hub id or local folder of anything AutoModelForSequenceClassification loads."""
    revision: str | None = None
    fine_tune: bool = True
    """False uses an already fine-tuned checkpoint as it is, its labels aligned by name."""
    labels: dict[str, str] = {}
    """The checkpoint's label names -> ours, where they differ in more than case."""
    architecture: Architecture = Architecture()
    training: TeachingOverrides = TeachingOverrides()

    @model_validator(mode="after")
    def _has_weights(self) -> "Teacher":
        if not self.fine_tune and self.checkpoint is None:
            raise ValueError("expected a `checkpoint` where fine_tune is false, found none")
        if not self.languages:
            raise ValueError("expected at least one language, found none")
        return self


class Scoring(Section):
    """How teachers are run over texts. Part of a logits cache's fingerprint."""

    batch_size: Count = 64
    precision: Precision = "auto"


class Trimming(Section):
    """Which tokens a trimmed vocabulary keeps, besides every character."""

    coverage: Share = 0.9999
    """Of each language's texts, in tokens; the commonest ones that make it up are kept."""
    min_count: Count = 1
    """A token must stand so often in all texts together."""
    at_least: Annotated[int, Field(ge=0)] = 63_000
    """Filled up to so many tokens, with common ones that are spelt like the texts' own: words to
    come that no training text has. 63,000 make a student of the paper's 14.9M."""


class Student(Section):
    """The shared encoder of Equation 5 and the heads of Equation 6."""

    architecture: Architecture = Architecture(layers=4, width=200, heads=4, feed_forward=800)
    checkpoint: str | None = None
    """Hub id or local folder of an encoder to start from. Its tokenizer is the student's."""
    teacher: str | None = None
    """The same of one of `teachers`, fine-tuned."""
    start: Literal["random", "pca", "first-layers"] = "random"
    """`pca`: that encoder's embeddings, reduced to `architecture.width`, under random layers.
    `first-layers`: its embeddings and first `architecture.layers` layers as they are, so that the
    other sizes of `architecture` must be its own."""
    tokenizer: str | None = None
    """Hub id or local folder of a tokenizer; null trains one on the student's languages."""
    revision: str | None = None
    """A branch, tag or commit of the hub's `checkpoint` or `tokenizer`."""
    vocabulary: Literal["full", "trimmed"] = "full"
    """`trimmed`: of the tokenizer's tokens only those that the project's texts use."""
    trimming: Trimming = Trimming()
    heads: Literal["own", "residual"] = "own"
    """`own`: one projection per language. `residual`: a shared one plus one per language."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=8)] = 64

    @model_validator(mode="after")
    def _starts(self) -> "Student":
        sources = [key for key in ("checkpoint", "teacher", "tokenizer") if getattr(self, key)]
        if len(sources) > 1:
            raise ValueError("expected one of checkpoint, teacher and tokenizer, found "
                             f"{' and '.join(sources)}")
        if (self.start != "random") != bool(self.checkpoint or self.teacher):
            raise ValueError("expected `start: pca` or `start: first-layers` together with a "
                             "`checkpoint` or a `teacher`, found one without the other")
        if self.revision and not (self.checkpoint or self.tokenizer):
            raise ValueError("expected `revision` beside a `checkpoint` or a `tokenizer`, found "
                             "neither")
        return self


class Distil(Section):
    """Algorithm 1 and Equation 7."""

    teachers: Annotated[tuple[str, ...], AfterValidator(_distinct)] | None = None
    """Members of the pool; null for all teachers."""
    weights: Literal["own", "uniform", "likelihood", "boosted"] = "likelihood"
    """How W is found (Equation 4)."""
    kd_weight: Annotated[float, Field(ge=0)] = 0.5
    """Equation 7's lambda."""
    labels_only: bool = False
    """No distillation: cross-entropy alone, on labelled rows, as many examples as otherwise."""
    temperature: Positive = 1.0
    top_k: Count = 3
    """Languages trained on per epoch after the first (line 11)."""
    share: Share = 1.0
    """Share of a selected language's rows that an epoch takes; the first one takes all."""
    replay: Share = 0.0
    """Share of the left-out languages' rows that is mixed in."""
    margin_threshold: float | None = None
    """Line 12's epsilon in points of accuracy; null never stops early."""
    max_epochs: Count = 8
    """Line 3's M."""
    batch_size: Count = 32
    """Examples per step of the optimiser, of all processes together."""
    accumulate: Count = 1
    """Parts that a batch is computed in, one after the other: less memory, the same step."""
    learning_rate: Positive = 1.0e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.05
    precision: Precision = "auto"
    seed: Seed = 0


class Baseline(Section):
    """X-LM-Tiny: the same encoder, one head, one multilingual teacher (section 3.3)."""

    teacher: str = "multilingual"


class Onboarding(Section):
    """The last onboarding: what the student goes on from. Written by `amtss onboard-language`."""

    version: Count
    """Number of the registered model's version."""
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Of that version's student; another student under the same number is refused."""
    languages: Languages
    """The languages that are new to it."""


class Continuation(Section):
    """How Algorithm 1 goes on with new languages; what is not here is as in `distil`."""

    max_epochs: Count = 2
    top_k: Count = 3
    share: Share = 0.2
    replay: Share = 0.15
    learning_rate: Positive | None = None
    """Null for half of `distil.learning_rate`."""
    batch_size: Count | None = None
    """Null for `distil.batch_size`."""
    vocabulary: Annotated[int, Field(ge=0)] = 6000
    """At most so many new pieces of vocabulary per new language."""


class Promotion(Section):
    """Rules that a version must pass to become champion, in points of test accuracy."""

    max_average_drop: Annotated[float, Field(ge=0)] = 0.3
    """Of the mean over the champion's languages."""
    max_language_drop: Annotated[float, Field(ge=0)] = 1.0
    """Of any of the champion's languages."""
    required: Languages = ()
    """Languages that it must serve besides the champion's."""


class Serving(Section):
    """What the versions that `amtss register` makes answer with."""

    runtime: Literal["pytorch", "onnx", "onnx-int8", "onnx-int4"] = "pytorch"
    """`onnx`: on a CPU, and without torch; a version then holds the student's export as well.
    `onnx-int8`: a quarter of the size, and faster. `onnx-int4`: an eighth of the size."""


class Evaluation(Section):
    """How test is measured."""

    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Resamples behind each 95% interval."""
    bins: Count = 15
    """Equal-width confidence bins of the expected calibration error."""
    seed: Seed = 0


class Report(Section):
    """What stands beside the run's figures."""

    title: str = "AMTSS"
    paper: Literal["xnli", "ae"] | None = None
    """Whose figures of the paper are printed beside the run's."""


class Params(Section):
    """All of params.yaml."""

    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "demo"
    languages: Languages
    data: Data = Data()
    validation: Validation = Validation()
    teaching: Teaching = Teaching()
    teachers: dict[str, Teacher]
    scoring: Scoring = Scoring()
    student: Student = Student()
    distil: Distil = Distil()
    baseline: Baseline = Baseline()
    onboarding: Onboarding | None = None
    continuation: Continuation = Continuation()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    report: Report = Report()

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        if not self.languages:
            raise ValueError("languages: expected at least one, found none")
        if not self.teachers:
            raise ValueError("teachers: expected at least one, found none")
        for code in self.data.configs:
            if code not in self.languages:
                raise ValueError(f"data.configs: expected some of {', '.join(self.languages)}, "
                                 f"found {code!r}")
        if self.onboarding and not set() < set(self.newcomers) < set(self.languages):
            raise ValueError("onboarding.languages: expected some, not all, of "
                             f"{', '.join(self.languages)}, found "
                             f"{', '.join(self.newcomers) or 'none'}")
        for name, teacher in self.teachers.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"teachers.{name}: expected a name of letters, digits and "
                                 f"'_', found {name!r}")
            for key in ("languages", "scores"):
                for code in getattr(teacher, key) or ():
                    if code != ALL and code not in self.languages:
                        raise ValueError(f"teachers.{name}.{key}: expected some of "
                                         f"{', '.join(self.languages)} or all, found {code!r}")
        self._consistent_pool()
        return self

    def _consistent_pool(self) -> None:
        known = ", ".join(self.teachers) or "none"
        if self.distil.teachers == ():
            raise ValueError("distil.teachers: expected at least one or null, found none")
        for name in self.distil.teachers or ():
            if name not in self.teachers:
                raise ValueError(f"distil.teachers: expected some of {known}, found {name!r}")
        if self.student.teacher not in (None, *self.teachers):
            raise ValueError(f"student.teacher: expected one of {known}, "
                             f"found {self.student.teacher!r}")
        if self.baseline.teacher not in self.teachers:
            raise ValueError(f"baseline.teacher: expected one of {known}, "
                             f"found {self.baseline.teacher!r}")
        if self.distil.top_k > len(self.languages):
            raise ValueError(f"distil.top_k: expected at most {len(self.languages)}, the number "
                             f"of languages, found {self.distil.top_k}")
        for language in self.languages:
            if not any(language in self.scored_by(name) for name in self.pool):
                raise ValueError(f"teachers: expected one in the pool that scores {language!r}, "
                                 "found none; add it to a teacher's `scores`")
        missing = [code for code in self.languages
                   if code not in self.scored_by(self.baseline.teacher)]
        if missing and self.onboarding is None:  # else it is measured against what it was before
            raise ValueError(f"baseline.teacher: expected one that scores every language, found "
                             f"{self.baseline.teacher!r} without {', '.join(missing)}")

    @property
    def newcomers(self) -> tuple[str, ...]:
        """Languages that the student has yet to learn: all, or those of an onboarding."""
        return self.languages if self.onboarding is None else self.onboarding.languages

    @property
    def schedule(self) -> Distil:
        """How Algorithm 1 runs: `distil`, in an onboarding with `continuation` over it."""
        if self.onboarding is None:
            return self.distil
        own = self.continuation.model_dump(exclude={"vocabulary"}, exclude_none=True)
        own.setdefault("learning_rate", self.distil.learning_rate / 2)
        return self.distil.model_copy(update=own)

    @property
    def pool(self) -> tuple[str, ...]:
        """Names of the teachers the student learns from, in order."""
        return self.distil.teachers or tuple(self.teachers)

    def taught_on(self, name: str) -> tuple[str, ...]:
        """Languages teacher `name` is fine-tuned on, in the order of `languages`."""
        return self._expanded(self.teachers[name].languages)

    def scored_by(self, name: str) -> tuple[str, ...]:
        """Languages teacher `name` scores, in the order of `languages`."""
        teacher = self.teachers[name]
        return self._expanded(teacher.scores if teacher.scores is not None else teacher.languages)

    def _expanded(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(c for c in self.languages if ALL in codes or c in codes)

    def training_of(self, name: str) -> Teaching:
        """`teaching` with teacher `name`'s own settings over it."""
        own = self.teachers[name].training.model_dump(exclude_none=True)
        return self.teaching.model_copy(update=own)
