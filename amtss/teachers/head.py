"""A linear classifier's last step: features to calibrated log-probabilities.

Shapes: N rows, F features, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """Weights of a calibrated linear classifier. Immutable, and safe to use from many threads."""

    weights: NDArray[np.float32]
    """The calibration's scale is part of them. *Shape:* (C, F)"""
    bias: NDArray[np.float32]
    """*Shape:* (C,)"""
    seen: NDArray[np.bool_]
    """Which classes the training rows had. *Shape:* (C,)"""
    unseen_probability: float
    """Probability of each class that they had not."""

    @property
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """What is kept of it as tensors."""
        return {"weights": self.weights, "bias": self.bias}

    @property
    def about(self) -> dict[str, Any]:
        """What is kept of it as JSON."""
        return {"seen": self.seen.tolist(), "unseen_probability": self.unseen_probability}

    @property
    def parameters(self) -> int:
        """How many numbers it has learnt."""
        return int(self.weights.size + self.bias.size)

    def log_probabilities(self, features: Any) -> NDArray[np.float32]:
        """Calibrated log-probabilities of every class. *Shape:* (N, C)

        Args:
            features: an array or a sparse matrix. *Shape:* (N, F)
        """
        scores = features @ self.weights.T + self.bias
        return _log_probabilities(scores, self.seen, self.unseen_probability).astype(np.float32)


def restored(tensors: Mapping[str, NDArray[np.float32]], about: Mapping[str, Any]) -> Head:
    """The head that was kept as these `tensors` and `about`.

    Raises:
        KeyError, TypeError, ValueError: they are not what a head keeps.
    """
    check_finite(tensors)
    return Head(tensors["weights"], tensors["bias"], np.array(about["seen"], dtype=np.bool_),
                float(about["unseen_probability"]))


def check_finite(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Check that all numbers of a model are finite.

    Raises:
        ValueError: one is NaN or infinite.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"NaN or infinite numbers in {name}")


def calibrated(model: Any, classes: int, rows: int, held_out: Any,
               held_out_labels: NDArray[np.int64]) -> Head:
    """`model` with probabilities that fit held-out rows.

    Args:
        model: a fitted linear classifier of scikit-learn.
        classes: how many classes there are, with those that its training rows did not have.
        rows: how many training rows it had.
        held_out: features of validation rows.
    """
    weights, bias = np.zeros((classes, model.coef_.shape[1])), np.zeros(classes)
    if len(model.classes_) == 2:  # scikit-learn keeps the second class's side alone
        weights[model.classes_] = np.concatenate([-model.coef_, model.coef_])
        bias[model.classes_] = np.concatenate([-model.intercept_, model.intercept_])
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    seen = np.isin(np.arange(classes), model.classes_)
    known = seen[held_out_labels]
    scale = _calibrate((held_out[known] @ weights.T + bias)[:, seen],
                       np.cumsum(seen)[held_out_labels[known]] - 1)
    return Head((scale * weights).astype(np.float32), (scale * bias).astype(np.float32), seen,
                1.0 / (rows + classes))


def certain(label: int, classes: int, rows: int, features: int) -> Head:
    """A classifier of training rows that all have one label."""
    return Head(np.zeros((classes, features), dtype=np.float32),
                np.zeros(classes, dtype=np.float32), np.arange(classes) == label,
                1.0 / (rows + classes))


def measure(log_probabilities: NDArray[np.float32],
            labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy in points, and cross-entropy in nats.

    Args:
        log_probabilities: *Shape:* (N, C)
        labels: *Shape:* (N,)
    """
    right = log_probabilities.argmax(axis=1) == labels
    of_labels = log_probabilities[np.arange(len(labels)), labels]
    return {"accuracy": 100.0 * float(right.mean()),
            "loss": -float(of_labels.mean(dtype=np.float64))}


def _calibrate(scores: Array, labels: NDArray[np.int64]) -> float:
    """The factor of `scores` that makes the labels likeliest (temperature scaling, Guo 2017); 1
    where there are no labels."""
    if not len(labels):
        return 1.0
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def loss(log_scale: float) -> float:
        return -float(_log_softmax(np.exp(log_scale) * scores)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 5.0), method="bounded").x))


def _log_probabilities(scores: Array, seen: NDArray[np.bool_], unseen_probability: float) -> Array:
    """Classes without a training row share a small probability, the others the rest by softmax."""
    result = np.full(scores.shape, np.log(unseen_probability))
    rest = np.log1p(-unseen_probability * (~seen).sum())
    result[:, seen] = _log_softmax(scores[:, seen]) + rest
    return result


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
