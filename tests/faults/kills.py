"""Kills: at a random moment of every stage, and of what changes the registry. The same command is
then run again, and must end as if nothing had happened."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amtss.config import yaml
from faults.lab import Lab, differing, wait_until

KILLS = {"SIGKILL to all": (signal.SIGKILL, ""), "SIGKILL to amtss": (signal.SIGKILL, "amtss"),
         "SIGKILL to dvc": (signal.SIGKILL, "dvc"), "SIGINT to all": (signal.SIGINT, ""),
         "SIGTERM to all": (signal.SIGTERM, "")}
"""Name -> the signal, and the program that it is sent to."""
ONBOARD = ("amtss", "onboard-language", "--lang", "es", "--teacher", "linear")


def repro(lab: Lab, stages: list[str], kinds: list[str]) -> None:
    """Kill `dvc repro` in each of `stages`; the ways take turns."""
    lab.restore("finished")
    expected, seconds = lab.results(), dict.fromkeys(stages, 3.0)
    for turn in range(len(kinds)):
        for number, stage in enumerate(stages):
            kind = kinds[(turn + number) % len(kinds)]
            lab.restore("finished")
            _forget(lab.root, stage)
            process = lab.start("dvc", "repro", "--no-run-cache", stage)
            if not wait_until(lambda: any(lab.processes("amtss"))):
                lab.note("kill", stage, kind, "", "the stage has not begun")
                continue
            time.sleep(lab.draw.uniform(0, 0.5 * seconds[stage]))
            hit = lab.signal(*KILLS[kind])
            orphaned = kind == "SIGKILL to dvc"  # the stage goes on beside the repetition
            killed = None if orphaned else lab.end(process)
            began = time.monotonic()
            again = lab.run("dvc", "repro", "--no-run-cache")
            seconds[stage] = time.monotonic() - began
            wrong = ((killed or lab.end(process)).mistake * kind.startswith("SIGINT")
                     or again.failure or differing(expected, lab.results()) or lab.damage())
            _count(lab, stage, kind, hit, wrong)


def _forget(root: Path, stage: str) -> None:
    """Make a stage one that has never run: neither dvc.lock nor the workspace knows it."""
    lock = yaml.load((root / "dvc.lock").read_text(encoding="utf-8"))
    for out in lock["stages"].pop(stage)["outs"]:
        path = root / out["path"]
        if path.is_dir():
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            path.rmdir()
        else:
            path.unlink()
    (root / "dvc.lock").write_text(yaml.dump(lock), encoding="utf-8")


def _count(lab: Lab, target: str, kind: str, hit: int, wrong: str) -> None:
    lab.note("kill", target, kind, "survived" if hit else "came too late", wrong)


@dataclass(frozen=True)
class Change:
    """A command that changes the registry."""

    state: str
    """That it begins with."""
    command: tuple[str, ...]
    """Also its repetition: a second `rollback` without --to would go forward."""


CHANGES = {
    "register": Change("finished", ("amtss", "register")),
    "promote": Change("candidate", ("amtss", "promote")),
    "rollback": Change("promoted", ("amtss", "rollback", "--to", "1")),
    "onboard-language": Change("promoted", ONBOARD)}


def lifecycle(lab: Lab, names: list[str], kinds: list[str], rounds: int) -> None:
    """Kill each command `rounds` times in each way, at moments spread over all of its time."""
    undisturbed = {}
    for name in names:
        lab.restore(CHANGES[name].state)
        began = time.monotonic()
        lab.must(*CHANGES[name].command)
        undisturbed[name] = time.monotonic() - began, state(lab)
    moments = [part / (rounds * len(kinds)) for part in range(rounds * len(kinds))]
    lab.draw.shuffle(moments)
    for number, moment in enumerate(moments):
        for name in names:
            kind, change = kinds[number % len(kinds)], CHANGES[name]
            seconds, expected = undisturbed[name]
            lab.restore(change.state)
            process = lab.start(*change.command)
            time.sleep(seconds * (moment + lab.draw.random() / len(moments)))
            hit = lab.signal(*KILLS[kind])
            orphaned = kind == "SIGKILL to dvc"
            killed = None if orphaned else lab.end(process)
            again = lab.run(*change.command)
            if again.status and "alias challenger" in again.err and name == "promote":
                again = lab.run("amtss", "promote", "--version", "2")  # it had been promoted
            wrong = ((killed or lab.end(process)).mistake * kind.startswith("SIGINT")
                     or again.failure or lab.damage() or unlike(expected, state(lab)))
            _count(lab, name, kind, hit, wrong)


def state(lab: Lab) -> dict[str, Any]:
    """What a change of the registry leaves behind."""
    files = lab.results()
    return lab.registry() | {"student": files["artifacts/student/model.safetensors"],
                             "metrics": files["artifacts/metrics.json"],
                             "params": (lab.root / "params.yaml").read_bytes(),
                             "left": _left(lab.root)}


def unlike(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """The first thing in which two states differ, in words."""
    return next((f"{key}: {str(found[key])[-200:]}" for key in expected
                 if found[key] != expected[key]), "")


def _left(root: Path) -> list[str]:
    """Temporary files and folders that are still there."""
    return [path.name for path in (root / "artifacts").glob(".*-????????")]


def all_stages(lab: Lab) -> Iterator[str]:
    """Names of the stages, in the order in which they run."""
    lock = yaml.load((lab.saved / "finished" / "dvc.lock").read_text(encoding="utf-8"))
    yield from lock["stages"]
