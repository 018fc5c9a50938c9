"""Whether a classifier has learnt anything, judged on rows whose labels are known.

Shapes: N rows of a language.
"""

from collections.abc import Iterable
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SURE = 2.0
"""Standard deviations beyond chance from which agreement with the labels is no accident."""
FEWEST = 10
"""Rows below which nothing is said, not even of one answer to everything."""
ENOUGH = 50
"""Rows from which a miss of both tests is no bad luck."""


class Skill(NamedTuple):
    """A classifier beside the commonest label of a language, and beside its own answers shuffled.

    All numbers are 0 for a language whose rows have one label, which nothing can be learnt from.
    """

    rows: int
    right: int
    """Rows that it labels correctly."""
    commonest: int
    """Rows that have the language's commonest label."""
    mean: float
    """Rows that its answers would label correctly on average if they were shuffled."""
    variance: float
    """Of that; 0 for one answer to everything."""

    @property
    def constant(self) -> bool:
        """Whether it gives one answer to everything."""
        return self.variance <= 1e-9 * self.rows  # rounding leaves a little

    @property
    def follows_labels(self) -> bool:
        """Whether its answers follow the labels more than chance explains."""
        return not self.constant and self.right - self.mean > SURE * sqrt(self.variance)

    @property
    def nothing(self) -> bool:
        """Whether it has learnt nothing: it is right no more often than the commonest label, and
        its answers do not follow the labels. Where labels are very uneven, a good classifier may
        miss the first, but not both. Of few rows, only one answer to everything is sure."""
        return (self.rows >= (FEWEST if self.constant else ENOUGH)
                and self.right <= self.commonest and not self.follows_labels)

    @property
    def doubtful(self) -> bool:
        """Whether it has hardly learnt anything: it misses one of the two."""
        return self.rows > 0 and not (self.right > self.commonest and self.follows_labels)

    def __str__(self) -> str:
        return (f"right for {100 * self.right / self.rows:.2f}% of rows, where the commonest label "
                f"alone is right for {100 * self.commonest / self.rows:.2f}%")


def skill(chosen: NDArray[np.int64], actual: NDArray[np.int64]) -> Skill:
    """The skill on one language's rows.

    If a label is answered a times and stands b times, shuffled answers agree with the labels as
    often as a random permutation has matches.

    Args:
        chosen, actual: label indices. *Shape:* (N,) each
    """
    size = len(actual)
    if len(np.unique(actual)) < 2:
        return Skill(0, 0, 0, 0.0, 0.0)
    classes = 1 + int(max(actual.max(), chosen.max()))
    a, b = (np.bincount(labels, minlength=classes).astype(float) for labels in (chosen, actual))
    mean = float(a @ b) / size
    two_match = (float(a @ b)**2 - float((a * b) @ (a * b))  # of different labels, of the same one
                 + float((a * (a - 1)) @ (b * (b - 1)))) / (size * (size - 1))
    return Skill(size, int((chosen == actual).sum()), int(b.max()), mean,
                 mean + two_match - mean**2)


def total(skills: Iterable[Skill]) -> Skill:
    """The skill over the rows of all languages."""
    rows, right, commonest, mean, variance = zip(Skill(0, 0, 0, 0.0, 0.0), *skills, strict=True)
    return Skill(sum(rows), sum(right), sum(commonest), sum(mean), sum(variance))
