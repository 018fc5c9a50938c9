"""Unknown tokens: how much of a language a tokenizer cannot read.

A character that a vocabulary lacks becomes the unknown token, whichever it is: a model cannot tell
texts apart that differ in such characters alone.
"""

from collections.abc import Iterable
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss import processes
from amtss.config.schema import Validation
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.tokenization.tokenizer import training_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE = 10_000
"""Most texts of a language that `share` reads."""


def check(tokenizer: "PreTrainedTokenizerBase", corpora: Iterable[Corpus], limits: Validation,
          name: str, fix: str, refuse: bool = True) -> None:
    """Check how much of the languages' training texts is unknown to a tokenizer; print warnings.

    Raises:
        CheckpointError: more than `limits` allow; see `judge`.
    """
    for corpus in corpora:
        found = share(tokenizer, corpus)
        for warning in judge(corpus.language, found, limits, name, fix, refuse):
            processes.warn(warning)


def judge(language: str, found: float, limits: Validation, name: str, fix: str,
          refuse: bool = True) -> list[str]:
    """A warning, where one is due.

    Args:
        found: the share of unknown tokens.
        name: what to call the tokenizer.
        fix: what lowers the share, for the end of a message.
        refuse: False only warns, as of a teacher that scores a language without training on it.

    Raises:
        CheckpointError: it is above `max_unknown`.
    """
    if refuse and found > limits.max_unknown:
        raise CheckpointError(f"{language}: expected a tokenizer that reads it, found {found:.1%} "
                              f"unknown tokens with {name}; {fix}, or allow them by "
                              "validation.max_unknown")
    if found > limits.warn_unknown:
        return [f"{language}: {found:.1%} of its tokens are unknown to {name}; {fix}"]
    return []


def share(tokenizer: "PreTrainedTokenizerBase", corpus: Corpus) -> float:
    """Share of unknown tokens in the training texts of a language's source, of at most `SAMPLE`."""
    texts = list(training_texts([corpus.own()]))
    if not texts:
        return 0.0
    sample = texts[::ceil(len(texts) / SAMPLE)]
    encoded = tokenizer(sample, add_special_tokens=False, verbose=False)["input_ids"]
    ids = np.fromiter(chain.from_iterable(encoded), np.int32)
    return count(tokenizer, ids) / max(1, len(ids))


def count(tokenizer: "PreTrainedTokenizerBase", ids: NDArray[np.int32]) -> int:
    """How many of the tokens are unknown.

    None of a tokenizer of bytes, whose unknown token is its mark of a text's beginning or end.

    Args:
        ids: *Shape:* (tokens,)
    """
    token = tokenizer.unk_token_id
    if token in (None, tokenizer.bos_token_id, tokenizer.eos_token_id):
        return 0
    return int((ids == token).sum())
