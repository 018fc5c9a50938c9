"""Lines 9 to 13 of Algorithm 1: margins, ranks, top-k, and when to stop. No torch.

Margins are in points of validation accuracy, teachers minus student: positive where there is
something left to learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Margin:
    """M_i of line 9. Ordered: by accuracy first, ties by cross-entropy."""

    points: float
    """Accuracy of the language's W-weighted teachers minus the student's, in points."""
    entropy: float
    """Cross-entropy of the student minus that of the teachers, in nats."""


def rank(margins: Mapping[str, Margin]) -> list[str]:
    """Line 10: languages from the largest margin to the smallest; equal ones keep their order."""
    return sorted(margins, key=lambda language: margins[language], reverse=True)


def top_k(ranked: Sequence[str], k: int, always: Sequence[str] = ()) -> list[str]:
    """Line 11: the `k` languages of the largest margins; those of `always` count as such.

    A new language's teacher is treated as a max-margin one (section 2.3).
    """
    others = [language for language in ranked if language not in always]
    return [*always, *others[:max(0, k - len(always))]]


def finished(margins: Mapping[str, Margin], threshold: float | None) -> bool:
    """Line 12: the largest margin is below `threshold` points (epsilon); never where it is None."""
    return threshold is not None and max(m.points for m in margins.values()) < threshold
