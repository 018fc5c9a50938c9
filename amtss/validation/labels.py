"""Label distributions: counts, the divergence of two, the imbalance of one. Pure functions.

Shapes: K labels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMOOTHING = 1e-6
"""Added to every label's share before a divergence is computed."""

Counts = dict[str, int]
"""Label -> rows, labels in alphabetical order."""


def count_labels(splits: Mapping[str, Iterable[str | None]]) -> dict[str, Counts]:
    """Rows per label of each split; rows without a label are not counted."""
    return {split: dict(sorted(Counter(label for label in labels if label is not None).items()))
            for split, labels in splits.items()}


def vector(counts: Mapping[str, int], labels: Sequence[str]) -> NDArray[np.int64]:
    """Counts in the order of `labels`, 0 for labels without rows. *Shape:* (K,)"""
    return np.array([counts.get(label, 0) for label in labels], dtype=np.int64)


def shares(weights: ArrayLike) -> NDArray[np.float64]:
    """Counts, or anything proportional to them, as shares that sum to 1. *Shape:* (K,)

    Raises:
        ValueError: all weights are 0, or one is negative.
    """
    array = np.asarray(weights, dtype=np.float64)
    if not array.size or array.min() < 0 or not array.sum() > 0:
        raise ValueError(f"expected weights >= 0 and one above 0, found {array.tolist()}")
    return np.asarray(array / array.sum(), dtype=np.float64)


def smoothed(weights: ArrayLike) -> NDArray[np.float64]:
    """`shares` with SMOOTHING added to each, normalised again. *Shape:* (K,)"""
    return shares(shares(weights) + SMOOTHING)


def divergence(p: ArrayLike, q: ArrayLike) -> float:
    """KL(p || q) in nats, at least 0, and 0 only for equal distributions.

    Both are counts or shares of the same labels, and both are smoothed. Otherwise a single row with
    a label that `q` lacks would make the divergence infinite: JSON has no infinity, and it would
    hide how much the other labels differ. An absent label has a finding of its own; here it adds
    its share times ln(share / SMOOTHING). We smooth shares, not counts, so that the size of a
    split does not matter. Smoothing changes the divergences of Appendix A by less than 0.0001 nats.
    """
    first, second = smoothed(p), smoothed(q)
    return max(0.0, float(np.sum(first * np.log(first / second))))


def mean_distribution(distributions: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """The mean of distributions over the same labels, with equal weights whatever their sizes.

    *Shape:* (K,)
    """
    return np.asarray(np.mean([shares(weights) for weights in distributions], axis=0),
                      dtype=np.float64)


def imbalance(counts: ArrayLike) -> float:
    """Rows of the most frequent label divided by those of the least frequent; labels without rows
    do not count. 1.0 without any rows."""
    array: NDArray[Any] = np.asarray(counts)
    present = array[array > 0]
    return float(present.max() / present.min()) if present.size else 1.0
