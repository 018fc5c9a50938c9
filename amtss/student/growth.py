"""A tokenizer with more pieces, for new languages; texts of the old languages keep their tokens."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amtss.config.schema import Validation
from amtss.data.corpus import Corpus
from amtss.student.trimming import token_counts
from amtss.tokenization import unknown
from amtss.tokenization.tokenizer import Piece, rebuilt, train_pieces, training_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Source(NamedTuple):
    """The pretrained encoder that a student started from, and its tokenizer."""

    folder: str
    """Or hub id."""
    tokenizer: "PreTrainedTokenizerBase"
    min_count: int
    """How often texts must use a piece of several characters."""

    def pieces(self, corpora: Sequence[Corpus]) -> list[Piece]:
        """Its pieces that the training texts use, and their scores: first the single characters of
        these pieces, so that every piece left out can be spelt, then the most used ones."""
        vocabulary = json.loads(self.tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
        counts = token_counts(self.tokenizer, corpora).sum(axis=0)[:len(vocabulary)]
        used = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
        characters = {letter for index in used for letter in vocabulary[index][0]}
        letters = [index for index, (piece, _) in enumerate(vocabulary) if piece in characters]
        often = [index for index in used if counts[index] >= self.min_count]
        return [(vocabulary[index][0], vocabulary[index][1])
                for index in dict.fromkeys([*letters, *often])]


def grow_tokenizer(tokenizer: "PreTrainedTokenizerBase", new: Sequence[Corpus],
                   old: Sequence[Corpus], size: int, limits: Validation,
                   source: Source | None = None) -> "PreTrainedTokenizerBase":
    """`tokenizer` with at most `size` more pieces, those of `source` that the texts of `new` use,
    or, where there is none, pieces that are trained on these texts.

    Its tokens keep their ids, and every text of `old` keeps its tokens: a new piece that one of
    those texts would use is left out, unless it has a character that was unknown so far.

    Args:
        source: what `tokenizer` was trimmed from.

    Raises:
        CheckpointError: too much of `new` is unknown to it, because it cannot grow or even with
            the new pieces.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    if state["model"]["type"] != "Unigram":
        unknown.check(tokenizer, new, limits, f"the registered student's {state['model']['type']}, "
                      "which cannot grow", "distil a student with another student.tokenizer and "
                      "register it")
        return tokenizer
    state |= {"truncation": None, "padding": None}  # old texts are compared to their ends
    vocabulary = state["model"]["vocab"]
    # Added tokens have the ids behind the model's pieces: new pieces would take these ids.
    vocabulary += [(token["content"], 0.0) for token in state["added_tokens"]
                   if token["id"] >= len(vocabulary)]
    known, lowest = {piece for piece, _ in vocabulary}, min(score for _, score in vocabulary)
    # A score below all others would change the cost of an unknown character, in old texts too.
    pieces = (train_pieces(tokenizer.backend_tokenizer, new, size) if source is None else
              source.pieces(new))
    candidates = [(piece, max(score, lowest)) for piece, score in pieces
                  if piece not in known][:size]
    rivals = _rivals(state, candidates, old)
    added = [piece for piece in candidates if piece not in rivals]
    grown = rebuilt(tokenizer, _with_pieces(state, added))
    unknown.check(grown, new, limits, f"the registered student's tokenizer and {len(added)} new "
                  "pieces", "raise continuation.vocabulary")
    return grown


def _rivals(state: dict[str, Any], candidates: Iterable[Piece],
            old: Sequence[Corpus]) -> set[Piece]:
    """Those `candidates` that texts of `old` would use instead of tokens they have."""
    from tokenizers import Tokenizer

    vocabulary = state["model"]["vocab"]
    characters = set().union(*(piece for piece, _ in vocabulary))
    # A piece with an unknown character can only replace an unknown token.
    left = [piece for piece in candidates if characters.issuperset(piece[0])]
    texts, rivals = list(training_texts(old)), set()
    while texts and left:  # without its rivals, a text may use other candidates
        tokenizer = Tokenizer.from_str(json.dumps(_with_pieces(state, left)))
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        texts = [text for text, row in zip(texts, ids, strict=True) if max(row) >= len(vocabulary)]
        rivals |= {left[token - len(vocabulary)]
                   for row in ids for token in row if token >= len(vocabulary)}
        left = [piece for piece in left if piece not in rivals]
    return rivals


def _with_pieces(state: dict[str, Any], pieces: Iterable[Piece]) -> dict[str, Any]:
    return state | {"model": state["model"] | {"vocab": [*state["model"]["vocab"], *pieces]}}
