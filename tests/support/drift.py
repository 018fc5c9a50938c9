"""Compared languages, for the tests of what is shown of them."""

import numpy as np

from amtss.config.schema import Drift
from amtss.drift import comparison
from amtss.drift.answers import Answers
from amtss.drift.comparison import FIGURES
from amtss.drift.drift import Compared

LABELS = ["pay", "chat", "ship"]
ROWS = 100


def answers(drifted: bool = False) -> Answers:
    half = np.arange(ROWS) % 2
    return Answers(np.ones(ROWS, np.int64) if drifted else half, np.full(ROWS, 0.8),
                   np.full(ROWS, 40 if drifted else 10), np.zeros(ROWS, bool),
                   np.full(ROWS, drifted))


def compared(*codes: str, drifted: tuple[str, ...] = (), of: int = ROWS,
             labels: list[str] = LABELS) -> dict[str, Compared]:
    """Languages with 100 texts before and now; those in `drifted` have other labels and lengths."""
    found = {}
    for code in codes:
        before, now = answers(), answers(code in drifted)
        changes = comparison.compare(before, now, Drift(), len(codes) * len(FIGURES))
        found[code] = Compared(before, now, of, changes, comparison.shares(labels, before, now))
    return found
