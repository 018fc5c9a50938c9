"""Tables of a student that need not answer every text, and is not told every text's language."""

from collections.abc import Mapping, Sequence
from typing import Any

from amtss.report.accuracy import AVERAGE
from amtss.table import NONE, Table


def coverage(metrics: Mapping[str, Any], languages: Sequence[str]) -> Table:
    """How many test texts the student answers where an accuracy is asked for."""
    asked, everything = metrics["selective"], metrics["student"]["accuracy"]
    rows = tuple((code, f"{everything[code]:.2f}", *(
        f"{figures[key][code]:.1f}" if code in figures[key] else NONE
        for figures in asked.values() for key in ("coverage", "accuracy")))
        for code in (*languages, AVERAGE))
    header = ("", "Accuracy of all", *(name for level in asked for name in
                                       (f"Answered at {level}", "their accuracy")))
    return Table("Answers where an accuracy is asked for (--min-accuracy), test, %", header, rows, (
        "Whether a text is answered follows from the probability of its best label. The thresholds "
        "are fitted on validation, so that the accuracy of the answers is with 90% certainty as "
        f"high as was asked for, language by language. {NONE}: no text is answered.",))


def untold(metrics: Mapping[str, Any], languages: Sequence[str]) -> Table:
    """What the student makes of test texts without a language."""
    figures, told = metrics["untold"], metrics["student"]["accuracy"]
    rows = tuple((code, f"{figures['languages'][code]:.2f}", f"{told[code]:.2f}",
                  f"{figures['accuracy'][code]:.2f}",
                  f"{figures['accuracy'][code] - told[code]:+.2f}")
                 for code in (*languages, AVERAGE))
    return Table("Texts without a language (lang: auto), test, %", (
        "", "Language recognised", "Accuracy if told it", "Accuracy if not", "Difference"), rows)
