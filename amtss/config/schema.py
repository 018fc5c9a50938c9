"""All of params.yaml as one frozen model; this module is the door to every section's class."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from amtss.config import consistency, defaults
from amtss.config.data import Columns, Data, Sample, Splits, Validation
from amtss.config.lifecycle import Drift, Evaluation, Promotion, Report, Serving
from amtss.config.section import CODE, Languages, Precision, Section
from amtss.config.student import (
    Baseline,
    Continuation,
    Distil,
    Onboarding,
    Student,
    Trimming,
)
from amtss.config.teachers import (
    ALL,
    Architecture,
    LinearTeacher,
    Pooling,
    ProbeTeacher,
    Scoring,
    Teacher,
    Teaching,
    TeachingOverrides,
    TransformerTeacher,
)

__all__ = [
    "ALL",
    "CODE",
    "Architecture",
    "Baseline",
    "Columns",
    "Continuation",
    "Data",
    "Distil",
    "Drift",
    "Evaluation",
    "LinearTeacher",
    "Onboarding",
    "Params",
    "Pooling",
    "Precision",
    "ProbeTeacher",
    "Promotion",
    "Report",
    "Sample",
    "Scoring",
    "Section",
    "Serving",
    "Splits",
    "Student",
    "Teacher",
    "Teaching",
    "TeachingOverrides",
    "TransformerTeacher",
    "Trimming",
    "Validation",
]


class Params(Section):
    """All of params.yaml."""

    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "demo"
    """Name of the project in MLflow: its experiment and its registered model."""
    languages: Languages
    """Codes of the student's languages, such as ko or zh-CN."""
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
    drift: Drift = Drift()
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, values: Any) -> Any:
        return defaults.fill_in(values)

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        if found := [*consistency.complaints(self)]:
            raise ValueError(*found)
        return self

    @property
    def newcomers(self) -> tuple[str, ...]:
        """Languages that the student has yet to learn: all, or those of an onboarding."""
        return self.languages if self.onboarding is None else self.onboarding.languages

    @property
    def schedule(self) -> Distil:
        """How Algorithm 1 runs: `distil`, overridden by `continuation` in an onboarding."""
        if self.onboarding is None:
            return self.distil
        overrides = self.continuation.model_dump(exclude={"vocabulary"}, exclude_none=True)
        overrides.setdefault("learning_rate", self.distil.learning_rate / 2)
        return self.distil.model_copy(update=overrides)

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
        return tuple(code for code in self.languages if ALL in codes or code in codes)

    def training_of(self, name: str) -> Teaching:
        """`teaching`, overridden by the own `training` of teacher `name`, a transformer."""
        teacher = self.teachers[name]
        assert isinstance(teacher, TransformerTeacher)
        return self.teaching.model_copy(update=teacher.training.model_dump(exclude_none=True))

    def made_with(self, name: str) -> list[dict[str, Any]]:
        """The settings that teacher `name` is made with: all but what it scores."""
        teacher = self.teachers[name]
        settings = teacher.model_dump(exclude={"languages", "scores", "training"})
        if isinstance(teacher, TransformerTeacher):
            return [settings, self.training_of(name).model_dump()]
        if isinstance(teacher, ProbeTeacher):  # it is taught on states that scoring reads too
            return [settings, self.scored_with(name)]
        return [settings]

    def scored_with(self, name: str) -> dict[str, Any]:
        """The settings that change teacher `name`'s logits after it has been made."""
        teacher = self.teachers[name]
        if isinstance(teacher, TransformerTeacher):
            return {"max_length": self.training_of(name).max_length,
                    "precision": self.scoring.precision}
        if isinstance(teacher, ProbeTeacher):
            return {"max_length": teacher.max_length, "precision": self.scoring.precision}
        return {}

    def most_epochs(self, name: str) -> int:
        """The most epochs that teaching `name` may take; 0 where there are no epochs."""
        teacher = self.teachers[name]
        if isinstance(teacher, TransformerTeacher) and teacher.fine_tune:
            return self.training_of(name).epochs
        return 0
