"""How far a project is: its stages, its champion and challenger, and what to do next."""

from collections.abc import Mapping
from typing import Literal

from amtss import dvc_status, records
from amtss.config import yaml
from amtss.config.schema import Params
from amtss.files import read_text
from amtss.paths import Layout
from amtss.registry.versions import CHALLENGER, CHAMPION, Version
from amtss.table import Table

State = Literal["done", "stale", "never run", "not here"]
"""Of a stage. `not here`: it has run, but its results are not in this folder."""
States = Mapping[str, State]
"""Name of a stage, such as teach@words -> its state."""


def states(params: Params, layout: Layout) -> dict[str, State]:
    """The state of every stage of dvc.yaml, in its order.

    A stage that follows a stale one counts as done as long as DVC has not run the stale one.

    Raises:
        AmtssError: there is no dvc.yaml, or DVC does not answer, as while `dvc repro` is running.
    """
    names = _names(params, layout)
    lock = layout.root / "dvc.lock"
    locked = yaml.load(read_text(lock, "dvc repro"), str(lock)) if lock.is_file() else {}
    ran = locked.get("stages", {})
    differences = dvc_status.status(layout.root) if ran else {}

    def state(name: str) -> State:
        if name not in ran:
            return "never run"
        if any(dvc_status.changes(differences.get(name, []))):
            return "stale"
        return "not here" if any("changed outs" in part for part in differences.get(name, [])
                                 if isinstance(part, dict)) else "done"

    return {name: state(name) for name in names}


def _names(params: Params, layout: Layout) -> list[str]:
    """The stages of dvc.yaml; of one for each language or teacher, all of them."""
    text = read_text(layout.root / "dvc.yaml", "git checkout dvc.yaml")
    names = []
    for name, stage in yaml.load(text, "dvc.yaml")["stages"].items():
        section = stage.get("foreach", "").strip("${}")  # ${languages} or ${teachers}
        names += [f"{name}@{key}" for key in getattr(params, section)] if section else [name]
    return names


def stage_table(states: States) -> Table:
    """A row for each stage; of one for each language or teacher, those that are not done."""
    rows: dict[str, list[str]] = {}
    for name in states:
        rows.setdefault(name.partition("@")[0], []).append(name)
    return Table("", ("Stage", "State"), tuple((stage, _state(states, names))
                                               for stage, names in rows.items()))


def _state(states: States, names: list[str]) -> str:
    by_state: dict[State, list[str]] = {}
    for name in names:
        by_state.setdefault(states[name], []).append(name.partition("@")[2])
    if len(by_state) == 1:
        return next(iter(by_state))
    done = len(by_state.pop("done", []))
    return "; ".join([f"{done} of {len(names)} done",
                      *(f"{state}: {', '.join(keys)}" for state, keys in by_state.items())])


def student(layout: Layout) -> records.Metrics | None:
    """The figures of the student in this folder; None if it has none."""
    return records.metrics(layout) if layout.metrics.is_file() else None


def student_line(metrics: records.Metrics | None, versions: list[Version]) -> str:
    """The student in this folder, in a sentence."""
    if metrics is None:
        return "The student in this folder has not been evaluated."
    number = _number(metrics, versions)
    known = "not registered" if number is None else f"version {number}"
    average, floor = (metrics[model]["accuracy"]["average"] for model in ("student", "floor"))
    return (f"The student in this folder: {average:.2f} points of test accuracy on average, linear "
            f"floor {floor:.2f}; {known}.")


def _number(metrics: records.Metrics, versions: list[Version]) -> int | None:
    """The newest version of the student that was measured."""
    return next((version.number for version in reversed(versions)
                 if version.fingerprint == metrics["measured"]["student"]), None)


def next_step(states: States, metrics: records.Metrics | None, versions: list[Version]) -> str:
    """What to do next, in a sentence."""
    found = [*states.values()]
    if to_run := found.count("stale") + found.count("never run"):
        return (f"Next: `dvc repro`, as {to_run} of {len(states)} stages are stale or have never "
                "run.")
    if "not here" in found or metrics is None:
        return "Next: `dvc checkout`, or `dvc pull`, as results of some stages are not here."
    number = _number(metrics, versions)
    aliases = {alias: version.number for version in versions for alias in version.aliases}
    if number is None:
        return "Next: `amtss register`, which makes the student a version, the challenger."
    if number == aliases.get(CHAMPION):
        return ("Nothing to do: the champion is the student in this folder. A language more: "
                "`amtss onboard-language --lang CODE`.")
    if number == aliases.get(CHALLENGER):
        return "Next: `amtss promote`, which makes the challenger champion if no rule is broken."
    return "Next: `amtss register`, which makes this version the challenger again."

