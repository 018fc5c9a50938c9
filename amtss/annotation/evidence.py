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

    Where there is no such teacher, those that a linear one has set aside; where there are none
    either, linear models are cross-fitted, which takes seconds.

    Returns: *Shape:* (N, C)

    Raises:
        AmtssError: a cache or a teacher's folder is missing, altered or stale, or there are too few
            rows.
    """
    language = corpus.language
    scoring = [name for name in params.pool if language in params.scored_by(name)]
    if names := unseen(params, language, split, scoring):
        members = pool.load(params, layout, [corpus], labels, names)[language]
        return mixture(members, language, names, split)
    answers = set_aside(params, layout, corpus, scoring)
    if answers is None:
        teacher = LinearTeacher(kind="linear", languages=(language,))
        answers = softmax(linear.cross_fit(corpus, labels, teacher))
    return answers


def set_aside(params: Params, layout: Layout, corpus: Corpus,
              names: Sequence[str]) -> Array | None:
    """Answers to the training rows by models that have not learnt them, from the folder of the
    first linear teacher of some, whose cached logits are of the model of all rows; None if no
    folder has any. *Shape:* (N, C)

    Raises:
        AmtssError: a folder cannot be loaded, or its answers are to other rows.
    """
    for name in names:
        if isinstance(params.teachers[name], LinearTeacher):
            answers = linear.unseen(layout, name, corpus)
            if answers is not None:
                return softmax(answers)
    return None


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
