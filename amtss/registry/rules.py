"""The rules of promotion, and the verdict on a version. Pure: nothing is read or written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from amtss.config.schema import ALL, Params, Promotion
from amtss.errors import RegistryError
from amtss.evaluation import metrics

if TYPE_CHECKING:
    from amtss.registry.versions import Version

AVERAGE_DROP, LANGUAGE_DROP = "max_average_drop", "max_language_drop"
REQUIRED, VALIDATION, LABELS, TEST = "required", "validation", "labels", "test"
FLOOR, AGREEMENT = "floor", "min_agreement"
BELOW_FLOOR, ABOVE_MAJORITY = "max_below_floor", "min_above_majority"
"""For what no champion has served: without a champion to compare with."""


class Check(NamedTuple):
    """One rule for one language, or for `ALL` of them."""

    rule: str
    language: str
    passed: bool
    candidate: float | None = None
    champion: float | None = None
    """Points of test accuracy, if the rule is about accuracy; of agreement, if about that."""
    allowed: float | None = None
    """How many points the candidate may be worse."""
    least: float | None = None
    """What the candidate must reach, if the rule does not compare it with a champion."""
    only_warns: bool = False
    """Whether the candidate may become champion even if it breaks the rule."""

    @property
    def fails(self) -> bool:
        return not self.passed and not self.only_warns

    @property
    def warns(self) -> bool:
        return not self.passed and self.only_warns

    @property
    def difference(self) -> float | None:
        """Candidate minus champion, in points."""
        if self.candidate is None or self.champion is None:
            return None
        return self.candidate - self.champion


@dataclass(frozen=True)
class Verdict:
    """All checks of a candidate, those first that make the figures comparable."""

    candidate: "Version"
    champion: "Version | None"
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.fails)

    @property
    def warning(self) -> str | None:
        """One line about the broken rules that only warn; None if there are none."""
        broken = [check for check in self.checks if check.warns]
        return f"version {self.candidate.number}: {_summary(broken, self)}" if broken else None

    def enforce(self) -> None:
        """
        Raises:
            RegistryError: a rule is broken. The message names the first, its language and figures.
        """
        if self.failed:
            raise RegistryError(f"version {self.candidate.number} does not pass the rules: "
                                f"{_summary(self.failed, self)}")


def compare(candidate: "Version", champion: "Version | None", params: Params) -> Verdict:
    """Compare `candidate` with `champion`, or, if there is none, with the settings alone."""
    rules = params.promotion
    old = champion.languages if champion else ()
    checks = [Check(REQUIRED, code, code in candidate.languages)
              for code in dict.fromkeys([*old, *params.languages, *rules.required])]
    checks += [Check(VALIDATION, code, not errors) for code, errors in candidate.errors.items()]
    if champion:
        # Without a test that has labels, a language has no accuracy to compare.
        shared = [code for code in champion.accuracy if code in candidate.languages]
        checks.append(Check(LABELS, ALL, {*candidate.labels} == {*champion.labels}))
        checks += [Check(TEST, code, code in candidate.accuracy
                         and candidate.test[code] == champion.test[code]) for code in shared]
        shared = [code for code in shared if code in candidate.accuracy]
        if shared:
            checks.append(_drop(AVERAGE_DROP, ALL, _mean(candidate, shared),
                                _mean(champion, shared), rules.max_average_drop))
        checks += [_drop(LANGUAGE_DROP, code, candidate.accuracy[code], champion.accuracy[code],
                         rules.max_language_drop) for code in shared]
    checks += [Check(AGREEMENT, code, own >= rules.min_agreement, own, least=rules.min_agreement)
               for code, own in candidate.without_labels.items() if own is not None]
    if rules.min_above_majority is not None:
        new = [code for code in candidate.majority or () if not champion
               or code not in champion.accuracy]
        checks += [_above_majority(candidate, code, rules.min_above_majority) for code in new]
    if rules.floor != "off" and candidate.floor:
        if not champion and rules.max_below_floor is not None:
            checks.append(_near_floor(candidate, rules.max_below_floor))
        checks += _above_floor(candidate, only_warns=rules.floor == "warn")
    return Verdict(candidate, champion, tuple(checks), (
        *_notes(candidate), *_unknown(candidate, champion, rules)))


def _unknown(candidate: "Version", champion: "Version | None", rules: Promotion) -> Iterator[str]:
    """A sentence about each figure that a rule needs and the version lacks."""
    before = "it was registered before versions had one."
    if rules.floor != "off" and candidate.floor is None:
        yield f"The linear floor of version {candidate.number} is unknown: {before}"
    if rules.min_above_majority is not None and candidate.majority is None and not champion:
        yield (f"What a constant answer would reach on the test of version {candidate.number} is "
               "unknown: it was registered before versions had that figure.")


def _notes(candidate: "Version") -> Iterator[str]:
    """A sentence about each language that was learnt without labels."""
    yield from (
        f"{code} was learnt without labels and has no linear floor; its test has labels."
        if own is None else
        f"{code} has no labels: {own:.2f} is the student's agreement with its teachers, which "
        "promotion.min_agreement judges; no rule of accuracy holds for it."
        for code, own in candidate.without_labels.items())


def _above_majority(candidate: "Version", code: str, share: float) -> Check:
    """A check that it avoids this share of a constant answer's mistakes in a language."""
    assert candidate.majority is not None
    own, constant = candidate.accuracy[code], candidate.majority[code]
    least = constant + share * (100.0 - constant)
    return Check(ABOVE_MAJORITY, code, own >= least - metrics.ROUNDING, own, least=least)


