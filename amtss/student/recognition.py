"""Which language a text is in, by the student's own tokens: naive Bayes over their counts.

A text's score in a language is the sum over its tokens of log P(token | language), so that a new
language is a new column and leaves the others as they are. Tokens are there anyway when a student
reads a text, in every runtime alike. No torch.

Shapes: N texts, L languages, K tokens that the training texts have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.errors import CheckpointError, first_line
from amtss.tokenization.tokens import Tokens

FILE = "languages.safetensors"
SMOOTHING = 0.1
"""Added to every count; 0.01 to 1 differ by less than 0.1 points on MASSIVE."""


@dataclass(frozen=True)
class Recogniser:
    """Scores of tokens in languages. Immutable, and safe to use from many threads."""

    tokens: NDArray[np.int32]
    """Ids, ascending. *Shape:* (K,)"""
    scores: NDArray[np.float16]
    """*Shape:* (K, L)"""

    def logits(self, texts: Tokens) -> NDArray[np.float64]:
        """Sums of the scores of each text's tokens; all are 0 where no token is known.
        *Shape:* (N, L)"""
        ids = np.concatenate([*texts.ids, np.zeros(0, np.int32)])
        place = np.searchsorted(self.tokens, ids).clip(max=len(self.tokens) - 1)
        known = self.tokens[place] == ids
        owner = np.repeat(np.arange(len(texts)), texts.lengths)[known]
        rows = self.scores[place[known]]
        return np.stack([np.bincount(owner, weights=column, minlength=len(texts))
                         for column in rows.T], axis=1)

    def at(self, temperature: float) -> "Recogniser":
        """The same with scores divided by a temperature."""
        return Recogniser(self.tokens, (self.scores / temperature).astype(np.float16))

    def of(self, languages: Sequence[int]) -> "Recogniser":
        """The same for some of the languages alone, by their indices."""
        return Recogniser(self.tokens, self.scores[:, list(languages)])

    def save(self, folder: Path) -> None:
        """Write `FILE` into `folder`."""
        from safetensors.numpy import save_file

        save_file({"tokens": self.tokens, "scores": np.ascontiguousarray(self.scores)},
                  folder / FILE)


def fit(texts: Tokens, language: NDArray[np.int64], languages: int,
        special: Sequence[int]) -> Recogniser:
    """A recogniser of training texts.

    Args:
        language: index of each text's language. *Shape:* (N,)
        languages: how many there are, L.
        special: ids that say nothing of a language: padding, a text's beginning and end.
    """
    parts = texts.ids or (np.zeros(0, np.int32),)
    counts = np.zeros((languages, 1 + max(int(part.max(initial=0)) for part in parts)))
    owner = np.repeat(language, texts.lengths)
    for start, part in zip(texts.bounds, texts.ids, strict=False):
        np.add.at(counts, (owner[start:start + len(part)], part), 1)
    counts[:, [token for token in special if token < counts.shape[1]]] = 0
    tokens = np.flatnonzero(counts.any(axis=0))
    smooth = counts[:, tokens] + SMOOTHING
    scores = np.log(smooth / smooth.sum(axis=1, keepdims=True)).T
    # Only differences count; around 0 they lose less to 16 bits.
    centred = scores - scores.mean(axis=1, keepdims=True)
    return Recogniser(tokens.astype(np.int32), centred.astype(np.float16))


def load(folder: Path, languages: int, command: str) -> Recogniser | None:
    """The recogniser in a student's or an export's folder; None if it was made without one.

    Args:
        languages: how many the student has, L.
        command: writes the folder again; for the message of an error.

    Raises:
        CheckpointError: the file is damaged, or of other languages.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / FILE
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        tokens, scores = tensors["tokens"], tensors["scores"]
        if scores.shape != (len(tokens), languages) or not np.isfinite(scores).all():
            raise ValueError(f"scores of shape {scores.shape}")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected scores of tokens in {languages} languages, found: "
                              f"{first_line(error)}; run `{command}`") from error
    return Recogniser(tokens, scores)
