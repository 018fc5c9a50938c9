"""Label distributions: counts, how far two are apart, how unequal one is. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMOOTHING = 1e-6
"""Added to every label's share before a divergence is taken."""

Counts = dict[str, int]
"""Label -> rows, labels in alphabetical order."""


def count_labels(splits: Mapping[str, Iterable[str | None]]) -> dict[str, Counts]:
    """Rows per label of each split, from the rows' labels; rows without one are not counted."""
    return {split: dict(sorted(Counter(label for label in labels if label is not None).items()))
            for split, labels in splits.items()}


def vector(found: Mapping[str, int], labels: Sequence[str]) -> NDArray[np.int64]:
    """Counts in the order of `labels`, 0 for those not found. *Shape:* (K,)"""
    return np.array([found.get(label, 0) for label in labels], dtype=np.int64)


def shares(weights: ArrayLike) -> NDArray[np.float64]:
    """Counts, or anything in proportion to them, as shares that sum to 1. *Shape:* (K,)

    Raises:
        ValueError: nothing to share, or a negative weight.
    """
    array = np.asarray(weights, dtype=np.float64)
    if not array.size or array.min() < 0 or not array.sum() > 0:
        raise ValueError(f"expected weights >= 0 and one above 0, found {array.tolist()}")
    return np.asarray(array / array.sum(), dtype=np.float64)


def smoothed(weights: ArrayLike) -> NDArray[np.float64]:
    """`shares` with SMOOTHING added to each, and normalised again. *Shape:* (K,)"""
    return shares(shares(weights) + SMOOTHING)


def divergence(p: ArrayLike, q: ArrayLike) -> float:
    """KL(p || q) in nats, at least 0, and 0 only for equal distributions.

    Both are counts or shares over the same labels, and both are smoothed (`smoothed`). Without it
    one row of a label that `q` lacks would make the divergence infinite, which neither a threshold
    nor JSON can hold, and which hides how far the rest is apart. An absent label is a finding of
    its own; here it costs its share times ln(share / SMOOTHING). The smoothing goes onto shares,
    not counts, so that the size of a split does not matter. It moves the divergences of Appendix A
    by less than 0.0001 nats.
    """
    first, second = smoothed(p), smoothed(q)
    return max(0.0, float(np.sum(first * np.log(first / second))))


def mean_distribution(each: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """The mean of distributions over the same labels, each counting alike however many its rows.

    *Shape:* (K,)
    """
    return np.asarray(np.mean([shares(one) for one in each], axis=0), dtype=np.float64)


def imbalance(found: ArrayLike) -> float:
    """Rows of the largest label over rows of the smallest that has any; 1.0 if none has any."""
    array: NDArray[Any] = np.asarray(found)
    some = array[array > 0]
    return float(some.max() / some.min()) if some.size else 1.0
