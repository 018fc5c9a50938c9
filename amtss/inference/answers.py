"""What is written of a prediction, wherever rows are: its fields, and the score of its label."""

from typing import Any, get_type_hints

from amtss.inference.predictor import Prediction

FIELDS: dict[str, Any] = {"label": str, "score": float} | get_type_hints(Prediction)
"""Name -> type."""


def answer(prediction: Prediction) -> dict[str, Any]:
    """The values of `FIELDS`."""
    return {name: getattr(prediction, name) for name in FIELDS}
