"""How far a language's new texts are from its reference, and whether chance explains it.

With many texts every difference is significant, and with few every difference is large: a limit is
passed by a change that is both larger than the limit and improbable without drift. Pure functions.

Shapes: N texts of a set, C labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Drift
from amtss.drift.answers import Answers

FIGURES = ("labels", "confidence", "unsure", "unknown", "length", "cut")
"""What is compared; `Drift` has a limit of each."""
TAIL = 0.05
"""Share of the reference that counts as unsure: the student's least confident answers."""


@dataclass(frozen=True)
class Change:
    """One figure of one language."""

    size: float
    """As the limit's description in `Drift` says; a share from 0 to 1, or -1 to 1 of a rise."""
    limit: float
    p: float
    """Probability of a change so large without drift."""
    passed: bool
    """Whether the limit is passed, and not by chance."""
    before: float | None = None
    """In the reference: the share of texts, or the mean; None of labels."""
    now: float | None = None


Measured = tuple[float, float, float | None, float | None]
"""Size, p, before and now of a change."""


def compare(before: Answers, now: Answers, limits: Drift, comparisons: int) -> dict[str, Change]:
    """Every figure of one language.

    Args:
        comparisons: how many there are in the whole run.
    """
    least = np.quantile(before.confidence, TAIL)
    measured = {
        "labels": labels(before.label, now.label),
        "confidence": values(before.confidence, now.confidence),
        "unsure": rise(before.confidence < least, now.confidence < least),
        "unknown": rise(before.unknown, now.unknown),
        "length": values(before.length, now.length),
        "cut": rise(before.cut, now.cut)}
    changes = {}
    for figure in FIGURES:
        size, p, old, new = measured[figure]
        limit: float = getattr(limits, figure)
        passed = size > limit and p * comparisons < limits.chance
        changes[figure] = Change(size, limit, p, passed, old, new)
    return changes


def labels(before: NDArray[np.int64], now: NDArray[np.int64]) -> Measured:
    """Half the sum of the differences of the labels' shares, and the p of the chi-squared test.

    Args:
        before, now: label indices. *Shape:* (N,) each
    """
    from scipy.stats import chi2_contingency

    classes = 1 + max(before.max(), now.max())
    counts = np.stack([np.bincount(side, minlength=classes) for side in (before, now)])
    counts = counts[:, counts.any(axis=0)]
    if counts.shape[1] == 1:
        return 0.0, 1.0, None, None
    old, new = counts / counts.sum(axis=1, keepdims=True)
    p = chi2_contingency(counts, correction=False).pvalue
    return float(np.abs(old - new).sum() / 2), float(p), None, None


def values(before: NDArray[np.float64] | NDArray[np.int64],
           now: NDArray[np.float64] | NDArray[np.int64]) -> Measured:
    """Statistic and p of the two-sided test of Kolmogorov and Smirnov, and both means."""
    from scipy.stats import ks_2samp

    test = ks_2samp(before, now, method="asymp")
    return float(test.statistic), float(test.pvalue), float(before.mean()), float(now.mean())


def rise(before: NDArray[np.bool_], now: NDArray[np.bool_]) -> Measured:
    """How much larger the share is now, and the p of Fisher's exact test, one-sided."""
    from scipy.stats import fisher_exact

    table = [[int(side.sum()), int((~side).sum())] for side in (now, before)]
    old, new = float(before.mean()), float(now.mean())
    return new - old, float(fisher_exact(table, alternative="greater").pvalue), old, new


def shares(names: list[str], before: Answers, now: Answers) -> Mapping[str, tuple[float, float]]:
    """Label -> its share of the answers before and now."""
    old, new = (np.bincount(side.label, minlength=len(names)) / len(side)
                for side in (before, now))
    return {name: (float(old[index]), float(new[index])) for index, name in enumerate(names)}
