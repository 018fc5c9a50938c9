"""How the answers of several teachers become one distribution. No torch.

The weights are a language's column of W: at least 0, with sum 1. A teacher's log-probabilities are
its logits less a constant per example, which softmax ignores: sums of logits stand for sums of
log-probabilities here.

Shapes: T teachers, N examples, C classes.

To add a mixing, add a row to `MIXINGS` and its name to `Distil.mixing` in config/student.py.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from amtss.logits.softmax import Array, softmax

Logits = NDArray[np.floating]


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


MIXINGS: dict[str, Callable[[Logits, Array, float], Array]] = {
    "arithmetic": arithmetic,
    "geometric": geometric,
}
"""Mixing -> a distribution per example ((N, C)), from the teachers' logits ((T, N, C)), a
language's column of W ((T,)) and the temperature."""
LOG_LINEAR = frozenset({"geometric"})
"""Mixings of log-probabilities: W by likelihood is then that of the geometric mean."""
