"""Equation 4: soft targets, the W-weighted mixture of the answers that teachers give.

The teachers' logits come from their caches, and follow the corpora by key.

Shapes: T teachers of the pool, T_l those that score language l, N examples, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data.corpus import Corpus
from amtss.logits import cache as logits_cache
from amtss.logits.mixing import MIXINGS
from amtss.logits.softmax import Array, softmax
from amtss.paths import Layout

Weights = dict[str, dict[str, float]]
"""W of Equation 4: language -> teacher -> weight; a language's column sums to 1."""


@dataclass(frozen=True)
class LanguagePool:
    """The teachers that score one language, and their logits."""

    teachers: tuple[str, ...]
    taught: tuple[int, ...]
    """How many languages each was fine-tuned on; 0 if this one is not among them."""
    logits: dict[str, NDArray[np.float32]]
    """Split -> raw logits. *Shape:* (T_l, N, C)"""
    gold: NDArray[np.int64]
    """Label index of each validation example. *Shape:* (N,)"""
    mixing: str
    """One of `MIXINGS`."""
    labelled: bool = True
    """Whether validation has labels; where it has none, `gold` may be stand-ins."""

    def soft_targets(self, split: str, column: Mapping[str, float],
                     temperature: float = 1.0) -> Array:
        """Equation 4, or the pool's other mixing, on a split.

        Args:
            column: this language's column of W, by teacher.

        Returns: *Shape:* (N, C)
        """
        weights = np.array([column[name] for name in self.teachers])
        return MIXINGS[self.mixing](self.logits[split], weights, temperature)

    def with_stand_ins(self, column: Mapping[str, float]) -> "LanguagePool":
        """The same, with the mixture's answers where validation has no labels, so that a student's
        accuracy there is its agreement with its teachers.

        Args:
            column: as in `soft_targets`.
        """
        if self.labelled:
            return self
        return replace(self, gold=self.soft_targets("validation", column).argmax(axis=-1))

    def gold_probabilities(self) -> Array:
        """Each teacher's probability of each validation example's label. *Shape:* (T_l, N)"""
        probabilities = softmax(self.logits["validation"])
        return np.asarray(probabilities[:, np.arange(len(self.gold)), self.gold])

    def accuracy(self) -> Array:
        """Each teacher's share of validation examples that it labels correctly. *Shape:* (T_l,)"""
        predicted = self.logits["validation"].argmax(axis=-1)
        return np.asarray((predicted == self.gold).mean(axis=-1))


Pool = dict[str, LanguagePool]


def load(params: Params, layout: Layout, corpora: Sequence[Corpus], labels: Sequence[str],
         teachers: Sequence[str]) -> Pool:
    """The cached logits of `teachers` on each corpus; runs no teacher.

    Raises:
        AmtssError: a cache file is missing, truncated, altered or stale.
    """
    pool = {}
    for corpus in corpora:
        language = corpus.language
        names = tuple(name for name in teachers if language in params.scored_by(name))
        cached = [logits_cache.read(layout.logits(name, language),
                                    logits_cache.origin_of(params, layout, name, language), name)
                  for name in names]
        logits = {split: np.stack([splits[split].at(table["key"].to_numpy()) for splits in cached])
                  for split, table in corpus.splits.items()}
        taught = tuple(len(params.taught_on(name)) if language in params.taught_on(name) else 0
                       for name in names)
        pool[language] = LanguagePool(names, taught, logits,
                                      corpus.label_ids("validation", labels),
                                      params.distil.mixing, corpus.has_labels("validation"))
    return pool
