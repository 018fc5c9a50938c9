"""A verdict as a table: a row for the average, then a row per language."""

from collections.abc import Iterator

from amtss.config.schema import ALL
from amtss.registry.rules import Check, Verdict
from amtss.table import NONE, Table


def table(verdict: Verdict) -> Table:
    """The figures beside the champion's, or, if there is none, beside what the rules ask for."""
    number, champion = verdict.candidate.number, verdict.champion
    if champion is None:
        return Table(f"Version {number}, with no champion to compare it with", (
            "language", f"version {number}", "constant answer", "linear floor", "at least",
            "verdict"), tuple(_alone(verdict, *row) for row in _rows(verdict)), verdict.notes)
    against = f"version {champion.number}"
    return Table(f"Version {number} against {against}", (
        "language", against, f"version {number}", "difference", "allowed drop", "verdict"),
        tuple(_compared(*row) for row in _rows(verdict)), verdict.notes)


def _rows(verdict: Verdict) -> Iterator[tuple[str, str, float | None, list[Check]]]:
    """Code, name, the candidate's figure and the checks of the average and of each language."""
    candidate = verdict.candidate
    for code in dict.fromkeys([ALL, *(check.language for check in verdict.checks)]):
        checks = [check for check in verdict.checks if check.language == code]
        own, name = candidate.accuracy.get(code), code
        if code == ALL:  # over the languages that the rules compare, if they do
            judged = (check.candidate for check in checks if check.candidate is not None)
            own, name = next(judged, candidate.average), "average"
        elif (agreement := candidate.without_labels.get(code)) is not None:
            own, name = agreement, f"{code} (agreement)"
        yield code, name, own, checks


def _compared(code: str, name: str, own: float | None, checks: list[Check]) -> tuple[str, ...]:
    figures = next((check for check in checks if check.champion is not None),
                   Check("", code, True, own))
    return (name, _points(figures.champion), _points(figures.candidate),
            _points(figures.difference, "+"), _points(figures.allowed), _outcome(checks))


def _alone(verdict: Verdict, code: str, name: str, own: float | None, checks: list[Check]
           ) -> tuple[str, ...]:
    candidate = verdict.candidate
    floor, constant = candidate.floor or {}, (candidate.majority or {}).get(code)
    least = max((check.least for check in checks if check.least is not None), default=None)
    average = sum(floor.values()) / len(floor) if floor else None
    return (name, _points(own), _points(constant),
            _points(average if code == ALL else floor.get(code)), _points(least), _outcome(checks))


def _outcome(checks: list[Check]) -> str:
    failed = ", ".join(check.rule for check in checks if check.fails)
    warns = ", ".join(check.rule for check in checks if check.warns)
    return f"fails: {failed}" if failed else f"warns: {warns}" if warns else "passes"


def _points(value: float | None, sign: str = "") -> str:
    return NONE if value is None else f"{value:{sign}.2f}"
