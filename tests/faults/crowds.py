"""Two at once: the same command twice, or two that write the same things. One waits, or is refused
in one line; the results are those of one after the other."""

import time

from faults.kills import ONBOARD, state, unlike
from faults.lab import Lab, differing

STAGES = ("data en", "gate", "teach multilingual", "teach linear", "score multilingual", "start",
          "distil", "baseline", "evaluate", "report")
CHANGES = (
    ("finished", ("amtss", "register"), ("amtss", "register")),
    ("candidate", ("amtss", "promote"), ("amtss", "promote")),
    ("candidate", ("amtss", "promote"), ("amtss", "register")),
    ("promoted", ("amtss", "rollback", "--to", "1"), ("amtss", "rollback", "--to", "1")))


def stages(lab: Lab, rounds: int) -> None:
    """A stage twice at once, the second one some moments later."""
    lab.restore("finished")
    expected = lab.results()
    for command in STAGES:
        for _ in range(rounds):
            lab.restore("finished")
            words = ("amtss", *command.split())
            how, wrong = _at_once(lab, words, words)
            wrong = wrong or differing(expected, lab.results()) or lab.damage()
            lab.note("two at once", f"amtss {command}", "itself", how, wrong)


def repro(lab: Lab, rounds: int) -> None:
    """`dvc repro` of everything twice at once, and beside a stage that is run by hand."""
    lab.restore("finished")
    expected = lab.results()
    for beside in [("dvc", "repro"), ("amtss", "distil"), ("amtss", "teach", "multilingual")]:
        for _ in range(rounds):
            lab.restore("finished")
            command = ("dvc", "repro", "--force", "--downstream", "teach@multilingual")
            how, wrong = _at_once(lab, command, beside)
            again = lab.run("dvc", "repro")
            wrong = (wrong or again.failure or differing(expected, lab.results()) or lab.damage())
            lab.note("two at once", "dvc repro", " ".join(beside), how, wrong)


def changes(lab: Lab, rounds: int) -> None:
    """Two changes of the registry at once."""
    for name, first, second in CHANGES:
        lab.restore(name)
        lab.must(*first)
        expected = state(lab)
        for _ in range(rounds):
            lab.restore(name)
            how, wrong = _at_once(lab, first, second)
            wrong = wrong or unlike(expected, state(lab))
            lab.note("two at once", " ".join(first), " ".join(second), how, wrong)


def onboarding(lab: Lab) -> None:
    """Two onboardings of the same language at once."""
    lab.restore("promoted")
    lab.must(*ONBOARD)
    expected = state(lab)
    lab.restore("promoted")
    how, wrong = _at_once(lab, ONBOARD, ONBOARD)
    again = lab.run(*ONBOARD)
    # The version that is champion by then serves the language, and the command may say so.
    wrong = wrong or again.mistake or unlike(expected, state(lab))
    lab.note("two at once", " ".join(ONBOARD), "itself", how, wrong)


def _at_once(lab: Lab, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, str]:
    """How two commands that run at once end, and what is wrong with that."""
    processes = [lab.start(*first)]
    time.sleep(lab.draw.uniform(0, 0.5))
    processes.append(lab.start(*second))
    outcomes = [lab.end(process) for process in processes]
    wrong = next((outcome.mistake for outcome in outcomes if outcome.mistake), "")
    refused = sum(outcome.status != 0 for outcome in outcomes)
    if not wrong and refused == 2:
        wrong = f"both fail: {outcomes[0].err.strip()[-100:]} {outcomes[1].err.strip()[-100:]}"
    return "one is refused" if refused else "both end well", wrong
