"""All of params.yaml as one frozen model; this module is the door to every section's class."""

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from amtss.config import defaults
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

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""A teacher's name; DVC would read a dot as a step into a section."""
ALL = "all"
"""In a teacher's languages: every language of the project."""


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
        if not self.languages:
            raise ValueError("languages: expected at least one, found none")
        if not self.teachers:
            raise ValueError("teachers: expected at least one, found none")
        for code in self.data.configs:
            if code not in self.languages:
                raise ValueError(f"data.configs: expected some of {', '.join(self.languages)}, "
                                 f"found {code!r}")
        if (len(self.languages) > 1 and self.data.source == "files"
                and "{language}" not in self.data.files and not self.data.columns.language):
            raise ValueError("data.files: expected a pattern with {language}, or the column of "
                             "languages in data.columns.language, found "
                             f"{self.data.files!r}")
        if self.onboarding and not set() < set(self.newcomers) < set(self.languages):
            raise ValueError("onboarding.languages: expected some, not all, of "
                             f"{', '.join(self.languages)}, found "
                             f"{', '.join(self.newcomers) or 'none'}")
        self._check_teachers()
        self._check_pool()
        self._check_baseline()
        return self

    def _check_teachers(self) -> None:
        for name, teacher in self.teachers.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"teachers.{name}: expected a name of letters, digits and "
                                 f"'_', found {name!r}")
            for key in ("languages", "scores"):
                for code in getattr(teacher, key) or ():
                    if code != ALL and code not in self.languages:
                        raise ValueError(f"teachers.{name}.{key}: expected some of "
                                         f"{', '.join(self.languages)} or all, found {code!r}")
        if self.student.teacher not in (None, *self.teachers):
            raise ValueError(f"student.teacher: expected one of {', '.join(self.teachers)}, "
                             f"found {self.student.teacher!r}")
        if self.student.teacher and not isinstance(self.teachers[self.student.teacher],
                                                   TransformerTeacher):
            raise ValueError("student.teacher: expected a teacher of kind transformer, found "
                             f"{self.student.teacher!r}")

    def _check_pool(self) -> None:
        if self.distil.teachers == ():
            raise ValueError("distil.teachers: expected at least one or null, found none")
        for name in self.distil.teachers or ():
            if name not in self.teachers:
                raise ValueError(f"distil.teachers: expected some of {', '.join(self.teachers)}, "
                                 f"found {name!r}")
        if self.distil.top_k > len(self.languages):
            raise ValueError(f"distil.top_k: expected at most {len(self.languages)}, the number "
                             f"of languages, found {self.distil.top_k}")
        for language in self.languages:
            if not any(language in self.scored_by(name) for name in self.pool):
                raise ValueError(f"teachers: expected one in the pool that scores {language!r}, "
                                 "found none; add it to a teacher's `scores`")

    def _check_baseline(self) -> None:
        name = self.baseline.teacher
        if name not in self.teachers:
            raise ValueError(f"baseline.teacher: expected one of {', '.join(self.teachers)}, "
                             f"found {name!r}")
        missing = [code for code in self.languages if code not in self.scored_by(name)]
        # In an onboarding, X-LM-Tiny stays what it was before the new languages.
        if missing and self.onboarding is None:
            raise ValueError(f"baseline.teacher: expected one that scores every language, found "
                             f"{name!r} without {', '.join(missing)}")

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
