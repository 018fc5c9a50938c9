"""How the campaign of docs/reliability.md judges and counts; the campaign itself takes too long."""

import pytest
from faults import __main__ as campaign
from faults.__main__ import PARTS, tables
from faults.lab import Outcome, Try


@pytest.mark.parametrize(("outcome", "mistake"), [
    (Outcome(0, "done", "amtss: warning: slow"), ""),
    (Outcome(1, "", "amtss: warning: slow\namtss: x: expected 1, found 2; fix it\n"), ""),
    (Outcome(255, "", "amtss: x: expected 1\nERROR: failed to reproduce 'x'"), ""),
    (Outcome(255, "", "ERROR: Unable to acquire lock"), ""),
    (Outcome(1, "", "amtss: one\namtss: two"), "status 1 and 2 lines"),
    (Outcome(1, "", ""), "status 1 and 0 lines"),
    (Outcome(0, "", "Traceback (most recent call last)\nKeyError: 1"), "traceback: KeyError: 1"),
    (Outcome(130, "", ""), ""), (Outcome(124, "", ""), "hangs")])
def test_a_command_may_fail_in_one_line(outcome: Outcome, mistake: str) -> None:
    assert outcome.mistake.startswith(mistake)
    assert bool(outcome.mistake) == bool(mistake)


def test_the_tables_count_tries_by_what_they_hit() -> None:
    written = tables([Try("kill", "gate", "SIGKILL", "survived", True),
                      Try("kill", "gate", "SIGINT", "survived", True),
                      Try("kill", "distil", "SIGINT", "traceback: x", False)])
    assert "| gate | 2 | 2 | – |" in written
    assert "| distil | 1 | – | 1 |" in written
    assert "| all | 3 | 2 | 1 |" in written
    assert "- distil, SIGINT: traceback: x" in written


def test_the_page_tells_of_every_part() -> None:
    assert all(name in str(campaign.__doc__) for name in PARTS)
