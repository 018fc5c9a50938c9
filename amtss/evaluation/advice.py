"""What to try where the student is below the linear floor, by the settings it was made with."""

from collections.abc import Iterator

from amtss.config.schema import LinearTeacher, Params, ProbeTeacher, TransformerTeacher

MOST = 3
RATE, WEIGHT, EPOCHS = 3.0e-3, 1.0, 8
"""Below these we advise more: learning rate of a student without layers, kd_weight, max_epochs."""
PROBE = ('a teacher that is pretrained, in `teachers`: {kind: probe, languages: [all], checkpoint: '
         'intfloat/multilingual-e5-small, prefix: "query: "}')
LINEAR = "a linear teacher, in `teachers`: {kind: linear, languages: [all]}"
DATA = "more rows, if only of chat logs without labels (data.splits.unlabelled)"


def advice(params: Params) -> list[str]:
    """At most three things to try, with their keys; the first promises most."""
    return [*_teachers(params), *_student(params), *_schedule(params)][:MOST] or [DATA]


def _teachers(params: Params) -> Iterator[str]:
    if not any(_encoder(params, name) for name in params.pool):
        yield PROBE
    if not any(isinstance(params.teachers[name], LinearTeacher) for name in params.pool):
        yield LINEAR


def _student(params: Params) -> Iterator[str]:
    """What the student itself is, which an onboarding cannot change."""
    if params.onboarding is not None:
        return
    if not params.student.architecture.layers and params.distil.learning_rate < RATE:
        yield "distil.learning_rate: 5.0e-3, as a student without layers needs 3.0e-3 or more"
    sources = [source for name in params.pool if (source := _encoder(params, name))
               and set(params.languages) <= {*params.scored_by(name)}]
    if params.student.start == "random" and sources:
        yield f"student.start: pca, with student.{sources[0]}"


def _encoder(params: Params, name: str) -> str:
    """The setting with which a student starts from a teacher's pretrained encoder; empty where it
    has none."""
    teacher = params.teachers[name]
    if isinstance(teacher, TransformerTeacher) and teacher.checkpoint:
        return f"teacher: {name}"
    return f"checkpoint: {teacher.checkpoint}" if isinstance(teacher, ProbeTeacher) else ""


def _schedule(params: Params) -> Iterator[str]:
    if params.distil.kd_weight < WEIGHT:
        yield "distil.kd_weight: 2 or 3"
    epochs = params.distil.max_epochs
    if params.onboarding is None and epochs is not None and epochs < EPOCHS:
        yield f"distil.max_epochs: {EPOCHS} or more"
