"""Accuracy, macro-F1, calibration, and how sure one can be of them. NumPy only, nothing is read.

Shapes: N examples of one language, C classes, R resamples. All results are in percent or points.
Resampling N values of 0 and 1 with replacement and counting the ones *is* a binomial draw, so the
bootstraps below draw counts instead of examples: the same distribution, a thousand times faster.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
TAILS = (2.5, 97.5)
"""Percentiles between which a 95% interval lies."""
ROUNDING = 1e-9
"""Two permuted averages closer than this, in points, are equal: they are sums of fractions."""


class Paired(NamedTuple):
    """A minus B on the same examples, in points of accuracy."""

    difference: float
    low: float
    high: float
    """95% bootstrap interval of `difference`."""
    p: float
    """Two-sided: how often chance alone gives a difference at least this large."""


def accuracy(predicted: Array, actual: Array) -> float:
    """Percent of examples where the two agree. *Shape:* (N,), (N,)"""
    return 100.0 * _share(np.asarray(predicted) == np.asarray(actual))


def macro_f1(predicted: Array, actual: Array) -> float:
    """Mean F1 in percent over the labels that occur in either. *Shape:* (N,), (N,)"""
    from sklearn.metrics import f1_score

    return 100.0 * float(f1_score(actual, predicted, average="macro", zero_division=0.0))


def calibration_error(probabilities: Array, actual: Array, bins: int) -> float:
    """Expected calibration error in percent: |accuracy - confidence| per bin, weighted by size.

    Args:
        probabilities: rows on the simplex. *Shape:* (N, C)
        actual: class indices. *Shape:* (N,)
        bins: equal-width bins (i/bins, (i+1)/bins] of the predicted class's probability.
    """
    confidence = np.asarray(probabilities, dtype=np.float64).max(axis=1)
    correct = np.argmax(probabilities, axis=1) == actual
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=bins)
    return 100.0 * float(np.abs(gaps).sum()) / len(confidence)


def interval(correct: Array, resamples: int, seed: int) -> tuple[float, float]:
    """95% percentile bootstrap interval of the accuracy, in percent. *Shape:* (N,)"""
    return average_interval([correct], resamples, seed)


def average_interval(correct: Sequence[Array], resamples: int, seed: int) -> tuple[float, float]:
    """The same of the unweighted mean over languages; each is resampled within itself.

    Args:
        correct: per language, whether each example was right. *Shape:* each (N,)
    """
    random = np.random.default_rng(seed)
    means: Floats = np.mean(
        [random.binomial(len(each), _share(each), resamples) / len(each) for each in correct],
        axis=0)
    return _tails(100.0 * means)


def paired_test(a: Sequence[Array], b: Sequence[Array], resamples: int, seed: int) -> Paired:
    """Whether A is right more often than B on the same examples; languages count alike.

    For one language p is McNemar's exact test. For the mean over several it is the sign-flip
    permutation test: were A and B alike, each example on which just one is right would as well
    have gone to the other.

    Args:
        a, b: per language, whether each was right; the same examples. *Shape:* each (N,)
    """
    counts = [_disagreements(*pair) for pair in zip(a, b, strict=True)]
    observed = 100.0 * float(np.mean([(won - lost) / size for won, lost, size in counts]))
    random = np.random.default_rng(seed)
    if len(counts) == 1:
        p = _mcnemar(*counts[0][:2])
    else:  # Drawn first, so that swapping A and B gives the same p.
        flipped = np.mean([_flipped(*each, resamples, random) for each in counts], axis=0)
        as_large = np.count_nonzero(np.abs(100.0 * flipped) >= abs(observed) - ROUNDING)
        p = (1 + int(as_large)) / (1 + resamples)
    resampled = np.mean([_resampled(*each, resamples, random) for each in counts], axis=0)
    return Paired(observed, *_tails(100.0 * resampled), p)


def _disagreements(a: Array, b: Array) -> tuple[int, int, int]:
    """On how many examples only A is right, only B is, and how many there are."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"expected the same examples twice, found {a.shape} and {b.shape}")
    return int(np.sum(a & ~b)), int(np.sum(b & ~a)), a.size


def _resampled(won: int, lost: int, size: int, resamples: int,
               random: np.random.Generator) -> Floats:
    """Differences of resampled pairs: how many disagree, then who wins them. *Shape:* (R,)"""
    if won + lost == 0:
        return np.zeros(resamples)
    disagreeing = random.binomial(size, (won + lost) / size, resamples)
    wins = random.binomial(disagreeing, won / (won + lost))
    return np.asarray((2 * wins - disagreeing) / size, dtype=np.float64)


def _flipped(won: int, lost: int, size: int, resamples: int,
             random: np.random.Generator) -> Floats:
    """Differences where a coin decides each disagreement. *Shape:* (R,)"""
    wins = random.binomial(won + lost, 0.5, resamples)
    return np.asarray((2 * wins - (won + lost)) / size, dtype=np.float64)


def _mcnemar(won: int, lost: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def _share(correct: Array) -> float:
    if not len(correct):
        raise ValueError("expected at least one example, found none")
    return float(np.mean(correct))


def _tails(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, TAILS)
    return float(low), float(high)
