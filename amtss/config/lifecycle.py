"""Settings of what follows training: evaluation, promotion, serving, drift and the report."""

from typing import Annotated, Literal

from pydantic import Field

from amtss.config.section import Count, Languages, NotNegative, Section, Seed, Share


class Evaluation(Section):
    """How students and teachers are measured on test."""

    bootstrap: Annotated[int, Field(ge=100)] = 2000
    """Resamples behind each 95% interval and each paired test."""
    bins: Count = 15
    """Equal-width confidence bins of the expected calibration error (ECE)."""
    seed: Seed = 0
    """Seed of the resamples."""


class Promotion(Section):
    """Rules that a version must keep to become champion, in points of test accuracy. A language
    whose test has no labels has no accuracy, and `min_agreement` takes its place. `amtss promote
    --force --reason TEXT` lets a version through all the same."""

    max_average_drop: NotNegative = 0.3
    """Most that the mean over the champion's languages may fall."""
    max_language_drop: NotNegative = 1.0
    """Most that any of the champion's languages may fall."""
    min_above_majority: Share | None = 0.1
    """For languages that no champion has served: the least share of the mistakes of a constant
    answer, the most frequent label of the language's test, that the version must avoid. Where that
    label has 60% of the rows, 0.1 asks for 64%. Null asks for nothing."""
    max_below_floor: NotNegative | None = 3.0
    """Where there is no champion: most that a version's average may be below that of the linear
    floor. Null for no such rule; nor is there one if `floor` is `off`."""
    min_agreement: Annotated[float, Field(ge=0, le=100)] = 80.0
    """Least percentage of a language's test texts on which the student answers what its teachers,
    weighted by W, do; for languages whose test has no labels."""
    required: Languages = ()
    """Languages that a version must serve besides the champion's."""
    floor: Literal["warn", "refuse", "off"] = "warn"
    """What happens to a version that is below the linear floor (`amtss floor`) on average or in a
    language: `warn` says so, `refuse` keeps it from becoming champion, `off` says nothing. Figures
    that a version of earlier code lacks (its floor, its most frequent labels) are no obstacle."""


class Serving(Section):
    """What the versions that `amtss register` makes answer with."""

    runtime: Literal["pytorch", "onnx", "onnx-int8", "onnx-int4"] = "pytorch"
    """The `onnx` runtimes answer on a CPU and without torch; the version then holds the student's
    export as well. `onnx-int8` has weights of 8-bit integers: a quarter of the size, and faster.
    `onnx-int4` also has token embeddings of 4 bits: an eighth of the size."""
    min_accuracy: Share | None = None
    """Accuracy that the answers shall reach on validation, such as 0.95: texts whose answers are
    less sure get the label null. A request may ask for another. Null answers everything."""


class Drift(Section):
    """How far new texts may be from held-out rows of the data: the limits of `amtss drift`. A limit
    is passed by a change that is larger and that chance does not explain."""

    labels: Share = 0.1
    """Share of the texts that would need another predicted label for both to have the same shares
    of labels: half the sum of the differences."""
    confidence: Share = 0.15
    """Greatest difference between the shares of texts below any confidence: the statistic of
    Kolmogorov and Smirnov."""
    unsure: Share = 0.05
    """Rise of the share of texts that are less sure than 95% of the held-out rows."""
    unknown: Share = 0.05
    """Rise of the share of texts with a piece that the student's tokenizer does not know."""
    length: Share = 0.15
    """As `confidence`, of the texts' lengths in tokens."""
    cut: Share = 0.05
    """Rise of the share of texts that are longer than the student reads."""
    chance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Probability of a false alarm in a run without drift, at most. It is divided among all
    comparisons of the run (Bonferroni), so that more languages raise no more false alarms."""
    rows: Count = 10_000
    """Texts to look at per language; of more, so many are drawn."""
    seed: Seed = 0
    """Seed of that draw."""


class Report(Section):
    """The report of a run."""

    title: str = "AMTSS"
    """Its title."""
    paper: Literal["xnli", "ae"] | None = None
    """The data set whose figures in the paper are printed beside the run's; null for none."""
