"""The teachers' importance weights W of Equation 4, and the strategies that find them. No torch.

Shapes: T teachers, L languages, N examples of one language. W has a column per language, which sums
to 1. It is fitted on validation rows only: the teachers have seen the training rows.

To add a strategy, add a row to `STRATEGIES` and its name to `Distil.weights` in config/schema.py.
"""

from collections.abc import Callable, Mapping

import numpy as np

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
    """The mixture weights that maximise the (weighted) likelihood of the gold labels, by EM.

    The problem is convex, so the result does not depend on where EM starts.

    Args:
        gold: each teacher's probability of each example's gold label. *Shape:* (T, N)
        examples: non-negative weight of each example; None for 1. *Shape:* (N,)

    Returns: a column of W. *Shape:* (T,)
    """
    gold = np.maximum(gold, np.finfo(np.float64).tiny)
    share = np.ones(gold.shape[1]) if examples is None else np.asarray(examples, dtype=np.float64)
    share = share / share.sum() if share.sum() > 0 else np.full(len(share), 1.0 / len(share))
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


STRATEGIES: dict[str, Callable[[LanguagePool, Array | None], Array]] = {
    "own": lambda teachers, losses: own(np.array(teachers.taught), teachers.accuracy()),
    "uniform": lambda teachers, losses: uniform(len(teachers.teachers)),
    "likelihood": lambda teachers, losses: likelihood(teachers.gold_probabilities()),
    "boosted": lambda teachers, losses: likelihood(teachers.gold_probabilities(), losses),
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
    weights: Weights = {}
    for language, members in teachers.items():
        column = STRATEGIES[strategy](members, losses[language] if losses else None)
        weights[language] = dict(zip(members.teachers, column.tolist(), strict=True))
    return weights


def update(weights: Weights, teachers: Pool, strategy: str,
           losses: Mapping[str, Array]) -> Weights:
    """Line 6 of Algorithm 1: W after an epoch; a strategy that ignores the losses keeps it."""
    return fit(teachers, strategy, losses) if strategy in BY_LOSSES else weights
