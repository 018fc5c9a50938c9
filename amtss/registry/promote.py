"""How a version becomes champion: it passes the rules, then the aliases move.

A move writes the mark, `previous` and `champion` in this order, so that the old champion serves
until the last of them; killed between two, the same command run again ends where it would have. One
lock makes the moves of one checkout wait for each other, and for `register`. Two machines that
share a registry have no lock in common: of two promotions within the same second the later one may
have been compared with a champion that was just replaced. `amtss audit` tells.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.errors import RegistryError
from amtss.evaluation import evaluate, metrics
from amtss.files import alone
from amtss.paths import Layout
from amtss.registry import versions
from amtss.registry.rules import Verdict, compare, verdict_table
from amtss.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Version
from amtss.table import rich_table


def show(verdict: Verdict) -> None:
    """Print the comparison."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(rich_table(verdict_table(verdict)))


def promote(params: Params, layout: Layout, reference: str | int = CHALLENGER,
            dry_run: bool = False, tell: Callable[[Verdict], None] = show) -> Verdict | None:
    """Make a version champion if it passes the rules; None where amtss has done so before.

    A champion that somebody else put there is held against the last one of amtss.

    Raises:
        RegistryError: there is no such version, it does not pass, or the champion has changed
            meanwhile.
    """
    with alone(layout.registry_lock):
        candidate = versions.find(params, layout, reference)
        reigning = versions.aliases(params, layout).get(CHAMPION)
        own = versions.marked(params, layout) if reigning == candidate.number else reigning
        if own == candidate.number:
            verdict = None
        else:
            verdict = _judge(params, layout, candidate, own)
            tell(verdict)
            verdict.enforce()
        if dry_run:
            return verdict
        if versions.aliases(params, layout).get(CHAMPION) != reigning:
            raise RegistryError(f"alias {CHAMPION}: expected version {reigning}, which version "
                                f"{candidate.number} was compared with, found another; run the "
                                "same command again")
        if verdict is not None:
            _move(params, layout, candidate.number, own)
        if versions.aliases(params, layout).get(CHALLENGER) == candidate.number:
            versions.point(params, layout, CHALLENGER, None)
        return verdict


def rollback(params: Params, layout: Layout) -> Version:
    """Make the previous champion champion, and the champion previous.

    Where both are one version, a move to the marked one was cut short: it is finished.

    Raises:
        RegistryError: there is none to return to.
    """
    with alone(layout.registry_lock):
        aliases = versions.aliases(params, layout)
        old, new = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if new is not None and new == old:
            new = versions.marked(params, layout)
        if new is None or new == old:
            raise RegistryError(f"{versions.name(params)}: expected an alias {PREVIOUS} to return "
                                "to, found none; name a version in `amtss promote --version`")
        returned = versions.find(params, layout, new)
        _move(params, layout, new, old)
        return returned


def _move(params: Params, layout: Layout, new: int, old: int | None) -> None:
    versions.mark(params, layout, new)
    if old is not None:
        versions.point(params, layout, PREVIOUS, old)
    versions.point(params, layout, CHAMPION, new)


def audit(params: Params, layout: Layout, tell: Callable[[Verdict], None] = show) -> Verdict:
    """Hold the champion against the one before it; one put there by hand, against amtss's own.

    Raises:
        RegistryError: there is no champion, or it does not pass.
    """
    with alone(layout.registry_lock):
        champion = versions.find(params, layout, CHAMPION)
        against = versions.aliases(params, layout).get(PREVIOUS)
        own = versions.marked(params, layout)
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
    champion = versions.find(params, layout, against)
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
        versions.fetch(params, layout, champion.number, champion.fingerprint, student)
        made = evaluate.predict_test(student, corpora)
    accuracy = {each.language: metrics.accuracy(made[each.language].argmax(axis=-1),
                                                each.label_ids("test", champion.labels))
                for each in corpora}
    return replace(champion, accuracy=champion.accuracy | accuracy,
                   test=champion.test | {code: candidate.test[code] for code in codes})
