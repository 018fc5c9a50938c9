"""The teachers' importance weights W of Equation 4, and the strategies that find them. No torch.

Shapes: T teachers, L languages, N examples of one language. W has a column per language, which sums
to 1. It is fitted on validation rows only: the teachers have seen the training rows. A language
whose validation has no labels has equal weights: in the others' columns a teacher that is
fine-tuned on them counts for more than it is worth in a language that it has not seen.

To add a strategy, add a row to `STRATEGIES` and its name to `Distil.weights` in config/student.py.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from amtss.logits.mixing import LOG_LINEAR
from amtss.logits.pool import LanguagePool, Pool, Weights
from amtss.logits.softmax import Array

TOLERANCE = 1e-7
"""EM stops when no weight moves by more than this."""
MAX_STEPS = 1000


def own(taught: Array, accuracy: Array) -> Array:
    """One teacher per language: of those fine-tuned on it the one with the fewest languages, else
    any; the most accurate where there are several.

    Args:
        taught: how many languages each teacher was fine-tuned on, 0 where this language is not
            among them. *Shape:* (T,)
        accuracy: on this language's validation rows. *Shape:* (T,)

    Returns: a column of W. *Shape:* (T,)
    """
    few = np.where(taught > 0, -taught, -np.inf)
    best = max(range(len(taught)), key=lambda t: (few[t], accuracy[t]))
    return np.asarray(np.eye(len(taught))[best])


def uniform(teachers: int) -> Array:
    """The same weight for every teacher. *Shape:* (T,)"""
    return np.full(teachers, 1.0 / teachers)


def likelihood(gold: Array, examples: Array | None = None) -> Array:
    """The weights under which the arithmetic mixture makes the gold labels likeliest, by EM.

    The problem is convex, so the result does not depend on where EM starts.

    Args:
        gold: each teacher's probability of each example's gold label. *Shape:* (T, N)
        examples: non-negative weight of each example; None for 1. *Shape:* (N,)

    Returns: a column of W. *Shape:* (T,)
    """
    gold = np.maximum(gold, np.finfo(np.float64).tiny)
    share = _shares(gold.shape[1], examples)
    weights = uniform(len(gold))
    for _ in range(MAX_STEPS):
        joint = weights[:, None] * gold
        updated = (joint / joint.sum(axis=0)) @ share
        updated /= updated.sum()
        change = np.abs(updated - weights).max()
        weights = updated
        if change < TOLERANCE:
            break
    return weights


def log_linear(logits: NDArray[np.floating], gold: NDArray[np.int64],
               examples: Array | None = None) -> Array:
    """The weights under which the geometric mixture makes the gold labels likeliest.

    The problem is convex (log-linear pooling on the simplex); solved by sequential quadratic
    programming from equal weights.

    Args:
        logits: of each teacher. *Shape:* (T, N, C)
        gold: label index of each example. *Shape:* (N,)
        examples: as in `likelihood`.

    Returns: a column of W. *Shape:* (T,)
    """
    from scipy.optimize import minimize

    teachers, values = len(logits), np.asarray(logits, dtype=np.float64)
    share = _shares(len(gold), examples)

    def loss(weights: Array) -> tuple[float, Array]:
        entropy, residual = _cross_entropy(np.tensordot(weights, values, axes=1), gold, share)
        return entropy, np.tensordot(values, residual, axes=2)

    best = minimize(loss, uniform(teachers), jac=True, method="SLSQP",
                    bounds=[(0.0, 1.0)] * teachers, options={"ftol": 1e-10, "maxiter": MAX_STEPS},
                    constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1.0,
                                 "jac": np.ones_like})
    weights = np.maximum(best.x, 0.0)
    return np.asarray(weights / weights.sum())


def _cross_entropy(scores: Array, gold: NDArray[np.int64], share: Array) -> tuple[float, Array]:
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


def _shares(count: int, examples: Array | None) -> Array:
    """Weights of examples, scaled to sum 1; equal ones where there are none or all are 0."""
    weights = np.ones(count) if examples is None else np.asarray(examples, dtype=np.float64)
    return weights / weights.sum() if weights.sum() > 0 else np.full(count, 1.0 / count)


def _likeliest(teachers: LanguagePool, examples: Array | None) -> Array:
    """The weights that maximise the likelihood of validation labels under the pool's mixing."""
    if teachers.mixing in LOG_LINEAR:
        return log_linear(teachers.logits["validation"], teachers.gold, examples)
    return likelihood(teachers.gold_probabilities(), examples)


STRATEGIES: dict[str, Callable[[LanguagePool, Array | None], Array]] = {
    "own": lambda teachers, losses: own(np.array(teachers.taught), teachers.accuracy()),
    "uniform": lambda teachers, losses: uniform(len(teachers.teachers)),
    "likelihood": lambda teachers, losses: _likeliest(teachers, None),
    "boosted": _likeliest,
}
"""Strategy -> a language's column of W ((T,)) from its teachers and the student's losses.

The losses are the student's cross-entropy on each validation example ((N,), nats); None before the
first epoch.
"""
BY_LOSSES = frozenset({"boosted"})
"""Strategies that use the student's losses, so that W is fitted again after every epoch."""


def fit(teachers: Pool, strategy: str, losses: Mapping[str, Array] | None = None) -> Weights:
    """W of Equation 4 by one of the `STRATEGIES`.

    Args:
        losses: language -> the student's losses; None before the first epoch.
    """
    weights = {}
    for language, members in teachers.items():
        find = STRATEGIES[strategy if members.labelled else "uniform"]
        column = find(members, losses[language] if losses else None)
        weights[language] = dict(zip(members.teachers, column.tolist(), strict=True))
    return weights


def update(weights: Weights, teachers: Pool, strategy: str,
           losses: Mapping[str, Array]) -> Weights:
    """Line 6 of Algorithm 1: W after an epoch; a strategy that ignores the losses keeps it."""
    return fit(teachers, strategy, losses) if strategy in BY_LOSSES else weights
