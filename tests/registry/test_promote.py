import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from support.project import LENIENT, Project, run, unfolded
from support.registered import settings, version

from amtss.config import yaml
from amtss.config.params import load_params
from amtss.data import corpus
from amtss.errors import RegistryError
from amtss.evaluation import evaluate
from amtss.locks import alone
from amtss.paths import Layout
from amtss.registry import promote as promotion
from amtss.registry import register, versions
from amtss.registry.rules import Verdict
from amtss.registry.versions import Version

pytestmark = pytest.mark.slow
TODAY = f"on {datetime.now(UTC):%Y-%m-%d}"


class Store:
    """A registered model of its own in the module's MLflow store."""

    def __init__(self, layout: Layout, project: str) -> None:
        self.layout = layout
        self.params = settings(project)
        self.verdicts: list[Verdict] = []

    def add(self, made: Version, *aliases: str, source: str = "file:///nowhere") -> int:
        """Write a version as `register` does, without a student."""
        with versions.answering(self.params, self.layout) as client:
            name = versions.name(self.params)
            if not versions.models(self.params, client):
                client.create_registered_model(name)
            number = int(client.create_model_version(
                name, source, tags=versions.tags(made)).version)
        for alias in aliases:
            versions.point(self.params, self.layout, alias, number)
        return number

    def promote(self, reference: str | int = "challenger", dry_run: bool = False,
                force: str = "") -> Verdict | None:
        return promotion.promote(self.params, self.layout, reference, dry_run,
                                 self.verdicts.append, force)

    def rollback(self) -> int:
        return promotion.rollback(self.params, self.layout).number

    def audit(self) -> Verdict:
        return promotion.audit(self.params, self.layout, self.verdicts.append)

    def by_hand(self, number: int) -> None:
        versions.point(self.params, self.layout, "champion", number)

    @property
    def state(self) -> dict[str, int]:
        mark = versions.marked(self.params, self.layout)
        return versions.aliases(self.params, self.layout) | ({"mark": mark} if mark else {})


def named(request: pytest.FixtureRequest) -> str:
    """A project's name that no other test has: all share one MLflow store."""
    return re.sub(r"\W+|_", "-", f"promoting-{request.node.name.lower()}").strip("-")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(layout: Layout, request: pytest.FixtureRequest) -> Store:
    """Three versions, each better than the one before; none is promoted."""
    made = Store(layout, named(request))
    for number in (1, 2, 3):
        made.add(version(number, en=80.0 + number, fr=70.0 + number))
    versions.point(made.params, layout, "challenger", 3)
    return made


