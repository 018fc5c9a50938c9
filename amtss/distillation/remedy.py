"""What to change in params.yaml where a training has gone badly."""

from collections.abc import Mapping, Sequence
from typing import Any

from amtss.config.schema import Distil, Params

History = Sequence[Mapping[str, Any]]
"""The rows of a `history.jsonl`."""


def remedy(params: Params, history: History) -> str:
    """What to change in params.yaml, by how the training went."""
    settings = params.schedule
    if rose(history):
        return smaller_steps(settings)
    section = "distil" if params.onboarding is None else "continuation"
    epochs = f" (now {settings.max_epochs})" if settings.max_epochs else ""
    changes = [f"raise {section}.max_epochs{epochs} or {section}.learning_rate (now "
               f"{settings.learning_rate:g})"]
    if params.student.start == "random" and params.student.architecture.layers:
        changes.append("set student.architecture.layers: 0, for which few rows are enough")
    return ", or ".join([*changes, "give it more labelled rows"])


def smaller_steps(settings: Distil) -> str:
    """What to change where the steps of the optimiser were too large."""
    half = ("" if settings.precision == "fp32" else
            f", or set distil.precision: fp32 (now {settings.precision})")
    return (f"lower distil.learning_rate, in an onboarding continuation.learning_rate (now "
            f"{settings.learning_rate:g}){half}")


def rose(history: History) -> bool:
    """Whether the training went backwards: its loss is higher in the end than after the first
    epoch, and no epoch was better on validation rows than the first. The loss alone may rise since
    later epochs train on the hardest languages only."""
    first, *later = history
    return bool(later) and later[-1]["loss"] > first["loss"] and (
        max(epoch["average"] for epoch in later) <= first["average"])
