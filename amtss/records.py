"""What our JSON files hold, as far as a later step reads it: a kind of record for each.

`files.read_json` checks a file against its kind, so that the steps can rely on keys and types. The
functions read those that several steps need; they raise AmtssError where a file is missing or is
not what its stage has written.
"""

from typing import Any, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from amtss.files import read_json, read_rows, verify
from amtss.paths import Layout

ByLanguage = dict[str, float]
"""A figure of each language; where it says so also their `average`."""


class Gate(TypedDict):
    """gate.json. DVC reads the rest of it."""

    labels: list[str]


class Distribution(TypedDict):
    """gate/distribution.json."""

    labels: list[str]
    languages: dict[str, "LanguageDistribution"]
    warnings: list[str]


class LanguageDistribution(TypedDict):
    """What the gate has measured for one language."""

    rows: dict[str, int]
    unlabelled: dict[str, int]
    divergence: float | None
    """None, as below, where there are no labels."""
    split_divergence: dict[str, float | None]
    imbalance: float
    without_examples: list[str]
    errors: int
    warnings: int


class Corpus(TypedDict):
    """corpus.json of a language."""

    labels: list[str] | None
    fingerprint: str
    rows: dict[str, int]
    cut: NotRequired[list[str]]


class Validation(TypedDict):
    """validation.json of a language."""

    fingerprint: str
    errors: int
    warnings: int


class Cost(TypedDict):
    """cost.json of a training."""

    examples: int
    seconds: float
    epochs: int
    best_epoch: int


class Floor(TypedDict):
    """floor.json."""

    seconds: float
    rows: dict[str, int]


class Lengths(TypedDict):
    """At how many tokens a model cuts texts, and the share of each language's rows that it cuts."""

    max_length: int
    cut: ByLanguage


class Teacher(Cost):
    """teacher.json."""

    fingerprint: str
    labels: list[str]
    architecture: str
    layers: int | None
    parameters: int
    elsewhere: NotRequired[int]
    columns: NotRequired[list[int]]
    lengths: NotRequired[Lengths]


class TeacherCheckpoint(TypedDict):
    """The mark of a checkpoint of a teacher's training."""

    fingerprint: str
    seconds: float


class Linear(TypedDict):
    """features.json of linear models, by their names."""

    models: dict[str, "LinearFeatures"]


class LinearFeatures(TypedDict):
    """What one linear model has besides its tensors."""

    seen: list[bool]
    unseen_probability: float
    regularisation: float
    vocabulary: dict[str, list[str]]


class Probe(TypedDict):
    """probe.json of a probe."""

    seen: list[bool]
    unseen_probability: float
    origin: dict[str, Any]


@with_config({"extra": "allow"})
class Epoch(TypedDict):
    """A line of history.jsonl; the rest of it are figures of the stage's own."""

    epoch: int
    accuracy: ByLanguage
    average: float
    best: bool
    margin: NotRequired[ByLanguage]
    rank: NotRequired[dict[str, int]]
    selected: NotRequired[list[str]]
    weights: NotRequired[dict[str, ByLanguage]]
    """W by teacher, then language."""
    skill: dict[str, tuple[int, int, int, float, float]]
    """On validation, a `logits.skill.Skill` of each language."""


class Figures(TypedDict):
    """A model's test figures, each with the `average` of languages."""

    accuracy: ByLanguage
    macro_f1: ByLanguage
    ece: ByLanguage
    low: ByLanguage
    high: ByLanguage


class Size(TypedDict):
    """A model's size."""

    parameters: int
    bytes: int
    architecture: str
    full_vocabulary: NotRequired[int]


class Measured(TypedDict):
    """What was measured: fingerprints of the student, and of each language's test rows."""

    student: str
    test: dict[str, str]


class Onboarded(TypedDict):
    """The registered version that an onboarding started from, and its new languages."""

    version: int
    languages: list[str]


class Selective(TypedDict):
    """Test texts that are answered where an accuracy is asked for, and how accurately."""

    coverage: ByLanguage
    accuracy: ByLanguage


class Untold(TypedDict):
    """Test texts of which the language is recognised, and the accuracy by what is recognised."""

    languages: ByLanguage
    accuracy: ByLanguage


class Agreement(TypedDict):
    """How often a student agrees with the teachers weighted by W, in percent, and its interval."""

    agreement: float
    low: float
    high: float


@with_config({"extra": "allow"})
class Metrics(TypedDict):
    """metrics.json."""

    student: Figures
    baseline: Figures
    mixture: Figures
    floor: Figures
    teachers: dict[str, Figures]
    majority: NotRequired[ByLanguage]
    """Share in percent of a test's most frequent label; older runs have none."""
    best_teacher: dict[str, str]
    paired: dict[str, ByLanguage]
    selective: NotRequired[dict[str, Selective]]
    """By the accuracy that is asked for, in points; older runs have none."""
    untold: NotRequired[Untold]
    """Only of several languages."""
    advice: list[str]
    sizes: dict[str, Size]
    cost: dict[str, Cost]
    measured: Measured
    onboarded: NotRequired[Onboarded]
    without_labels: NotRequired[dict[str, Agreement | None]]
    """Learnt without labels. None where test has labels; else there is no other figure of it."""


class Encoder(TypedDict):
    """The encoder in a student's config.json, which transformers writes."""

    model_type: str
    num_hidden_layers: NotRequired[int | None]


class Student(TypedDict):
    """config.json of a student, which transformers writes."""

    encoder: Encoder
    id2label: dict[str, str]
    max_tokens: int


class Tokenizer(TypedDict):
    """tokenizer_config.json of a student, which transformers writes."""

    left_out: NotRequired[int]


class Export(TypedDict):
    """config.json of an ONNX export."""

    amtss: NotRequired[dict[str, str]]
    """What was exported: its `format`, and the fingerprint of the `student`."""
    labels: list[str]
    languages: list[str]
    max_tokens: int
    pad_token_id: int
    batch_size: NotRequired[int]
    """Texts computed at once; none in an export from before it was said, where it was 8."""
    temperatures: NotRequired[ByLanguage]
    thresholds: NotRequired[dict[str, list[tuple[float, float]]]]


def labels(layout: Layout) -> list[str]:
    """The label list that the gate has settled."""
    return read_json(layout.gate_keys, Gate, "dvc repro gate")["labels"]


def corpus(layout: Layout, language: str) -> Corpus:
    """A language's corpus.json."""
    return read_json(layout.corpus(language) / "corpus.json", Corpus, f"dvc repro data@{language}")


def validation(layout: Layout, language: str) -> Validation:
    """A language's validation.json."""
    return read_json(layout.validation(language) / "validation.json", Validation,
                     f"dvc repro validate@{language}")


def teacher(layout: Layout, name: str) -> Teacher:
    """A teacher's teacher.json."""
    return read_json(layout.teacher(name) / "teacher.json", Teacher, f"dvc repro teach@{name}")


def cost(layout: Layout, stage: str) -> Cost:
    """The cost.json of a training stage."""
    return read_json(layout.training(stage) / "cost.json", Cost, f"dvc repro {stage}")


def metrics(layout: Layout) -> Metrics:
    """metrics.json."""
    return read_json(layout.metrics, Metrics, "dvc repro evaluate")


def history(layout: Layout, stage: str) -> list[Epoch]:
    """The epochs of a training stage."""
    command = f"dvc repro {stage}"
    verify(layout.training(stage), command)
    return read_rows(layout.history(stage), Epoch, command)
