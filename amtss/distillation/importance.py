"""Equation 4: teachers' importance weights W and the soft targets they make. No torch.

Shapes: T teachers, L languages, N examples of one language, C classes. A column of W lies on the
simplex. W is fitted on validation rows only: teachers have seen the training rows.
"""


import numpy as np

from amtss.logits.pool import Pool, Weights
from amtss.logits.softmax import Array

TOLERANCE = 1e-7
"""EM stops when no weight moves by more than this."""
MAX_STEPS = 1000


def own(taught: Array, accuracy: Array) -> Array:
    """One teacher per language: the best of those fine-tuned on it alone, else of any.

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
    """Every teacher alike. *Shape:* (T,)"""
    return np.full(teachers, 1.0 / teachers)


def likelihood(gold: Array, examples: Array | None = None) -> Array:
    """The mixture weights that maximise the (weighted) likelihood of the gold labels, by EM.

    The problem is convex, so where EM starts does not matter; it does not see the student.

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
        moved = np.abs(updated - weights).max()
        weights = updated
        if moved < TOLERANCE:
            break
    return weights


def boosted(gold: Array, student_loss: Array) -> Array:
    """`likelihood` with each example weighted by the student's loss (line 6, AdaBoost's idea).

    Args:
        gold: each teacher's probability of the gold label. *Shape:* (T, N)
        student_loss: the student's cross-entropy on each example, nats. *Shape:* (N,)
    """
    return likelihood(gold, student_loss)


def weigh(pool: Pool, strategy: str, student_loss: dict[str, Array] | None = None) -> Weights:
    """W of Equation 4 by `strategy`, fitted on validation rows (line 6 of Algorithm 1).

    Args:
        student_loss: language -> the student's cross-entropy on each validation example ((N,),
            nats); what `boosted` weighs them by, None before the first epoch.
    """
    weights: Weights = {}
    for language, members in pool.items():
        if strategy == "own":
            column = own(np.array(members.taught), members.accuracy())
        elif strategy == "uniform":
            column = uniform(len(members.teachers))
        elif strategy == "boosted" and student_loss is not None:
            column = boosted(members.gold_probabilities(), student_loss[language])
        else:
            column = likelihood(members.gold_probabilities())
        weights[language] = dict(zip(members.teachers, column.tolist(), strict=True))
    return weights
