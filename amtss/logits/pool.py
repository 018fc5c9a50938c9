"""The pool of teachers as the student sees it: cached logits, aligned to the corpora by key.

Shapes: T teachers of the pool, T_l those that score language l, N examples, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data.corpus import Corpus
from amtss.distillation import importance
from amtss.distillation.importance import Array
from amtss.logits import cache as logits_cache
from amtss.logits import score
from amtss.paths import Layout

Weights = dict[str, dict[str, float]]
"""W of Equation 4: language -> teacher -> weight; a language's column sums to 1."""


@dataclass(frozen=True)
class LanguagePool:
    """The teachers that score one language."""

    teachers: tuple[str, ...]
    taught: tuple[int, ...]
    """How many languages each was fine-tuned on; 0 where this one is not among them."""
    logits: dict[str, NDArray[np.float32]]
    """Split -> raw logits. *Shape:* (T_l, N, C)"""
    gold: NDArray[np.int64]
    """Label index of each validation example. *Shape:* (N,)"""

    def soft_targets(self, split: str, column: dict[str, float],
                     temperature: float = 1.0) -> Array:
        """Equation 4 on a split. *Shape:* (N, C)"""
        weights = np.array([column[name] for name in self.teachers])
        return importance.soft_targets(
            importance.softmax(self.logits[split], temperature), weights)

    def gold_probabilities(self) -> Array:
        """Each teacher's probability of each validation example's label. *Shape:* (T_l, N)"""
        probabilities = importance.softmax(self.logits["validation"])
        return np.asarray(probabilities[:, np.arange(len(self.gold)), self.gold])

    def accuracy(self) -> Array:
        """Each teacher's share of right validation examples. *Shape:* (T_l,)"""
        chosen = self.logits["validation"].argmax(axis=-1)
        return np.asarray((chosen == self.gold).mean(axis=-1))


Pool = dict[str, LanguagePool]


def load(params: Params, layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
         teachers: Sequence[str]) -> Pool:
    """The cached logits of `teachers` on each corpus. Runs no teacher.

    Raises:
        CacheError: a cache file is missing, truncated, altered or stale.
    """
    pool = {}
    for corpus in corpora:
        language = corpus.language
        names = tuple(name for name in teachers if language in params.scored_by(name))
        cached = [logits_cache.read(layout.logits(name, language),
                                    score.origin(params, layout, name, language), name)
                  for name in names]
        logits = {split: np.stack([each[split].at(table["key"].to_numpy()) for each in cached])
                  for split, table in corpus.splits.items()}
        taught = tuple(len(params.taught_on(name)) if language in params.taught_on(name) else 0
                       for name in names)
        pool[language] = LanguagePool(names, taught, logits,
                                      corpus.label_ids("validation", labels))
    return pool


def weigh(pool: Pool, strategy: str, student_loss: dict[str, Array] | None = None) -> Weights:
    """W of Equation 4 by `strategy`, fitted on validation rows (line 6 of Algorithm 1).

    Args:
        student_loss: language -> the student's cross-entropy on each validation example ((N,),
            nats); what `boosted` weighs them by, None before the first epoch.
    """
    weights: Weights = {}
    for language, members in pool.items():
        if strategy == "own":
            column = importance.own(np.array(members.taught), members.accuracy())
        elif strategy == "uniform":
            column = importance.uniform(len(members.teachers))
        elif strategy == "boosted" and student_loss is not None:
            column = importance.boosted(members.gold_probabilities(), student_loss[language])
        else:
            column = importance.likelihood(members.gold_probabilities())
        weights[language] = dict(zip(members.teachers, column.tolist(), strict=True))
    return weights
