"""The gate that a version passes to become champion, and the moves behind it.

A move writes the mark, `previous` and `champion` in this order, so that the old champion serves
until the last of them; killed between two, the same command run again ends where it would have. One
lock makes the moves of one checkout wait for each other. Two machines that share a registry have no
lock in common: of two promotions within the same second the later one may have been compared with a
champion that was just replaced. `amtss audit` tells.
"""

import fcntl
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from amtss import corpus, evaluating, measures, registry
from amtss.config import ALL, Params
from amtss.errors import RegistryError
from amtss.layout import Layout
from amtss.registry import CHALLENGER, CHAMPION, PREVIOUS, Version
from amtss.table import NONE, Table, rich_table

AVERAGE_DROP, LANGUAGE_DROP = "max_average_drop", "max_language_drop"
REQUIRED, VALIDATION, LABELS, TEST = "required", "validation", "labels", "test"


class Check(NamedTuple):
    """One rule for one language, or for `ALL` of them."""

    rule: str
    language: str
    passed: bool
    candidate: float | None = None
    champion: float | None = None
    """Points of test accuracy, where the rule is about them."""
    allowed: float | None = None
    """Points that the candidate may be worse by."""

    @property
    def difference(self) -> float | None:
        """Candidate minus champion, in points."""
        if self.candidate is None or self.champion is None:
            return None
        return self.candidate - self.champion


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate. What makes figures comparable is checked first."""

    candidate: Version
    champion: Version | None
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def enforce(self) -> None:
        """
        Raises:
            RegistryError: a rule is broken; it names the first one, the language and the figures.
        """
        if self.failed:
            more = f" (and {len(self.failed) - 1} more)" if self.failed[1:] else ""
            expected, mend = _told(self.failed[0], self)
            raise RegistryError(f"version {self.candidate.number} does not pass the gate: "
                                f"{self.failed[0].rule}: {expected}{more}; {mend}")


def compare(candidate: Version, champion: Version | None, params: Params) -> Verdict:
    """Hold `candidate` against `champion`, or, where there is none, against the settings alone."""
    rules = params.promotion
    old = champion.languages if champion else ()
    checks = [Check(REQUIRED, code, code in candidate.languages)
              for code in dict.fromkeys([*old, *params.languages, *rules.required])]
    checks += [Check(VALIDATION, code, not errors) for code, errors in candidate.errors.items()]
    if champion:
        shared = [code for code in old if code in candidate.languages]
        checks.append(Check(LABELS, ALL, {*candidate.labels} == {*champion.labels}))
        checks += [Check(TEST, code, candidate.test[code] == champion.test[code])
                   for code in shared]
        if shared:
            checks.append(_drop(AVERAGE_DROP, ALL, _mean(candidate, shared),
                                _mean(champion, shared), rules.max_average_drop))
        checks += [_drop(LANGUAGE_DROP, code, candidate.accuracy[code], champion.accuracy[code],
                         rules.max_language_drop) for code in shared]
    return Verdict(candidate, champion, tuple(checks))


def _drop(rule: str, language: str, candidate: float, champion: float, allowed: float) -> Check:
    passed = candidate - champion >= -allowed - measures.ROUNDING
    return Check(rule, language, passed, candidate, champion, allowed)


def _mean(version: Version, languages: list[str]) -> float:
    return sum(version.accuracy[code] for code in languages) / len(languages)


def _told(check: Check, verdict: Verdict) -> tuple[str, str]:
    """What a broken rule expected and found, and what mends it."""
    candidate, champion, code = verdict.candidate, verdict.champion, check.language
    if check.rule == REQUIRED:
        return (f"expected {code} among its languages, found {', '.join(candidate.languages)}",
                f"run `amtss onboard-language --lang {code}`")
    if check.rule == VALIDATION:
        return (f"expected no errors in the validation of {code}, found {candidate.errors[code]}",
                "mend the data, then run `dvc repro` and `amtss register`")
    assert champion is not None
    if check.rule == LABELS:
        others = sorted({*candidate.labels} ^ {*champion.labels})
        return (f"expected the labels of version {champion.number}, found {', '.join(others)} in "
                "one of the two alone", "register a student of the same labels")
    if check.rule == TEST:
        return (f"expected version {champion.number} to be measured on the test rows of {code} "
                f"that it was measured on ({candidate.test[code]}), found others "
                f"({champion.test[code]}), and neither are in artifacts/data",
                "run `dvc repro` and `amtss register` again")
    what = "on average over its languages" if code == ALL else f"in {code}"
    return (f"expected at most {check.allowed:.2f} points below version {champion.number}'s "
            f"{check.champion:.2f} {what}, found {check.candidate:.2f} ({check.difference:+.2f})",
            f"train a better student, or raise promotion.{check.rule} in params.yaml")


def table(verdict: Verdict) -> Table:
    """A row per language, after one for all of the champion's."""
    candidate, champion = verdict.candidate, verdict.champion
    against = f"version {champion.number}" if champion else "champion"
    rows = []
    for code in dict.fromkeys([ALL, *(check.language for check in verdict.checks)]):
        checks = [check for check in verdict.checks if check.language == code]
        own = candidate.average if code == ALL else candidate.accuracy.get(code)
        figures = next((check for check in checks if check.champion is not None),
                       Check("", code, True, own))
        failed = ", ".join(check.rule for check in checks if not check.passed)
        rows.append(("average" if code == ALL else code, _points(figures.champion),
                     _points(figures.candidate), _points(figures.difference, "+"),
                     _points(figures.allowed), f"fails: {failed}" if failed else "passes"))
    return Table(f"Version {candidate.number} against {against if champion else 'no champion yet'}",
                 ("language", against, f"version {candidate.number}", "difference",
                  "allowed drop", "verdict"), tuple(rows), verdict.notes)


