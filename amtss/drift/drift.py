"""`amtss drift`: compare new texts, language by language, with those that the student was made for.

The reference are held-out rows of the training data, or earlier logs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.drift import answers, comparison, logs
from amtss.drift.answers import Answers, answer
from amtss.drift.comparison import FIGURES, Change
from amtss.drift.logs import Texts
from amtss.errors import DataError
from amtss.files import fingerprint
from amtss.inference.predictor import AUTO
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.models import checkpoint
from amtss.paths import Layout


@dataclass(frozen=True)
class Request:
    """What to compare with what."""

    data: tuple[Path, ...]
    """Files of new texts."""
    against: tuple[Path, ...] = ()
    """Files of earlier texts; none for held-out rows of the training data."""
    language: str = AUTO
    """Of rows that name none; `auto` where it is to be recognised."""


@dataclass(frozen=True)
class Compared:
    """One language's new texts and its reference."""

    before: Answers
    now: Answers
    of: int
    """From how many new texts `now` was drawn."""
    changes: Mapping[str, Change]
    shares: Mapping[str, tuple[float, float]]
    """Label -> its share of the answers before and now."""
    recognised: int = 0
    """Of how many of the `of` texts the language was recognised."""

    @property
    def passed(self) -> list[str]:
        """Figures beyond their limits."""
        return [figure for figure, change in self.changes.items() if change.passed]


def compare(params: Params, layout: Layout, model: Path, request: Request) -> dict[str, Compared]:
    """What has changed, by language, in the order of the student's languages.

    Args:
        model: the student's folder.

    Raises:
        DataError: a file or a row cannot be read, or there is nothing to compare with.
        AmtssError: the student or a corpus is missing or altered.
    """
    student = PytorchPredictor(model)
    limits = params.drift
    new = _read(params, student, request.data, request.language)
    if not new:
        raise DataError(f"{request.data[0]}: expected texts, found none; name other files by "
                        "--data")
    old = _read(params, student, request.against, request.language)
    compared = {}
    for code, texts in new.items():
        now = answer(student, code, texts.drawn(limits.rows, limits.seed))
        if request.against:
            before = _earlier(params, student, code, old.get(code), request.against[0])
        else:
            before = _held_out(params, layout, student, model, code)
        changes = comparison.compare(before, now, limits, len(new) * len(FIGURES))
        compared[code] = Compared(before, now, len(texts.texts), changes, comparison.shares(
            student.labels, before, now), texts.recognised)
    return compared


def _read(params: Params, student: PytorchPredictor, paths: Sequence[Path], language: str
          ) -> dict[str, Texts]:
    """Texts by language, in the order of the student's; the student recognises those of none."""
    found = logs.read(paths, params.data.columns, language, student.languages)
    if AUTO not in found:
        return found
    unknown = found.pop(AUTO)
    codes = np.array(student.recognise(unknown.texts, unknown.pairs))
    return {code: found.get(code, Texts([], unknown.pairs and [])).joined(unknown, rows)
            for code in student.languages
            if len(rows := np.flatnonzero(codes == code)) or code in found}


def _earlier(params: Params, student: PytorchPredictor, code: str, texts: Texts | None, path: Path
             ) -> Answers:
    if texts is None:
        raise DataError(f"{path}: expected texts of {code} to compare with, found none; add a file "
                        "with some by --against")
    return answer(student, code, texts.drawn(params.drift.rows, params.drift.seed))


def _held_out(params: Params, layout: Layout, student: PytorchPredictor, model: Path, code: str
              ) -> Answers:
    """The student's answers on the held-out rows, computed once for a student and a corpus."""
    own = corpus.load(layout, code)
    limits = params.drift
    origin = fingerprint(checkpoint.fingerprint(model), own.fingerprint, limits.rows, limits.seed)
    known = answers.load(layout.reference(code), origin)
    if known is None:
        known = answer(student, code, logs.held_out(own).drawn(limits.rows, limits.seed))
        answers.save(layout.reference(code), known, origin)
    return known


def record(compared: Mapping[str, Compared], model: Path) -> dict[str, Any]:
    """What drift.json holds."""
    return {"student": checkpoint.fingerprint(model),
            "passed": {code: language.passed for code, language in compared.items()
                       if language.passed},
            "languages": {code: {
                "texts": len(language.now), "of": language.of,
                "recognised": language.recognised, "reference": len(language.before),
                "figures": {figure: asdict(change) for figure, change in language.changes.items()},
                "labels": {label: {"before": old, "now": new}
                           for label, (old, new) in language.shares.items()}}
                for code, language in compared.items()}}
