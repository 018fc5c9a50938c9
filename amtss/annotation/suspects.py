"""Suspicious labels: those that teachers contradict, and those that near-duplicates do not share.

Shapes: N rows of a split, C classes.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from amtss import records
from amtss.annotation import evidence, sheet
from amtss.annotation.confident import contradicted
from amtss.annotation.sheet import Line
from amtss.annotation.twins import Place, conflicts
from amtss.config.schema import Params
from amtss.data import corrections
from amtss.data.corpus import Corpus, load
from amtss.errors import AmtssError
from amtss.logits.softmax import Array
from amtss.paths import Layout

LABELLED = ("train", "validation", "test")
COLUMNS = ("id", "lang", "split", "text", "pair", "label", "suggested", "score", "reason", "group",
           "corrected", "key")


def suspects(params: Params, layout: Layout, language: str, split: str,
             limit: int | None = None) -> tuple[str, int]:
    """A sheet of the suspicious labels of a split, worst first, without those that an annotator has
    decided on; and how many there are.

    Raises:
        AmtssError: the project has no such language, the split has no labels, or an earlier stage's
            artifact is missing, altered or stale.
    """
    if language not in params.languages:
        raise AmtssError(f"--lang: expected one of {', '.join(params.languages)}, found "
                         f"{language!r}; name one of them")
    labels, corpus = records.labels(layout), load(layout, language)
    if not corpus.has_labels(split):
        raise AmtssError(f"{language}/{split}: expected rows with labels, found none; name another "
                         f"--split, or label some that `amtss label-next --lang {language}` lists")
    found = find(corpus, split, labels,
                 evidence.probabilities(params, layout, corpus, labels, split))
    decided = {row.key for row in corrections.read(layout.corrections(language))}
    keys = corrections.keys(corpus[split]) if decided else None
    lines = [line for line in found if not keys or keys[line.row] not in decided][:limit]
    return sheet.text(corpus[split], language, split, lines, COLUMNS), len(lines)


def find(corpus: Corpus, split: str, labels: Sequence[str], probabilities: Array) -> list[Line]:
    """The suspicious rows of a split, worst first. The score is the probability of a row's own
    label. Near-duplicates stand together, by the mean of their scores.

    Args:
        probabilities: by teachers that have not learnt the split. *Shape:* (N, C)
    """
    gold = corpus.label_ids(split, labels)
    best = probabilities.argmax(axis=1)
    score = probabilities[np.arange(len(gold)), gold]
    reasons = {row: [f"teachers say {labels[best[row]]} ({probabilities[row, best[row]]:.0%})"]
               for row in contradicted(gold, probabilities).tolist()}
    clusters = []
    for group in conflicts({name: corpus[name] for name in LABELLED}):
        for row, reason in _odd(group, split).items():
            reasons.setdefault(row, []).append(reason)
        clusters.append([place.row for place in group
                         if place.split == split and place.row in reasons])
    grouped = {row for cluster in clusters for row in cluster}
    clusters += [[row] for row in reasons if row not in grouped]
    ordered = sorted((sorted(cluster, key=score.__getitem__) for cluster in clusters if cluster),
                     key=lambda cluster: float(score[cluster].mean()))
    return [Line(row, labels[best[row]], float(score[row]), "; ".join(reasons[row]),
                 str(number) if len(cluster) > 1 else "")
            for number, cluster in enumerate(ordered, start=1) for row in cluster]


def _odd(group: Sequence[Place], split: str) -> dict[int, str]:
    """The rows of a split in a group of near-duplicates that do not have its commonest label, and
    why each is suspicious. Where two labels are as common, these are all rows."""
    counted = Counter(place.label for place in group)
    most = max(counted.values())
    odd = {}
    for place in group:
        rivals = [other for other in group if other.label != place.label
                  and counted[other.label] == most]
        if place.split == split and rivals:
            first = rivals[0]
            more = f" and {len(rivals) - 1} more" if len(rivals) > 1 else ""
            odd[place.row] = f"{first.split} {first.id}{more} has the same words: {first.label}"
    return odd
