"""The run in a few figures, for `dvc metrics show` and `dvc exp show`."""

from collections.abc import Mapping
from typing import Any

MODELS = {"accuracy": "student", "floor": "floor", "mixture": "mixture", "tiny": "baseline"}
"""Name of a figure -> the model in metrics.json whose average test accuracy it is. The names are
short, so that a line of a terminal has room for all, and none is a section of params.yaml."""


def summary(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Average test accuracies in percent, the student's size, and the seconds of all trainings.

    A figure that there is not is left out: in an onboarding the baseline is a version that lacks
    languages, and without labels in test there are no accuracies.

    Args:
        metrics: what metrics.json holds.
    """
    averages = {name: metrics[model]["accuracy"].get("average")
                for name, model in MODELS.items()
                if model != "baseline" or "onboarded" not in metrics}
    figures = {name: round(value, 2) for name, value in averages.items() if value is not None}
    if {"accuracy", "floor"} <= figures.keys():
        figures["vs_floor"] = round(averages["accuracy"] - averages["floor"], 2)
    return figures | {
        "parameters": metrics["sizes"]["student"]["parameters"],
        "seconds": round(sum(cost["seconds"] for cost in metrics["cost"].values()), 1)}
