"""What a model card says of a student, gathered from what the stages have written."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired

import numpy as np
from typing_extensions import TypedDict

from amtss import records
from amtss.config.params import load_params
from amtss.config.schema import LinearTeacher, Params, TransformerTeacher
from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.files import read_json
from amtss.models import checkpoint
from amtss.paths import Layout
from amtss.tokenization import encoding, tokenizer, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MODELS = ("student", "floor", "mixture", "baseline")
"""Whose accuracies are told: keys of metrics.json."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


class Texts(TypedDict):
    """What is known of a language's texts."""

    rows: dict[str, int]
    """By split; `mixed` are those of the unlabelled split that the pipeline has mixed itself."""
    cut: float
    """Share of the test texts that are longer than the student reads."""
    unknown: float
    """Share of the test texts' tokens that the student does not know."""


class Language(TypedDict):
    """One language of a student."""

    accuracy: dict[str, float]
    """Test accuracy in percent of those of `MODELS` that serve it; empty if the test has no labels.
    """
    low: float
    high: float
    """95% interval of the student's accuracy, in percent."""
    texts: Texts | None
    """None where the corpus is not here."""


class Teacher(TypedDict):
    """A teacher that the student has learnt from."""

    kind: str
    checkpoint: str | None
    """On the hub, or the name of a local folder; None for one without a checkpoint."""
    languages: list[str]
    """Languages that it scores."""


class Facts(TypedDict):
    """What is known of an evaluated student."""

    project: str
    source: str
    """Where the texts are from."""
    hub: str | None
    """The id of their data set on the hub."""
    base: str | None
    """The checkpoint on the hub that the student's weights start from."""
    languages: dict[str, Language]
    teachers: dict[str, Teacher]
    onboarded: NotRequired[records.Onboarded]


def known(layout: Layout, student: Path) -> Facts | None:
    """The facts of the student in a folder; None if the project has not evaluated it.

    Raises:
        AmtssError: a file of the stages is altered, or params.yaml is wrong.
    """
    if not (layout.params.is_file() and layout.metrics.is_file()):
        return None
    if records.metrics(layout)["measured"]["student"] != checkpoint.fingerprint(student):
        return None
    return gather(load_params(layout.params), layout, student)


def gather(params: Params, layout: Layout, student: Path) -> Facts:
    """The facts of an evaluated student.

    Raises:
        AmtssError: a file of the stages is missing or altered.
    """
    metrics = records.metrics(layout)
    limit = read_json(student / "config.json", records.Student, "dvc repro distil",
                      ours=False)["max_tokens"]
    own = tokenizer.load_tokenizer(str(student))
    figures = {name: metrics[name] for name in MODELS}  # type: ignore[literal-required]
    languages = {code: Language(
        accuracy={name: of["accuracy"][code] for name, of in figures.items()
                  if code in of["accuracy"]},
        low=metrics["student"]["low"].get(code, 0.0),
        high=metrics["student"]["high"].get(code, 0.0),
        texts=_texts(corpus.load(layout, code), own, limit) if layout.corpus(code).is_dir()
        else None) for code in metrics["measured"]["test"]}
    source, hub = _source(params)
    facts = Facts(project=params.project, source=source, hub=hub, base=_base(params),
                  languages=languages, teachers=_teachers(params))
    if "onboarded" in metrics:
        facts["onboarded"] = metrics["onboarded"]
    return facts


def _texts(corpus: Corpus, own: "PreTrainedTokenizerBase", limit: int) -> Texts:
    encoded = encoding.tokenise(own, corpus["test"], None)
    ids = np.concatenate([np.empty(0, np.int32), *encoded.ids])
    logs, mixed = corpus.unlabelled()
    rows = {split: len(corpus[split]) for split in ("train", "validation", "test")}
    return Texts(rows=rows | {"unlabelled": logs, "mixed": mixed},
                 cut=float((encoded.lengths > limit).mean()),
                 unknown=unknown.count(own, ids) / max(1, len(ids)))


def _source(params: Params) -> tuple[str, str | None]:
    """Where the texts are from, and the id of a data set on the hub."""
    if params.data.source == "demo":
        return "amtss's embedded demonstration: generated questions to a chatbot", None
    if params.data.source == "dataset" and params.data.path == "data":
        return "a data set of the hub", params.data.hub
    return "files of the project's own", None


def _teachers(params: Params) -> dict[str, Teacher]:
    return {name: Teacher(
        kind=teacher.kind,
        checkpoint=None if isinstance(teacher, LinearTeacher) else _public(teacher.checkpoint),
        languages=list(params.scored_by(name)))
        for name, teacher in params.teachers.items() if name in params.pool}


def _base(params: Params) -> str | None:
    teacher = params.teachers.get(params.student.teacher or "")
    own = teacher.checkpoint if isinstance(teacher, TransformerTeacher) else None
    start = params.student.checkpoint or own
    return start if start and _on_hub(start) else None


def _public(name: str | None) -> str | None:
    """A checkpoint's id on the hub; of a local folder its last part, as paths are nobody's affair.
    """
    return f"{Path(name).name} (a local folder)" if name and not _on_hub(name) else name


def _on_hub(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and not Path(name).exists()
