"""How a version becomes champion: it passes the rules, or somebody decides so; then aliases move.

A move writes four things in this order: the decision, where it was not the rules', the mark (which
version amtss made champion), the alias `previous`, and the alias `champion`. So the old champion
serves until the last write, and after a kill in between, the same command finishes the move. Within
a checkout, moves and `register` wait for each other by a lock. Two machines that share a registry
have no common lock: if both promote within the same second, the later version may have been
compared with a champion that was just replaced. `amtss audit` finds that.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from amtss import processes, table
from amtss.config.schema import Params
from amtss.data import corpus
from amtss.errors import RegistryError
from amtss.evaluation import evaluate, metrics
from amtss.locks import alone
from amtss.paths import Layout
from amtss.registry import comparison, versions
from amtss.registry.rules import Verdict, compare
from amtss.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Version
from amtss.temporary import temporary_folder


def show(verdict: Verdict) -> None:
    """Print the comparison, and a warning if a rule that only warns is broken."""
    table.show(comparison.table(verdict))
    if verdict.warning:
        processes.warn(verdict.warning)


def promote(params: Params, layout: Layout, reference: str | int = CHALLENGER,
            dry_run: bool = False, report: Callable[[Verdict], None] = show,
            force: str = "") -> Verdict | None:
    """Make a version champion if it passes the rules.

    A version that somebody else has made champion is compared with the last champion of amtss.

    Args:
        force: a reason to make it champion even if it does not pass. It is recorded if it was
            needed, also of a version that is champion already and would not pass today.

    Returns: the verdict, or None if amtss has made this version champion before.

    Raises:
        RegistryError: there is no such version, it does not pass, or the champion has changed in
            the meantime.
    """
    with alone(layout.registry_lock):
        candidate = versions.find(params, layout, reference)
        reigning = versions.aliases(params, layout).get(CHAMPION)
        own = versions.marked(params, layout) if reigning == candidate.number else reigning
        settled = own == candidate.number
        verdict = None
        if force or not settled:
            verdict = _judge(params, layout, candidate,
                             versions.aliases(params, layout).get(PREVIOUS) if settled else own)
            report(verdict)
            if not force:
                verdict.enforce()
        if dry_run:
            return verdict
        if versions.aliases(params, layout).get(CHAMPION) != reigning:
            raise RegistryError(f"alias {CHAMPION}: expected version {reigning}, which version "
                                f"{candidate.number} was compared with, found another; run the "
                                "same command again")
        if verdict is not None:
            versions.decide(params, layout, candidate,
                            _decision("--force", force) if verdict.failed else None)
        if not settled:
            _move(params, layout, candidate.number, own)
        if versions.aliases(params, layout).get(CHALLENGER) == candidate.number:
            versions.point(params, layout, CHALLENGER, None)
        return verdict


def rollback(params: Params, layout: Layout, to: int | None = None, reason: str = "") -> Version:
    """Exchange the aliases champion and previous, and record that somebody decided so.

    If both point to one version, a move was interrupted; it is finished instead.

    Args:
        to: the version that shall be champion: with it, a repetition changes nothing.
        reason: recorded too, if there is one.

    Raises:
        RegistryError: there is no previous champion, or it is another than `to`.
    """
    with alone(layout.registry_lock):
        aliases = versions.aliases(params, layout)
        old, new = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if to is not None and to == old:
            return versions.find(params, layout, to)
        if interrupted := new is not None and new == old:
            new = versions.marked(params, layout)
        if new is None or new == old:
            raise RegistryError(f"{versions.name(params)}: expected an alias {PREVIOUS} to return "
                                "to, found none; name a version in `amtss promote --version`")
        if to not in (None, new):
            raise RegistryError(f"--to: expected version {new}, the previous champion, found {to}; "
                                f"run `amtss promote --version {to}`, which compares it first")
        version = versions.find(params, layout, new)
        if not interrupted:  # else its decision has been recorded
            versions.decide(params, layout, version,
                            _decision(f"rollback from version {old}", reason))
        _move(params, layout, new, old)
        return version


def _decision(what: str, reason: str) -> str:
    """In words: what was decided, on which day in UTC, and why."""
    return f"{what} on {datetime.now(UTC):%Y-%m-%d}" + (f": {reason}" if reason else "")


def _move(params: Params, layout: Layout, new: int, old: int | None) -> None:
    versions.mark(params, layout, new)
    if old is not None:
        versions.point(params, layout, PREVIOUS, old)
    versions.point(params, layout, CHAMPION, new)


def audit(params: Params, layout: Layout, report: Callable[[Verdict], None] = show) -> Verdict:
    """Compare the champion with the previous one, or, if its alias was moved by hand, with the last
    champion of amtss. One that became champion by a decision need not pass.

    Raises:
        RegistryError: there is no champion, or it does not pass and nobody has decided so.
    """
    with alone(layout.registry_lock):
        champion = versions.find(params, layout, CHAMPION)
        against = versions.aliases(params, layout).get(PREVIOUS)
        own = versions.marked(params, layout)
        note = (f"Compared with the alias {PREVIOUS}." if against else
                f"There is no alias {PREVIOUS}.")
        decision = champion.decision if own == champion.number else None
        if decision:
            note += (" It became champion by decision, whatever the rules say: "
                     f"{table.one_line(decision)}")
        if own != champion.number:
            note = f"The alias {CHAMPION} was moved by hand, or a move was interrupted."
            if own is not None:
                against = own
                note += f" Compared with version {own}, amtss's own last champion."
        verdict = _judge(params, layout, champion,
                         against if against != champion.number else None)
        verdict = replace(verdict, notes=(note, *verdict.notes))
        report(verdict)
        if not decision:
            verdict.enforce()
        return verdict


def _judge(params: Params, layout: Layout, candidate: Version, against: int | None) -> Verdict:
    if against is None:
        return compare(candidate, None, params)
    champion = versions.find(params, layout, against)
    measured = _measured(params, layout, champion, candidate)
    again = [code for code in champion.languages if measured.test[code] != champion.test[code]]
    verdict = compare(candidate, measured, params)
    note = f"Version {against} was evaluated again on the test rows of {', '.join(again)}."
    return replace(verdict, notes=(note, *verdict.notes)) if again else verdict


def _measured(params: Params, layout: Layout, champion: Version, candidate: Version) -> Version:
    """`champion`, evaluated again on the candidate's test rows where these have changed and
    artifacts/data holds them."""
    codes = [code for code in champion.accuracy if code in candidate.accuracy
             and candidate.test[code] != champion.test[code]
             and candidate.test[code] == corpus.test_fingerprint(layout, code)]
    if not codes or {*champion.labels} != {*candidate.labels}:
        return champion
    corpora = [corpus.load(layout, code) for code in codes]
    with temporary_folder(layout.artifacts, "promote") as folder:
        student = folder / "student"
        versions.fetch(params, layout, champion.number, champion.fingerprint, student)
        probabilities = evaluate.predict_test(student, corpora)
    accuracy = {test.language: metrics.accuracy(probabilities[test.language].argmax(axis=-1),
                                                test.label_ids("test", champion.labels))
                for test in corpora}
    return replace(champion, accuracy=champion.accuracy | accuracy,
                   test=champion.test | {code: candidate.test[code] for code in codes})
