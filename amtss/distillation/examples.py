"""The rows that a student learns from or is measured on, of all languages.

Shapes: N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amtss.data.corpus import Corpus
from amtss.tokenization import encoding, tokens
from amtss.tokenization.tokens import Tokens


@dataclass(frozen=True)
class Examples:
    """Rows of all languages, one language after another."""

    tokens: Tokens
    labels: NDArray[np.int64]
    """Class indices, `UNLABELLED` where there is none. *Shape:* (N,)"""
    language: NDArray[np.int64]
    """Index of each row's language among the corpora. *Shape:* (N,)"""

    def of(self, language: int) -> NDArray[np.int64]:
        """Rows of one language."""
        return np.flatnonzero(self.language == language)


def examples(cache: encoding.Cache, corpora: Sequence[Corpus], splits: Sequence[str],
             labels: Sequence[str]) -> Examples:
    """The `splits` of `corpora`: language by language, and within a language split by split."""
    parts = [(cache.of(corpus, split), corpus.label_ids(split, labels), index)
             for index, corpus in enumerate(corpora)
             for split in splits if split in corpus.splits]
    return Examples(tokens.joined([texts for texts, _, _ in parts]),
                    np.concatenate([ids for _, ids, _ in parts]),
                    np.concatenate([np.full(len(ids), index) for _, ids, index in parts]))
