"""The student on test where it need not answer, and where it is not told the language."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.data.corpus import Corpus
from amtss.evaluation.metrics import accuracy
from amtss.files import write_text
from amtss.inference.predictor import Predictor
from amtss.logits.calibration import curve
from amtss.logits.softmax import Array
from amtss.paths import Layout

Probabilities = Mapping[str, Array]
Gold = Mapping[str, NDArray[np.int64]]
"""Languages whose test has no labels are missing."""
ASKED = (0.90, 0.95, 0.99)
"""Accuracies of the table of coverage."""
POINTS = 100
"""Points of a risk-coverage curve, at most."""


def abstaining(student: Predictor, probabilities: Probabilities,
               gold: Gold) -> dict[str, records.Selective]:
    """For each accuracy in `ASKED`, in points: the share of test texts that are answered, and the
    accuracy of these answers, in points. A language without an answer has no accuracy.

    Args:
        probabilities: the student's, on test. *Shape:* (N, C) each
    """
    found = {}
    for asked in ASKED:
        coverage, right = {}, {}
        for code in gold:
            rows = probabilities[code]
            answered = rows.max(axis=1) >= student.least_confidence(code, asked)
            coverage[code] = 100.0 * float(answered.mean())
            if answered.any():
                right[code] = accuracy(rows[answered].argmax(axis=1), gold[code][answered])
        found[f"{100 * asked:g}"] = records.Selective(coverage=_averaged(coverage),
                                                      accuracy=_averaged(right))
    return found


def untold(student: Predictor, corpora: Sequence[Corpus], probabilities: Probabilities,
           gold: Gold) -> records.Untold:
    """How many test texts the student finds the language of, and its accuracy by what it finds."""
    languages, right = {}, {}
    for corpus in corpora:
        if (code := corpus.language) not in gold:
            continue
        texts, pairs = corpus.texts("test")
        found = np.array(student.recognise(texts, pairs))
        other = np.flatnonzero(found != code)
        chosen = probabilities[code].argmax(axis=1)
        if len(other):
            chosen[other] = student.probabilities(
                [texts[row] for row in other], pairs and [pairs[row] for row in other],
                found[other].tolist()).argmax(axis=1)
        languages[code] = 100.0 * float((found == code).mean())
        right[code] = accuracy(chosen, gold[code])
    return records.Untold(languages=_averaged(languages), accuracy=_averaged(right))


def _averaged(figures: dict[str, float]) -> dict[str, float]:
    """With the `average` of languages."""
    return figures | ({"average": sum(figures.values()) / len(figures)} if figures else {})


def write_curves(layout: Layout, probabilities: Probabilities, gold: Gold) -> None:
    """`coverage.csv`: points of each language's risk-coverage curve on test, in percent.

    A point's error is that of the surest answers, as many as its coverage says.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["language", "coverage", "error"])
    for code in gold:
        _, answered, right = curve(probabilities[code], gold[code])
        wanted = np.linspace(0, answered[-1], POINTS + 1)[1:]
        kept = np.unique(np.searchsorted(answered, wanted))
        writer.writerows((code, f"{100 * answered[at] / answered[-1]:.2f}",
                          f"{100 * (1 - right[at] / answered[at]):.2f}") for at in kept)
    write_text(layout.evaluation / "coverage.csv", text.getvalue())
