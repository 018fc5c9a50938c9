"""Accuracy, macro-F1, calibration, and the uncertainty of each. Pure functions on arrays.

Shapes: N examples of one language, C classes, R resamples. All results are in percent or points.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TAILS = (2.5, 97.5)
"""The percentiles between which a 95% interval lies."""
ROUNDING = 1e-9
"""Two averages that differ by less, in points, are equal: they are sums of fractions."""


class Paired(NamedTuple):
    """Accuracy of A minus accuracy of B on the same examples, in points."""

    difference: float
    low: float
    high: float
    """95% bootstrap interval of `difference`."""
    p: float
    """Two-sided: the probability of a difference at least this large by chance alone."""


def accuracy(predicted: Array, actual: Array) -> float:
    """Percent of examples on which the two agree. *Shape:* (N,), (N,)

    Raises:
        ValueError: there are no examples.
    """
    if not len(actual):
        raise ValueError("expected at least one example, found none")
    return 100.0 * float(np.mean(np.asarray(predicted) == np.asarray(actual)))


def majority(actual: Array) -> float:
    """Percent of examples with the most frequent label, which a constant answer would get right.
    *Shape:* (N,), at least one
    """
    return 100.0 * float(np.unique(actual, return_counts=True)[1].max()) / len(actual)


def macro_f1(predicted: Array, actual: Array) -> float:
    """Mean F1 in percent over the labels that occur in either. *Shape:* (N,), (N,)"""
    from sklearn.metrics import f1_score

    return 100.0 * float(f1_score(actual, predicted, average="macro", zero_division=0.0))


def calibration_error(probabilities: Array, actual: Array, bins: int) -> float:
    """Expected calibration error in percent: |accuracy - confidence| per bin, weighted by size.

    Args:
        probabilities: each row sums to 1. *Shape:* (N, C)
        actual: class indices. *Shape:* (N,)
        bins: number of bins of equal width, (i/bins, (i+1)/bins], for the predicted class's
            probability.
    """
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    correct = np.argmax(probabilities, axis=1) == actual
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=bins)
    return 100.0 * float(np.abs(gaps).sum()) / len(confidence)


def interval(scores: Sequence[Array], resamples: int, seed: int) -> tuple[float, float]:
    """95% percentile bootstrap interval of the unweighted mean over languages, in points.

    Each language is resampled within itself. A score takes few different values, so we draw how
    often each value occurs (a multinomial draw) instead of drawing examples: the same distribution,
    a thousand times faster.

    Args:
        scores: per language, a score of each example: whether it is right, its mean over seeds, or
            a difference of two scores. *Shape:* each (N,)
    """
    random = np.random.default_rng(seed)
    means = []
    for language in scores:
        values, counts = np.unique(np.asarray(language, dtype=np.float64), return_counts=True)
        drawn = random.multinomial(counts.sum(), counts[::-1] / counts.sum(), size=resamples)
        means.append(drawn @ values[::-1] / counts.sum())
    low, high = np.percentile(100.0 * np.mean(means, axis=0), TAILS)
    return float(low), float(high)


def paired_test(a: Sequence[Array], b: Sequence[Array], resamples: int, seed: int) -> Paired:
    """Whether A is right more often than B on the same examples; every language counts the same.

    For one language p is McNemar's exact test. For the mean over several languages it is the
    sign-flip permutation test: if A and B were equally good, each example that only one of them
    gets right could as well have been the other's.

    Args:
        a, b: per language, whether each example is right; the same examples. *Shape:* each (N,)

    Raises:
        ValueError: A and B have different numbers of examples, or none.
    """
    counts = [_disagreements(*pair) for pair in zip(a, b, strict=True)]
    observed = 100.0 * float(np.mean([(won - lost) / size for won, lost, size in counts]))
    if len(counts) == 1:
        p = _mcnemar(*counts[0][:2])
    else:
        random = np.random.default_rng(seed)
        flipped = np.mean([_flipped(*language, resamples, random) for language in counts], axis=0)
        as_large = np.count_nonzero(np.abs(100.0 * flipped) >= abs(observed) - ROUNDING)
        p = (1 + int(as_large)) / (1 + resamples)
    differences = [np.subtract(*pair, dtype=np.float64) for pair in zip(a, b, strict=True)]
    return Paired(observed, *interval(differences, resamples, seed), p)


def _disagreements(a: Array, b: Array) -> tuple[int, int, int]:
    """Examples that only A gets right, examples that only B gets right, and all examples."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"expected the same examples twice, found {a.shape} and {b.shape}")
    return int(np.sum(a & ~b)), int(np.sum(b & ~a)), a.size


def _flipped(won: int, lost: int, size: int, resamples: int,
             random: np.random.Generator) -> NDArray[np.float64]:
    """Differences where a coin decides each disagreement. *Shape:* (R,)"""
    wins = random.binomial(won + lost, 0.5, resamples)
    return np.asarray((2 * wins - (won + lost)) / size, dtype=np.float64)


def _mcnemar(won: int, lost: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
