"""Algorithm 1, lines 9 to 13: margins, their ranks, the top K, and when to stop. No torch.

Margins are in points of validation accuracy, teachers minus student: a positive one says that the
student can still learn from the teachers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amtss.logits.pool import LanguagePool

if TYPE_CHECKING:
    from amtss.distillation.results import Outcome


@dataclass(frozen=True, order=True)
class Margin:
    """M_i of line 9, ordered by accuracy; cross-entropy breaks ties."""

    points: float
    """Accuracy of the language's W-weighted teachers minus the student's, in points."""
    entropy: float
    """Cross-entropy of the student minus that of the teachers, in nats."""


def measure(teachers: LanguagePool, weights: Mapping[str, float], outcome: "Outcome") -> Margin:
    """Line 9: M_i = Margin(S, W_i T_i) on the language's validation rows.

    Args:
        weights: this language's column of W, by teacher.
        outcome: of the student.
    """
    mixture = teachers.soft_targets("validation", weights)
    gold = mixture[np.arange(len(teachers.gold)), teachers.gold]
    accuracy = 100.0 * float((mixture.argmax(axis=-1) == teachers.gold).mean())
    entropy = -float(np.log(np.maximum(gold, np.finfo(np.float64).tiny)).mean())
    return Margin(accuracy - outcome.accuracy, float(outcome.losses.mean()) - entropy)


def rank(margins: Mapping[str, Margin]) -> list[str]:
    """Line 10: languages from the largest margin to the smallest; equal ones keep their order."""
    return sorted(margins, key=lambda language: margins[language], reverse=True)


def top_k(ranked: Sequence[str], k: int, always: Sequence[str] = ()) -> list[str]:
    """Line 11: the first `k` of the `ranked` languages, where those of `always` come first.

    A new language's teacher is treated as a max-margin one (section 2.3).
    """
    others = [language for language in ranked if language not in always]
    return [*always, *others[:max(0, k - len(always))]]


def finished(margins: Mapping[str, Margin], threshold: float | None) -> bool:
    """Line 12: the largest margin is below `threshold` points (epsilon). None: never."""
    return threshold is not None and max(m.points for m in margins.values()) < threshold
