"""The run in at most ten figures, for `dvc metrics show` and `dvc exp show`."""

from collections.abc import Mapping
from typing import Any

MODELS = {"floor": "floor", "teachers_by_W": "mixture", "x_lm_tiny": "baseline",
          "student": "student"}
"""Name of a figure -> the model in metrics.json whose average test accuracy it is."""


def summary(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Average test accuracies in percent, the student's size, and what the trainings took.

    A figure that there is not is left out: in an onboarding the baseline is a version that lacks
    languages, and without labels in test there are no accuracies.

    Args:
        metrics: what metrics.json holds.
    """
    averages = {name: metrics[model]["accuracy"].get("average")
                for name, model in MODELS.items()
                if model != "baseline" or "onboarded" not in metrics}
    figures = {name: round(value, 2) for name, value in averages.items() if value is not None}
    for other in ("floor", "x_lm_tiny"):
        if other in figures and "student" in figures:
            figures[f"student_minus_{other}"] = round(averages["student"] - averages[other], 2)
    costs = metrics["cost"]
    return figures | {
        "student_parameters": metrics["sizes"]["student"]["parameters"],
        "student_seconds": round(costs["student"]["seconds"], 1),
        "all_seconds": round(sum(cost["seconds"] for cost in costs.values()), 1)}
