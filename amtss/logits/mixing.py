"""How the answers of several teachers become one distribution. No torch.

The weights are a language's column of W: at least 0, with sum 1. A teacher's log-probabilities are
its logits less a constant per example, which softmax ignores: sums of logits stand for sums of
log-probabilities here.

Shapes: T teachers, N examples, C classes, V validation examples.

To add a mixing, add a row to `MIXINGS` and its name to `Distil.mixing` in config/student.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amtss.logits.softmax import Array, softmax

Logits = NDArray[np.floating]
DEVIATION = 0.1
"""`stacked`: how far the scales of teachers lie from their weights, and the biases of classes from
0, as the standard deviation of a normal distribution that is assumed before any row is seen."""


class Validation(NamedTuple):
    """The validation rows of a language, for mixings that are fitted on them."""

    logits: Logits
    """*Shape:* (T, V, C)"""
    gold: NDArray[np.int64]
    """Label index of each row. *Shape:* (V,)"""


def arithmetic(logits: Logits, weights: Array, temperature: float) -> Array:
    """Equation 4: the weighted mean of the teachers' probabilities.

    Args:
        logits: *Shape:* (T, N, C)
        weights: *Shape:* (T,)
        temperature: softens each teacher.

    Returns: *Shape:* (N, C)
    """
    return np.tensordot(weights, softmax(logits, temperature), axes=1)


def geometric(logits: Logits, weights: Array, temperature: float) -> Array:
    """The weighted geometric mean of the teachers' probabilities, normalised: the softmax of the
    weighted sum of their log-probabilities. Arguments and result as in `arithmetic`."""
    return softmax(np.tensordot(weights, logits, axes=1), temperature)


def stacked(logits: Logits, weights: Array, temperature: float, validation: Validation) -> Array:
    """A multinomial regression on the teachers' log-probabilities, fitted on validation rows.

    Teachers of weight 0 take no part; a teacher that is alone is left as it is. Arguments and
    result as in `arithmetic`; the temperature softens the regression's answer.
    """
    members = np.flatnonzero(weights)
    if len(members) < 2:
        return geometric(logits, weights, temperature)
    scales, bias = regress(Validation(validation.logits[members], validation.gold),
                           weights[members])
    return softmax(np.tensordot(scales, logits[members], axes=1) + bias, temperature)


def regress(validation: Validation, weights: Array) -> tuple[Array, Array]:
    """The regression of `stacked`: a scale of at least 0 per teacher and a bias per class.

    It is drawn to the geometric mean (the weights as scales, no bias) by the square of its
    distance, so that few rows hardly move it. On validation its cross-entropy is at most that of
    the geometric mean, and so, with W by likelihood, at most that of any one teacher.

    Returns: *Shapes:* (T,) and (C,)
    """
    from scipy.optimize import minimize

    teachers, rows, classes = validation.logits.shape
    logits = np.asarray(validation.logits, dtype=np.float64)
    share = np.full(rows, 1.0 / rows)
    centre = np.concatenate([weights, np.zeros(classes)])
    strength = DEVIATION ** -2 / rows

    def loss(values: Array) -> tuple[float, Array]:
        scores = np.tensordot(values[:teachers], logits, axes=1) + values[teachers:]
        entropy, residual = cross_entropy(scores, validation.gold, share)
        away = values - centre
        gradient = np.concatenate([np.tensordot(logits, residual, axes=2), residual.sum(axis=0)])
        return entropy + strength * float(away @ away) / 2, gradient + strength * away

    best = minimize(loss, centre, jac=True, method="L-BFGS-B",
                    bounds=[(0.0, None)] * teachers + [(None, None)] * classes)
    return best.x[:teachers], best.x[teachers:]


def cross_entropy(scores: Array, gold: NDArray[np.int64], share: Array) -> tuple[float, Array]:
    """Mean cross-entropy of the softmax of `scores`, in nats, and its gradient.

    Args:
        scores: *Shape:* (N, C)
        share: of each example in the mean. *Shape:* (N,)

    Returns: the mean, and its derivative by `scores`. *Shape:* (N, C)
    """
    rows = np.arange(len(gold))
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponent = np.exp(shifted)
    total = exponent.sum(axis=1, keepdims=True)
    residual = exponent / total
    residual[rows, gold] -= 1.0
    return float(share @ (np.log(total[:, 0]) - shifted[rows, gold])), share[:, None] * residual


MIXINGS: dict[str, Callable[[Logits, Array, float, Validation], Array]] = {
    "arithmetic": lambda logits, weights, temperature, validation:
        arithmetic(logits, weights, temperature),
    "geometric": lambda logits, weights, temperature, validation:
        geometric(logits, weights, temperature),
    "stacked": stacked,
}
"""Mixing -> a distribution per example ((N, C)), from the teachers' logits ((T, N, C)), a
language's column of W ((T,)), the temperature, and the validation rows."""
LOG_LINEAR = frozenset({"geometric", "stacked"})
"""Mixings of log-probabilities: W by likelihood is then that of the geometric mean."""
