"""How sure a classifier is: calibrated probabilities, and the confidence that an accuracy takes.

Calibration is Guo et al. (2017), On Calibration of Modern Neural Networks: logits are divided by a
temperature, fitted on validation rows. It changes no answer. No torch.

Shapes: N rows of validation, C classes.
"""

from collections.abc import Sequence
from math import ceil, exp, floor, inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amtss.logits.softmax import Array

COLDEST, HOTTEST = 0.01, 100.0
STEPS = 200
"""Steps of accuracy between 0 and 1 that `thresholds` looks at: half points."""
DOUBT = 0.1
"""How likely it may be that the accuracy of the answers above a threshold is lower than it says."""
Thresholds = Sequence[tuple[float, float]]
"""Accuracies, ascending, each with the least confidence of the answers that reach it."""


def temperature(logits: NDArray[np.floating], gold: NDArray[np.int64]) -> float:
    """The temperature at which the labels are most likely; 1 without rows.

    The loss is convex in the inverse of the temperature. A standard normal prior on its distance
    from 1 weighs as little as one row: it keeps the temperature finite where all rows are right.

    Args:
        logits: *Shape:* (N, C)
        gold: label indices. *Shape:* (N,)
    """
    scores = np.asarray(logits, dtype=np.float64)
    scores = scores - scores.max(axis=-1, keepdims=True, initial=-inf)
    right = scores[np.arange(len(gold)), gold].sum()

    def loss(log_inverse: float) -> float:
        inverse = exp(log_inverse)
        total = np.log(np.exp(inverse * scores).sum(axis=-1)).sum()
        return float(total - inverse * right + (inverse - 1.0) ** 2 / 2)

    from scipy.optimize import minimize_scalar

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded",
                           options={"xatol": 1e-6})
    return round(exp(-best.x), 4)


def thresholds(probabilities: Array, gold: NDArray[np.int64]) -> list[tuple[float, float]]:
    """For each accuracy in half points, the least confidence whose answers reach it on validation.

    What counts is not their share of right answers, which half of all new texts fall short of, but
    its lower bound (Clopper and Pearson's), so that few rows promise little. The first accuracy is
    that of all answers, with confidence 0. One that no confidence reaches is left out.

    Args:
        probabilities: calibrated. *Shape:* (N, C)
        gold: label indices. *Shape:* (N,)
    """
    from scipy.special import betaincinv

    confidence, answered, right = curve(probabilities, gold)
    accuracy = np.where(right > 0, betaincinv(np.maximum(right, 1), answered - right + 1, DOUBT), 0)
    found: list[tuple[float, float]] = []
    for step in range(STEPS + 1):
        reached = np.flatnonzero(accuracy >= step / STEPS)
        if not len(reached):
            break
        everything = reached[-1] == len(accuracy) - 1
        # Rounded down, so that the row itself is answered.
        least = 0.0 if everything else floor(confidence[reached[-1]] * 1e6) / 1e6
        found.append((step / STEPS, least))
    return found[max(0, sum(least == 0.0 for _, least in found) - 1):]


class Curve(NamedTuple):
    """The risk-coverage curve. Rows of one confidence are answered together. *Shape:* (K,) each,
    for K different confidences"""

    confidence: Array
    """The surest first."""
    answered: NDArray[np.int64]
    """How many answers are at least so sure."""
    right: NDArray[np.int64]
    """How many of these are right."""


def curve(probabilities: Array, gold: NDArray[np.int64]) -> Curve:
    """How accurate the answers are that are at least so sure; arguments as in `thresholds`."""
    right = probabilities.argmax(axis=-1) == gold
    values, place = np.unique(-probabilities.max(axis=-1), return_inverse=True)
    return Curve(-values, np.bincount(place, minlength=len(values)).cumsum(),
                 np.bincount(place[right], minlength=len(values)).cumsum())


def threshold(known: Thresholds, accuracy: float) -> float:
    """The least confidence of the answers that reach this accuracy, rounded up to half points;
    infinite if none does."""
    wanted = ceil(round(accuracy * STEPS, 6)) / STEPS
    return next((least for reached, least in known if reached >= wanted), inf)