def _points(value: float | None, sign: str = "") -> str:
    return NONE if value is None else f"{value:{sign}.2f}"


def show(verdict: Verdict) -> None:
    """Print the comparison."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(rich_table(table(verdict)))


def promote(params: Params, layout: Layout, reference: str | int = CHALLENGER,
            dry_run: bool = False, tell: Callable[[Verdict], None] = show) -> Verdict | None:
    """Make a version champion if it passes the gate; None where amtss has done so before.

    A champion that somebody else put there is held against the last one of amtss.

    Raises:
        RegistryError: there is no such version, it does not pass, or the champion has changed
            meanwhile.
    """
    with _alone(layout):
        candidate = registry.find(params, layout, reference)
        reigning = registry.aliases(params, layout).get(CHAMPION)
        own = registry.marked(params, layout) if reigning == candidate.number else reigning
        if own == candidate.number:
            verdict = None
        else:
            verdict = _judge(params, layout, candidate, own)
            tell(verdict)
            verdict.enforce()
        if dry_run:
            return verdict
        if registry.aliases(params, layout).get(CHAMPION) != reigning:
            raise RegistryError(f"alias {CHAMPION}: expected version {reigning}, which version "
                                f"{candidate.number} was compared with, found another; run the "
                                "same command again")
        if verdict is not None:
            _move(params, layout, candidate.number, own)
        if registry.aliases(params, layout).get(CHALLENGER) == candidate.number:
            registry.point(params, layout, CHALLENGER, None)
        return verdict


def rollback(params: Params, layout: Layout) -> Version:
    """Make the previous champion champion, and the champion previous.

    Where both are one version, a move to the marked one was cut short: it is finished.

    Raises:
        RegistryError: there is none to return to.
    """
    with _alone(layout):
        aliases = registry.aliases(params, layout)
        old, new = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if new is not None and new == old:
            new = registry.marked(params, layout)
        if new is None or new == old:
            raise RegistryError(f"{registry.name(params)}: expected an alias {PREVIOUS} to return "
                                "to, found none; name a version in `amtss promote --version`")
        returned = registry.find(params, layout, new)
        _move(params, layout, new, old)
        return returned


def _move(params: Params, layout: Layout, new: int, old: int | None) -> None:
    registry.mark(params, layout, new)
    if old is not None:
        registry.point(params, layout, PREVIOUS, old)
    registry.point(params, layout, CHAMPION, new)


def audit(params: Params, layout: Layout, tell: Callable[[Verdict], None] = show) -> Verdict:
    """Hold the champion against the one before it; one put there by hand, against amtss's own.

    Raises:
        RegistryError: there is no champion, or it does not pass.
    """
    with _alone(layout):
        champion = registry.find(params, layout, CHAMPION)
        against = registry.aliases(params, layout).get(PREVIOUS)
        own = registry.marked(params, layout)
        note = f"Compared with the alias {PREVIOUS}."
        if own != champion.number:
            note = f"The alias {CHAMPION} was moved by hand, or a move was cut short."
            if own is not None:
                against = own
                note += f" Compared with version {own}, amtss's own last champion."
        verdict = _judge(params, layout, champion,
                         against if against != champion.number else None)
        verdict = replace(verdict, notes=(note, *verdict.notes))
        tell(verdict)
        verdict.enforce()
        return verdict


def _judge(params: Params, layout: Layout, candidate: Version, against: int | None) -> Verdict:
    if against is None:
        return compare(candidate, None, params)
    champion = registry.find(params, layout, against)
    measured = _measured(params, layout, champion, candidate)
    again = [code for code in champion.languages if measured.test[code] != champion.test[code]]
    verdict = compare(candidate, measured, params)
    return replace(verdict, notes=(f"Version {against} was evaluated again on the test rows of "
                                   f"{', '.join(again)}.",)) if again else verdict


def _measured(params: Params, layout: Layout, champion: Version, candidate: Version) -> Version:
    """`champion` with figures on the candidate's test rows, where artifacts/data holds them."""
    codes = [code for code in champion.languages if code in candidate.languages
             and candidate.test[code] != champion.test[code]
             and candidate.test[code] == corpus.test_fingerprint(layout, code)]
    if not codes or {*champion.labels} != {*candidate.labels}:
        return champion
    corpora = [corpus.load(layout, code) for code in codes]
    with tempfile.TemporaryDirectory(prefix="amtss-") as folder:
        student = Path(folder) / "student"
        registry.fetch(params, layout, champion.number, champion.fingerprint, student)
        made = evaluating.predict_test(student, corpora)
    accuracy = {each.language: measures.accuracy(made[each.language].argmax(axis=-1),
                                                 each.label_ids("test", champion.labels))
                for each in corpora}
    return replace(champion, accuracy=champion.accuracy | accuracy,
                   test=champion.test | {code: candidate.test[code] for code in codes})


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Wait for other moves of this project on this machine."""
    layout.artifacts.mkdir(parents=True, exist_ok=True)
    with open(layout.artifacts / "promotion.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
