"""How many tokens texts have: where they are cut if params.yaml does not say, and how many are.

Where texts are cut is the tokenizer's `model_max_length`, which is saved with every model.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss import processes, records
from amtss.config.schema import Validation
from amtss.data.corpus import Corpus
from amtss.tokenization import encoding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Lengths = Mapping[str, NDArray[np.int64]]
"""Tokens of each row of a language's source, by split, special tokens included. *Shape:* (N,)"""
WHOLE = 0.995
"""Share of a language's training texts that the usual length leaves whole. Half of what it cuts
makes a warning, by `validation.warn_truncated`."""
SHORTEST, LONGEST, STEP = 16, 256, 8
"""Bounds of the usual length, and what it is a multiple of."""


def measure(tokenizer: "PreTrainedTokenizerBase", corpus: Corpus, prefix: str = "") -> Lengths:
    """The lengths of a language's rows, uncut; mixed texts do not count."""
    return {split: encoding.tokenise(tokenizer, encoding.prefixed(table, prefix), None).lengths
            for split, table in corpus.own().splits.items()}


def usual(languages: Iterable[Lengths], most: int) -> int:
    """The length that leaves `WHOLE` of the training texts of every language as they are.

    Args:
        most: tokens that the model can read.
    """
    longest = SHORTEST
    for lengths in languages:
        texts = np.concatenate([lengths[split] for split in ("train", "unlabelled")
                                if split in lengths] or [np.zeros(0, np.int64)])
        if len(texts):
            longest = max(longest, int(np.quantile(texts, WHOLE, method="inverted_cdf")))
    return min(-(-longest // STEP) * STEP, LONGEST, most)


def settle(tokenizer: "PreTrainedTokenizerBase", corpora: Sequence[Corpus], max_length: int | None,
           limits: Validation | None, name: str, prefix: str = "") -> records.Lengths:
    """Set the tokenizer's `model_max_length`, and count the rows that are cut there.

    Args:
        max_length: what params.yaml says; null for the usual length.
        limits: print a warning where more rows are cut than they allow; None prints none.
        name: whose texts they are.
    """
    measured = {corpus.language: measure(tokenizer, corpus, prefix) for corpus in corpora}
    length = max_length or usual(measured.values(), tokenizer.model_max_length)
    tokenizer.model_max_length = length
    cut: dict[str, float] = {}
    for code, lengths in measured.items():
        rows = np.concatenate([*lengths.values()])
        longer = int((rows > length).sum())
        cut[code] = longer / max(1, len(rows))
        if limits is not None and cut[code] > limits.warn_truncated:
            processes.warn(warning(code, longer, len(rows), length, name))
    return {"max_length": length, "cut": cut}


def warning(language: str, longer: int, rows: int, max_length: int, readers: str) -> str:
    """What is said where too many rows are cut."""
    return (f"{language}: {longer} of {rows} rows ({longer / rows:.1%}) are longer than "
            f"{max_length} tokens, the max_length of {readers}, and are cut there; raise it to "
            "read them whole")
