"""Settings of the texts: where they come from, and which of their faults stop the pipeline."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from amtss.config.section import Count, Distinct, Language, Positive, Section, Seed, Share
from amtss.lookalikes import VISIBLE


class Columns(Section):
    """Columns of the source. Each key takes a name or a list of names, and the first that the
    source has is used."""

    text: tuple[str, ...] = ("text",)
    """The text, or the first sentence of a pair."""
    pair: tuple[str, ...] = ()
    """The second sentence of a pair, such as NLI's hypothesis; empty for single texts."""
    label: tuple[str, ...] = ("label",)
    """The label: a name, or an index into the source's own list of names."""
    id: tuple[str, ...] = ("id",)
    """An identifier that reports quote; without such a column rows are numbered. Translations of a
    text should have the same: cross-fitting then keeps them together."""
    language: tuple[str, ...] = ()
    """The language of a row, where `files` hold several languages; empty where each has its own."""

    @field_validator("text", "pair", "label", "id", "language", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("text", "label")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected at least one column name, found none")
        return value


class Splits(Section):
    """The source's names of the splits. A validation or test split that is null is cut off train:
    a tenth of its rows, or 100 if a tenth is less and a fifth is more, at most 5,000; by label,
    drawn with `data.seed`, and equal texts (of pairs, equal first texts) stay on one side."""

    train: str = "train"
    """Teachers and students are trained on it."""
    validation: str | None = "validation"
    """Chooses the best epoch, and Equation 4's weights are fitted on it; null cuts it off train."""
    test: str | None = "test"
    """Read once, by the stage `evaluate`; null cuts it off train."""
    unlabelled: str | None = None
    """Texts without labels, which the student learns from its teachers alone; null for none."""
    missing: Literal["refuse", "cut"] = "refuse"
    """What happens to a language whose source lacks the validation or test split that is named
    here: `refuse` stops with an error, `cut` cuts the split off the language's train."""


class Sample(Section):
    """Rows to keep of each language, drawn with `data.seed`."""

    skew: Literal["appendix-a"] | None = None
    """`appendix-a` gives each language the label distribution of its column in the paper's
    Appendix A, matched by rank: its most frequent label gets the first share. Null keeps its
    own."""
    rows: Count | None = None
    """At most this many training rows per language; validation and test are cut in the same
    proportion. Null keeps all."""
    labelled: Count | None = None
    """Training rows per language that keep their label; the others move to the unlabelled split.
    Null keeps all labels."""


class Data(Section):
    """Where the texts come from."""

    source: Literal["demo", "dataset", "files"] = "demo"
    """`demo`: generated customer questions. `dataset`: a data set of the hub, or a local folder
    in the hub's layout. `files`: local files."""
    path: str = "data"
    """The local folder of a `dataset` or of `files`. DVC watches it, and reads this
    key before it runs anything: write it down. With a `dataset`, the value `data` means that `hub`
    is used."""
    hub: str | None = None
    """Id of a `dataset` on the hub, such as facebook/xnli; used while `path` is `data`."""
    revision: str | None = None
    """A branch, tag or commit of `hub`; null for its main branch."""
    files: str = "{language}/{split}.csv"
    """Where `files` lie below `path`; CSV, TSV, JSONL or Parquet, by their suffix. The header of a
    CSV file says whether commas, tabs or semicolons divide it. Without {language}: one language, or
    `columns.language`. Without {split}: all rows are train, and the other splits are null."""
    configs: dict[Language, str] = Field(default={})
    """Language code -> the source's own name of it, where they differ: the data set's config, or
    what replaces {language} in `files`."""
    columns: Columns = Columns()
    splits: Splits = Splits()
    labels: Distinct | None = None
    """The label names in order; null reads them from the source."""
    scale: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Share of Appendix A's counts that the `demo` generates."""
    logs: Share = 0.0
    """Share of Appendix A's counts that the `demo` also generates as chat logs, without labels."""
    sample: Sample = Sample()
    mixed: Annotated[int, Field(ge=0)] = 10_000
    """A language with fewer training and unlabelled texts than this is filled up with texts mixed
    from the words of its training texts, without labels, which the student learns from its
    teachers alone; 0 for none. 30,000 where it is left out and the student has no layers."""
    seed: Seed = 0
    """Seed of the `demo`, of `sample`, of `mixed` and of splits that are cut off train."""

    @field_validator("files")
    @classmethod
    def _has_no_other_placeholders(cls, pattern: str) -> str:
        try:
            pattern.format(language="", split="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError("expected no other braces than {language} and {split}, "
                             f"found {pattern!r}") from None
        return pattern

    @field_validator("labels")
    @classmethod
    def _at_least_two(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if labels is not None and len(labels) < 2:
            raise ValueError(f"expected at least 2 labels, found {len(labels)}")
        if blank := [label for label in labels or () if not re.search(VISIBLE, label)]:
            raise ValueError(f"expected names, found {blank[0]!a}")
        return labels

    @model_validator(mode="after")
    def _has_splits(self) -> "Data":
        named = [key for key in ("validation", "test", "unlabelled") if getattr(self.splits, key)]
        if "{split}" not in self.files and named:
            raise ValueError(f"files: expected a pattern with {{split}}, as splits.{named[0]} is "
                             f"not null, found {self.files!r}")
        return self

    @model_validator(mode="after")
    def _has_a_place(self) -> "Data":
        if self.source == "dataset" and self.path == "data" and self.hub is None:
            raise ValueError("expected `path` (a local folder) or `hub` (an id), found neither")
        return self


class Validation(Section):
    """Limits of the data's faults. Above a `max_` limit the pipeline stops; above a `warn_` limit
    the report says so. Shares are of the rows of one split and language."""

    max_characters: Count = 2000
    """A text with more characters counts as absurd."""
    max_empty: Share = 0.0
    """Share of empty texts."""
    max_absurd: Share = 0.01
    """Share of absurd texts."""
    max_duplicates: Share = 0.25
    """Share of texts that stand more than once in their split."""
    max_leaked: Share = 0.25
    """Share of validation or test texts that also stand in train."""
    max_conflicting: Share = 0.05
    """Share of texts that stand there with two different labels."""
    min_examples: Count = 1
    """Fewer training rows of a label, in any language, are a warning."""
    warn_duplicates: Share = 0.0
    """As `max_duplicates`."""
    warn_leaked: Share = 0.0
    """As `max_leaked`; and unlabelled texts that also stand in validation or test."""
    warn_conflicting: Share = 0.0
    """As `max_conflicting`."""
    warn_split_divergence: Positive = 0.05
    """KL divergence, in nats, of validation's or test's label distribution from train's."""
    warn_language_divergence: Positive = 0.25
    """KL divergence, in nats, of a language's label distribution from the mean of all
    languages."""
    warn_imbalance: Positive = 50.0
    """Training rows of the most frequent label over those of the rarest one that has any."""
    warn_truncated: Share = 0.01
    """Share of a language's rows, of all splits together, that have more tokens than a teacher's
    or the student's `max_length`. The gate counts them where the tokenizer is a checkpoint's; one
    that is trained here counts once it exists."""
    max_unknown: Share = 0.1
    """Share of a language's tokens that are unknown to a teacher's or the student's tokenizer,
    because its vocabulary lacks their characters. The gate counts them where the tokenizer is a
    checkpoint's; one that is trained here is checked on the training texts before the model is.
    Where a teacher only scores a language, this is a warning."""
    warn_unknown: Share = 0.01
    """As `max_unknown`."""
    examples: Count = 5
    """Texts shown for each finding in the report."""