class TestPromote:
    def test_the_first(self, store: Store) -> None:
        verdict = store.promote()
        assert store.verdicts == [verdict]
        assert verdict is not None
        assert verdict.champion is None
        assert store.state == {"champion": 3, "mark": 3}

    def test_the_next(self, store: Store) -> None:
        store.promote(1)
        assert store.state == {"champion": 1, "mark": 1, "challenger": 3}
        store.promote("2")
        assert store.state == {"champion": 2, "previous": 1, "mark": 2, "challenger": 3}
        store.promote()
        assert store.state == {"champion": 3, "previous": 2, "mark": 3}

    def test_the_champion_itself(self, store: Store) -> None:
        store.promote()
        before = store.state
        assert store.promote("champion") is None
        versions.point(store.params, store.layout, "challenger", 3)
        assert store.promote(dry_run=True) is None
        assert store.state == before | {"challenger": 3}
        assert store.promote() is None
        assert store.state == before
        assert len(store.verdicts) == 1

    def test_refused(self, store: Store) -> None:
        store.promote()
        before = store.state
        with pytest.raises(RegistryError, match=r"version 1 does not pass the rules: max_average_"):
            store.promote(1)
        assert [check.rule for check in store.verdicts[-1].failed] == [
            "max_average_drop", "max_language_drop", "max_language_drop"]
        assert store.state == before

    def test_a_dry_run_moves_nothing(self, store: Store) -> None:
        store.promote(2)
        before = store.state
        verdict = store.promote(dry_run=True)
        assert verdict is not None
        assert not verdict.failed
        with pytest.raises(RegistryError, match="version 1 does not pass"):
            store.promote(1, dry_run=True)
        assert store.state == before

    def test_below_the_floor(self, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
        number = store.add(version(4, floor={"en": 89.0, "fr": 70.0}, en=85.0, fr=75.0))
        store.params = settings(store.params.project, floor="refuse")
        with pytest.raises(RegistryError, match=r"floor: expected at least the linear floor's 89\."
                                                r"00 in en, found 85\.00 \(-4\.00\); try w"):
            store.promote(number)
        assert store.state == {"challenger": 3}
        store.params = settings(store.params.project)
        promotion.promote(store.params, store.layout, number)
        assert store.state == {"champion": 4, "mark": 4, "challenger": 3}
        assert capfd.readouterr().err.startswith("amtss: warning: version 4: floor: expected at l")
        promotion.audit(store.params, store.layout)
        assert unfolded(capfd.readouterr().err).count("\n") == 1
        store.params = settings(store.params.project, floor="refuse")
        with pytest.raises(RegistryError, match=r"version 4 does not pass the rules: floor: expec"):
            store.audit()

    def test_a_version_from_before_there_was_a_floor(self, store: Store) -> None:
        number = store.add(replace(version(4, en=85.0, fr=75.0), floor=None))
        store.params = settings(store.params.project, floor="refuse")
        store.promote(number)
        assert store.state["champion"] == number
        assert "version 4 is unknown" in store.audit().notes[1]

    def test_force(self, store: Store) -> None:
        number = store.add(version(4, floor={"en": 95.0, "fr": 95.0}, majority={"en": 85.0},
                                   en=85.0, fr=75.0))
        with pytest.raises(RegistryError, match=r"min_above_majority: expected .*\(and 1 more\)"):
            store.promote(number)
        assert store.state == {"challenger": 3}
        store.promote(number, dry_run=True, force="a pilot")
        assert store.state == {"challenger": 3}
        store.promote(number, force="a pilot")
        assert store.state == {"champion": 4, "mark": 4, "challenger": 3}
        assert versions.find(store.params, store.layout, 4).decision == (
            f"--force {TODAY}: a pilot")
        assert f"whatever the rules say: --force {TODAY}: a pilot" in store.audit().notes[0]

    def test_force_is_recorded_only_where_it_was_needed(self, store: Store) -> None:
        store.promote(1, force="no need")
        assert versions.find(store.params, store.layout, 1).decision is None
        store.promote(3, force="no need")
        store.promote(1, force="3 is slow")
        assert versions.find(store.params, store.layout, 1).decision == (
            f"--force {TODAY}: 3 is slow")
        store.promote(3)
        store.promote(1, force="3 is slow")
        store.promote(3)
        store.params = settings(store.params.project, max_average_drop=9.0, max_language_drop=9.0)
        store.promote(1)
        assert versions.find(store.params, store.layout, 1).decision is None

    def test_a_champion_of_earlier_code_may_stay(self, store: Store) -> None:
        number = store.add(version(4, floor={"en": 95.0}, en=85.0, fr=75.0))
        store.params = settings(store.params.project, max_below_floor=None)
        store.promote(number)
        store.params = settings(store.params.project)
        before = store.state
        with pytest.raises(RegistryError, match=r"promote --version 4 --force --reason TEXT`$"):
            store.audit()
        store.promote(number, force="customers like it")
        assert store.state == before
        assert store.audit().failed

    def test_no_such_version(self, store: Store) -> None:
        with pytest.raises(RegistryError, match="expected alias lost, found"):
            store.promote("lost")
        with pytest.raises(RegistryError, match="expected version 9, found 1, 2, 3"):
            store.promote(9)
        assert store.state == {"challenger": 3}

    def test_a_champion_put_there_by_hand_goes_through_the_gate(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        store.by_hand(1)
        with pytest.raises(RegistryError, match="version 1 does not pass"):
            store.promote(1)
        assert store.state == {"champion": 1, "previous": 1, "mark": 2, "challenger": 3}
        store.by_hand(3)
        store.promote()
        assert store.state == {"champion": 3, "previous": 2, "mark": 3}

    def test_a_champion_that_changes_meanwhile(self, store: Store) -> None:
        store.promote(1)
        with pytest.raises(RegistryError, match=r"alias champion: expected version 1, .*run the s"):
            promotion.promote(store.params, store.layout, report=lambda verdict: store.by_hand(2))
        assert store.state == {"champion": 2, "mark": 1, "challenger": 3}


class TestRollback:
    def test_twice_is_back_again(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        assert store.rollback() == 1
        assert store.state == {"champion": 1, "previous": 2, "mark": 1, "challenger": 3}
        assert store.rollback() == 2
        assert store.state == {"champion": 2, "previous": 1, "mark": 2, "challenger": 3}

    def test_to_a_version_may_be_repeated(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        for _ in range(2):
            assert promotion.rollback(store.params, store.layout, 1).number == 1
            assert store.state == {"champion": 1, "previous": 2, "mark": 1, "challenger": 3}
        with pytest.raises(RegistryError, match=r"--to: expected version 2, .* found 3; run `amtss "
                                                r"promote --version 3`"):
            promotion.rollback(store.params, store.layout, 3)
        assert store.state["champion"] == 1

    def test_nothing_to_return_to(self, store: Store) -> None:
        for reference in (1, 2):
            before = store.state
            with pytest.raises(RegistryError, match=r"expected an alias previous to return to, fo"):
                store.rollback()
            assert store.state == before
            if reference == 1:
                store.promote(reference)


class TestAudit:
    def test_against_previous(self, store: Store) -> None:
        store.promote(1)
        assert store.audit().champion is None
        store.promote(2)
        verdict = store.audit()
        assert verdict.champion is not None
        assert (verdict.candidate.number, verdict.champion.number) == (2, 1)
        assert verdict.notes == ("Compared with the alias previous.",)

    def test_moved_by_hand(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        store.by_hand(3)
        verdict = store.audit()
        assert verdict.champion is not None
        assert (verdict.candidate.number, verdict.champion.number) == (3, 2)
        assert "moved by hand" in verdict.notes[0]
        assert "version 2, amtss's own" in verdict.notes[0]
        store.by_hand(1)
        with pytest.raises(RegistryError, match=r"version 1 does not pass the rules: max_average_dr"
                                                r"op.*version 2's 77\.00.*found 76\.00"):
            store.audit()
        assert store.verdicts[-1].failed

    def test_a_rollback_is_accepted_until_the_alias_is_moved_by_hand(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        promotion.rollback(store.params, store.layout, reason="fr was slow")
        verdict = store.audit()
        assert [check.rule for check in verdict.failed] == [
            "max_average_drop", "max_language_drop", "max_language_drop"][:len(verdict.failed)]
        assert verdict.failed
        assert f"rollback from version 2 {TODAY}: fr was slow" in verdict.notes[0]
        store.promote(3)
        assert store.audit().candidate.decision is None
        store.by_hand(1)
        with pytest.raises(RegistryError, match="version 1 does not pass the rules"):
            store.audit()

    def test_never_promoted(self, store: Store) -> None:
        with pytest.raises(RegistryError, match=r"expected alias champion, .*run `amtss promote`"):
            store.audit()
        store.by_hand(2)
        assert store.audit().champion is None
        assert "moved by hand" in store.verdicts[-1].notes[0]


class KilledError(BaseException):
    """What stands for a kill."""


def killing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """End the process's work before the write `after` + 1 in the registry."""
    left = [after]

    def deadly(write: Callable[..., None]) -> Callable[..., None]:
        def write_or_die(*arguments: Any) -> None:
            if not left[0]:
                raise KilledError("killed")
            left[0] -= 1
            write(*arguments)
        return write_or_die

    for name in ("point", "mark", "decide"):
        monkeypatch.setattr(versions, name, deadly(getattr(versions, name)))


class TestKilled:
    @pytest.mark.parametrize("after", range(5))
    def test_a_promotion(self, store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        store.promote(1)
        store.promote(2)
        with monkeypatch.context() as patch:
            killing(patch, after)
            with pytest.raises(KilledError, match="killed"):
                store.promote()
        assert store.state["champion"] == (3 if after == 4 else 2)
        store.promote()
        assert store.state == {"champion": 3, "previous": 2, "mark": 3}

    @pytest.mark.parametrize("after", range(3))
    def test_a_first_promotion(self, store: Store, monkeypatch: pytest.MonkeyPatch,
                               after: int) -> None:
        with monkeypatch.context() as patch:
            killing(patch, after)
            with pytest.raises(KilledError, match="killed"):
                store.promote()
        assert "champion" not in store.state
        with pytest.raises(RegistryError, match="found none"):
            store.rollback()
        store.promote()
        assert store.state == {"champion": 3, "mark": 3}

    @pytest.mark.parametrize("after", range(4))
    def test_a_rollback(self, store: Store, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        store.promote(1)
        store.promote(2)
        with monkeypatch.context() as patch:
            killing(patch, after)
            with pytest.raises(KilledError, match="killed"):
                store.rollback()
        assert store.state["champion"] == 2
        assert store.rollback() == 1
        assert store.state == {"champion": 1, "previous": 2, "mark": 1, "challenger": 3}
        assert store.audit().candidate.decision == f"rollback from version 2 {TODAY}"


CHILD = """
import os, signal
from pathlib import Path
from amtss.config.params import load_params
from amtss.paths import Layout
from amtss.registry import promote

promote.promote(load_params(Path("params.yaml")), Layout(), 2,
                report=lambda verdict: os.kill(os.getpid(), signal.SIGKILL))
"""


def child(store: Store, *arguments: str) -> "subprocess.Popen[str]":
    """Another process in the store's project."""
    (store.layout.root / "params.yaml").write_text(yaml.dump(
        json.loads(store.params.model_dump_json())))
    return subprocess.Popen([sys.executable, *arguments], cwd=store.layout.root, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class TestAlone:
    def test_every_move_waits(self, store: Store) -> None:
        store.promote(1)
        store.promote(2)
        for move in (store.audit, store.rollback, store.promote):
            with ThreadPoolExecutor(1) as threads:
                with alone(store.layout.registry_lock):
                    moving = threads.submit(move)
                    assert wait([moving], timeout=1).not_done
                moving.result()


class TestProcesses:
    def test_two_promotions_at_once(self, store: Store) -> None:
        store.promote(1)
        store.add(version(4, en=82.0, fr=72.0))  # passes against 1 and 2, not against 3
        both = {number: child(store, "-m", "amtss", "promote", "--version", number)
                for number in ("3", "4")}
        errors = {number: each.communicate()[1] for number, each in both.items()}
        assert both["3"].returncode == 0, errors["3"]
        if both["4"].returncode:  # it was the later one
            assert "version 4 does not pass the rules" in errors["4"]
        assert store.state == {"champion": 3, "previous": 1 if both["4"].returncode else 4,
                               "mark": 3}

    def test_the_second_is_held_against_the_first(self, store: Store) -> None:
        store.promote(1)
        store.add(version(4, en=82.0, fr=72.0))
        second: list[subprocess.Popen[str]] = []

        def start(verdict: Verdict) -> None:
            second.append(child(store, "-m", "amtss", "promote", "--version", "4"))
            with pytest.raises(subprocess.TimeoutExpired, match="timed out"):
                second[0].wait(timeout=3)

        promotion.promote(store.params, store.layout, report=start)
        assert re.search(r"^amtss: version 4 does not pass the rules: .*below version 3's 78\.00",
                         second[0].communicate()[1])
        assert second[0].returncode == 1
        assert store.state == {"champion": 3, "previous": 1, "mark": 3}

    def test_a_killed_one_holds_up_nobody(self, store: Store) -> None:
        store.promote(1)
        assert child(store, "-c", CHILD).wait() == -signal.SIGKILL
        assert store.state["champion"] == 1
        store.promote(2)
        assert store.state["champion"] == 2


@pytest.fixture
def moved(ready: Project, request: pytest.FixtureRequest) -> tuple[Store, Version]:
    """A registered champion, and new test rows in English: it has 4 of 5 right."""
    layout = Layout(ready.root)
    made = Store(layout, named(request))
    ready.params(lambda values: values.update(project=made.params.project, promotion=LENIENT))
    made.params = load_params(layout.params)
    champion, _ = register.register(made.params, layout)
    assert run("promote") == 0
    whole = corpus.load(layout, "en")
    chosen = evaluate.predict_test(layout.student, [whole])["en"].argmax(axis=-1)
    right = chosen == whole.label_ids("test", champion.labels)
    test = whole["test"].take([*np.flatnonzero(right)[:4], *np.flatnonzero(~right)[:1]])
    corpus.write(layout, "en", {split: (test if split == "test" else table).drop_columns("key")
                                for split, table in whole.splits.items()}, whole.labels)
    return made, champion


class TestOtherTestRows:
    def candidate(self, store: Store, champion: Version, accuracy: float) -> Version:
        """A version that was measured on the new rows."""
        return replace(champion, fingerprint="0", accuracy=champion.accuracy | {"en": accuracy},
                       test=champion.test | {"en": corpus.test_fingerprint(store.layout, "en")})

    def test_the_champion_is_measured_on_them(self, moved: tuple[Store, Version]) -> None:
        store, champion = moved
        assert champion.accuracy["en"] < 70
        store.add(self.candidate(store, champion, 79.8), "challenger")
        store.add(self.candidate(store, champion, 75.0), "worse")
        with pytest.raises(RegistryError, match=r"max_average_drop.*\(and 1 more\)"):
            store.promote("worse")
        verdict = store.promote()
        assert verdict is not None
        assert verdict.notes == ("Version 1 was evaluated again on the test rows of en.",)
        assert verdict.champion is not None
        assert verdict.champion.accuracy == pytest.approx(champion.accuracy | {"en": 80.0})
        assert store.state == {"champion": 2, "previous": 1, "worse": 3, "mark": 2}
        assert store.audit().notes[1] == verdict.notes[0]

    def test_neither_are_there(self, moved: tuple[Store, Version]) -> None:
        store, champion = moved
        other = replace(champion, test=champion.test | {"en": "elsewhere"})
        store.add(other, "challenger")
        with pytest.raises(RegistryError, match=r"rules: test: .*rows of en .*\(elsewhere\).*run `d"
                                                r"vc repro` and `amtss register` again"):
            store.promote()
        assert store.state == {"champion": 1, "challenger": 2, "mark": 1}


class TestCommands:
    def test_a_life(self, store: Store, monkeypatch: pytest.MonkeyPatch,
                    capfd: pytest.CaptureFixture[str]) -> None:
        monkeypatch.chdir(store.layout.root)
        child(store, "-c", "").wait()

        def printed(status: int, *arguments: str) -> str:
            assert run(*arguments) == status
            out, err = capfd.readouterr()
            assert err.count("\n") == (1 if status else 0)
            return " ".join((out + err).split())

        assert "passes; nothing changed" in printed(0, "promote", "--version", "1", "--dry-run")
        assert "expected alias champion" in printed(1, "audit")
        assert printed(0, "promote", "--version", "2").endswith("version 2 is champion now")
        assert printed(0, "promote").startswith("Version 3 against version 2")
        assert printed(0, "promote", "--version", "3") == "3 is champion already; nothing changed"
        assert "fails: max_average_drop" in printed(1, "promote", "--version", "1")
        assert printed(0, "rollback").startswith("version 2 is champion again; ")
        assert printed(0, "audit").endswith("version 2, the champion, breaks rules, as was decided")
        assert f"Version 2 became champion by decision: rollback from version 3 {TODAY}" in printed(
            0, "versions")
        assert printed(0, "rollback").startswith("version 3 is champion again; ")
        assert printed(0, "audit").endswith("version 3, the champion, passes")
        force = ("promote", "--version", "1", "--force")
        assert "--force: expected --reason TEXT with it" in printed(1, *force)
        assert "expected a reason in words, found none" in printed(1, *force, "--reason", " \n")
        assert "--reason: expected --force with it" in printed(1, "promote", "--reason", "why")
        assert printed(0, *force, "--reason", "3 is\nslow", "--dry-run").endswith(
            "version 1 breaks rules; nothing changed")
        assert printed(0, *force, "--reason", "3 is\nslow").endswith(
            "version 1 is champion now, although it breaks rules; the reason is kept")
        assert f"by decision: --force {TODAY}: 3 is slow" in printed(0, "versions")
        assert printed(0, "rollback", "--reason", "not so slow").startswith("version 3 is champion")
        assert f"rollback from version 1 {TODAY}: not so slow" in printed(0, "audit")