def _near_floor(candidate: "Version", allowed: float) -> Check:
    """A check of its average over the languages that have a floor."""
    assert candidate.floor is not None
    own, least = _mean(candidate, [*candidate.floor]), _floor(candidate, ALL) - allowed
    return Check(BELOW_FLOOR, ALL, own >= least - metrics.ROUNDING, own, least=least)


def _above_floor(candidate: "Version", only_warns: bool) -> list[Check]:
    """A check of the average over its languages that have a floor, then one of each of them."""
    assert candidate.floor is not None
    own = {code: candidate.accuracy[code] for code in candidate.floor}
    figures = {ALL: _mean(candidate, [*own]), **own}
    return [Check(FLOOR, code, own - _floor(candidate, code) >= -metrics.ROUNDING, own,
                  only_warns=only_warns) for code, own in figures.items()]


def _floor(candidate: "Version", code: str) -> float:
    """The linear floor's accuracy in a language, or on average."""
    assert candidate.floor is not None
    return (sum(candidate.floor.values()) / len(candidate.floor) if code == ALL
            else candidate.floor[code])


def _drop(rule: str, language: str, candidate: float, champion: float, allowed: float) -> Check:
    passed = candidate - champion >= -allowed - metrics.ROUNDING
    return Check(rule, language, passed, candidate, champion, allowed)


def _mean(version: "Version", languages: list[str]) -> float:
    return sum(version.accuracy[code] for code in languages) / len(languages)


def _summary(broken: Sequence[Check], verdict: Verdict) -> str:
    """The first broken rule, how many others there are, and what fixes it."""
    more = f" (and {len(broken) - 1} more)" if broken[1:] else ""
    expectation, fix = _explain(broken[0], verdict)
    return f"{broken[0].rule}: {expectation}{more}; {fix}"


def _explain(check: Check, verdict: Verdict) -> tuple[str, str]:
    """What a broken rule expected and found, and what fixes it."""
    candidate, champion, code = verdict.candidate, verdict.champion, check.language
    if check.rule == REQUIRED:
        return (f"expected {code} among its languages, found {', '.join(candidate.languages)}",
                f"run `amtss onboard-language --lang {code}`")
    if check.rule == VALIDATION:
        return (f"expected no errors in the validation of {code}, found {candidate.errors[code]}",
                "correct the data, then run `dvc repro` and `amtss register`")
    what = "on average over its languages" if code == ALL else f"in {code}"
    if check.rule == FLOOR:
        floor, own = _floor(candidate, code), check.candidate or 0.0
        return (f"expected at least the linear floor's {floor:.2f} {what}, found {own:.2f} "
                f"({own - floor:+.2f})",
                "try what its report advises, or change promotion.floor in params.yaml")
    force = f"run `amtss promote --version {candidate.number} --force --reason TEXT`"
    if check.rule == BELOW_FLOOR:
        floor, own = _floor(candidate, ALL), check.candidate or 0.0
        return (f"expected a first champion with at least {check.least:.2f} {what}, as the linear "
                f"floor has {floor:.2f}, found {own:.2f} ({own - floor:+.2f})",
                f"try what its report advises, or {force}")
    if check.rule == ABOVE_MAJORITY:
        assert candidate.majority is not None
        return (f"expected at least {check.least:.2f} {what}, as its most frequent "
                f"label alone has {candidate.majority[code]:.2f}, found {check.candidate:.2f}",
                f"train a better student, or {force}")
    if check.rule == AGREEMENT:
        return (f"expected the student to agree with its teachers on at least "
                f"{check.least:.2f}% of the test texts of {code}, which have no labels, found "
                f"{check.candidate:.2f}",
                "distil longer, give it a labelled test, or lower promotion.min_agreement in "
                "params.yaml")
    assert champion is not None
    if check.rule == LABELS:
        others = sorted({*candidate.labels} ^ {*champion.labels})
        return (f"expected the labels of version {champion.number}, found {', '.join(others)} in "
                "only one of the two", "register a student with the same labels")
    if check.rule == TEST:
        if code not in candidate.accuracy:
            return (f"expected labels in the test of {code}, as version {champion.number} had, "
                    "found none", "give it a labelled test, then run `dvc repro` and "
                    "`amtss register`")
        return (f"expected version {champion.number} to be measured on the test rows of {code} "
                f"that this one was measured on ({candidate.test[code]}), found others "
                f"({champion.test[code]}), and artifacts/data has neither",
                "run `dvc repro` and `amtss register` again")
    return (f"expected at most {check.allowed:.2f} points below version {champion.number}'s "
            f"{check.champion:.2f} {what}, found {check.candidate:.2f} ({check.difference:+.2f})",
            f"train a better student, or raise promotion.{check.rule} in params.yaml")
