"""What tables say of languages that were learnt without labels: no accuracy where test has none."""

from collections.abc import Mapping, Sequence
from typing import Any

from amtss.table import NONE

ROW = "Agrees with teachers"


def agreements(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The student's agreement with its teachers, by language, where it is all that is known."""
    return {code: found for code, found in metrics.get("without_labels", {}).items() if found}


def row(metrics: Mapping[str, Any], columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """A row of agreements below rows of accuracies, if there are any."""
    found = agreements(metrics)
    cells = (f"{found[code]['agreement']:.2f}" if code in found else NONE for code in columns)
    return ((ROW, *cells),) if found.keys() & {*columns} else ()


def notes(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence about the languages whose test has labels, and one about each of the others."""
    found = agreements(metrics)
    tested = [code for code in metrics.get("without_labels", {}) if code not in found]
    says = [f"Learnt without labels, from what the teachers answer: {', '.join(tested)}. The test "
            "has labels; a linear floor, which needs them in train, is missing."] if tested else []
    says += [f"{code} has no labels, so its accuracy is unknown and no average counts it. On "
             f"{agreement['agreement']:.2f}% of its test texts (95% interval "
             f"{agreement['low']:.2f} to {agreement['high']:.2f}) the student answers what its "
             "teachers do, which they may get wrong together."
             for code, agreement in found.items()]
    return tuple(says)


def caption(metrics: Mapping[str, Any]) -> str:
    """For pictures of validation accuracies."""
    codes = metrics.get("without_labels", {})
    return (f" Of {', '.join(codes)}, learnt without labels, accuracy here is agreement with the "
            "teachers." if codes else "")
