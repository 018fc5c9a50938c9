"""What teachers say of rows whose labels they have not learnt.

Shapes: N rows of a split, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amtss.config.schema import LinearTeacher, Params, TransformerTeacher
from amtss.data.corpus import Corpus
from amtss.distillation import importance
from amtss.logits import pool
from amtss.logits.pool import LanguagePool
from amtss.logits.softmax import Array, softmax
from amtss.paths import Layout
from amtss.teachers import linear


def probabilities(params: Params, layout: Layout, corpus: Corpus, labels: Sequence[str],
                  split: str) -> Array:
    """The answers of the pool's teachers that have not learnt the split, from their cached logits.

    Where there is no such teacher, linear models are cross-fitted, which takes seconds.

    Returns: *Shape:* (N, C)

    Raises:
        AmtssError: a cache is missing, altered or stale, or there are too few rows.
    """
    language = corpus.language
    scoring = [name for name in params.pool if language in params.scored_by(name)]
    if names := unseen(params, language, split, scoring):
        members = pool.load(params, layout, [corpus], labels, names)[language]
        return mixture(members, language, names, split)
    return cross_fitted(corpus, labels)


def cross_fitted(corpus: Corpus, labels: Sequence[str]) -> Array:
    """Answers to the training rows by linear models that have not learnt them. *Shape:* (N, C)

    Raises:
        DataError: there are too few rows.
    """
    teacher = LinearTeacher(kind="linear", languages=(corpus.language,))
    return softmax(linear.cross_fit(corpus, labels, teacher))


def unseen(params: Params, language: str, split: str, names: Sequence[str]) -> list[str]:
    """Those teachers that have not learnt the split's labels. Training rows are scored so by the
    cross-fitted ones, and by those that were taught on other languages."""
    def unlearnt(name: str) -> bool:
        teacher = params.teachers[name]
        return not isinstance(teacher, TransformerTeacher) and teacher.cross_fit > 0

    return [name for name in names if split != "train" or unlearnt(name)
            or language not in params.taught_on(name)]


def mixture(members: LanguagePool, language: str, names: Sequence[str], split: str) -> Array:
    """The answers of some teachers of a language, mixed as the student's soft targets are, with
    the weights that suit validation best. *Shape:* (N, C)"""
    rows = np.array([members.teachers.index(name) for name in names])
    some = replace(members, teachers=tuple(names),
                   taught=tuple(members.taught[row] for row in rows.tolist()),
                   logits={key: logits[rows] for key, logits in members.logits.items()})
    weights = importance.fit({language: some}, "likelihood")
    return some.soft_targets(split, weights[language])
