"""How many texts a teacher's tokenizer cuts at `max_length`, the longer text of a pair first.

Only for teachers from checkpoints: a tokenizer that is trained here does not exist yet in the gate.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params, ProbeTeacher, TransformerTeacher
from amtss.data.corpus import Corpus
from amtss.tokenization import tokens
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Cut:
    """Lengths of a language's texts, of all splits, by a tokenizer that some teachers share."""

    language: str
    checkpoint: str
    teachers: tuple[str, ...]
    max_length: int
    rows: int
    longer: int
    """Rows of more than `max_length` tokens."""
    usual: int
    """99% of the rows have at most so many tokens."""
    longest: int
    """Tokens of the longest row."""

    @property
    def share(self) -> float:
        return self.longer / self.rows


def count(params: Params, corpora: Sequence[Corpus]) -> list[Cut]:
    """What is cut, per language and tokenizer.

    Raises:
        CheckpointError: a checkpoint has no tokenizer, or the hub does not serve it.
    """
    readers: dict[tuple[str, str | None, str, int], list[str]] = defaultdict(list)
    for name, teacher in params.teachers.items():
        if isinstance(teacher, TransformerTeacher) and teacher.checkpoint is not None:
            length = params.training_of(name).max_length
            readers[teacher.checkpoint, teacher.revision, "", length].append(name)
        elif isinstance(teacher, ProbeTeacher):
            readers[teacher.checkpoint, teacher.revision, teacher.prefix,
                    teacher.max_length].append(name)
    cuts = []
    for (checkpoint, revision, prefix, max_length), names in readers.items():
        tokenizer = load_tokenizer(checkpoint, revision)
        for corpus in corpora:
            own = tuple(name for name in names if corpus.language in
                        {*params.taught_on(name), *params.scored_by(name)})
            if own:
                lengths = _lengths(tokenizer, corpus, prefix)
                cuts.append(Cut(
                    corpus.language, checkpoint, own, max_length, len(lengths),
                    int((lengths > max_length).sum()), int(np.percentile(lengths, 99)),
                    int(lengths.max())))
    order = [corpus.language for corpus in corpora]
    return sorted(cuts, key=lambda cut: order.index(cut.language))


def _lengths(tokenizer: "PreTrainedTokenizerBase", corpus: Corpus,
             prefix: str) -> NDArray[np.int64]:
    """Tokens of every uncut row, prefix and special tokens included. *Shape:* (N,)"""
    return np.concatenate([tokens.tokenise(tokenizer, tokens.prefixed(table, prefix), None).lengths
                           for table in corpus.splits.values()])
