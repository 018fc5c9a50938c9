"""What the tokenizers of checkpoints make of the texts: how many they cut at `max_length`, the
longer text of a pair first, and how many of the tokens are unknown.

A tokenizer that is trained here does not exist yet in the gate; see vocabulary.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params, ProbeTeacher, TransformerTeacher, Validation
from amtss.data.corpus import Corpus
from amtss.tokenization import tokens, unknown
from amtss.tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STUDENT = "the student"


@dataclass(frozen=True)
class Cut:
    """Lengths of a language's texts, of all splits, by a tokenizer that some models share."""

    language: str
    checkpoint: str
    readers: tuple[str, ...]
    """Names of teachers; the student is called `STUDENT`."""
    max_length: int
    rows: int
    longer: int
    """Rows of more than `max_length` tokens."""
    usual: int
    """99% of the rows have at most so many tokens."""
    longest: int
    """Tokens of the longest row."""
    unknown: float
    """Share of unknown tokens in the texts of the source, special tokens not counted."""
    taught: bool
    """Whether a reader is trained on the language; else teachers score it and no more."""

    @property
    def share(self) -> float:
        return self.longer / self.rows


class _Source(NamedTuple):
    checkpoint: str
    revision: str | None
    prefix: str = ""


class _Reader(NamedTuple):
    name: str
    max_length: int
    taught: tuple[str, ...]
    """Languages that it is trained on."""
    scored: tuple[str, ...] = ()


def count(params: Params, corpora: Sequence[Corpus]) -> list[Cut]:
    """What is cut and what is unknown, per language, tokenizer and `max_length`.

    Raises:
        CheckpointError: a checkpoint has no tokenizer, or the hub does not serve it.
    """
    sources: dict[_Source, list[_Reader]] = defaultdict(list)
    for source, reader in _readers(params):
        sources[source].append(reader)
    cuts: list[Cut] = []
    for source, readers in sources.items():
        tokenizer = load_tokenizer(source.checkpoint, source.revision)
        for corpus in corpora:
            own = [reader for reader in readers
                   if corpus.language in {*reader.taught, *reader.scored}]
            if own:
                cuts += _cuts(tokenizer, source, corpus, own)
    order = [corpus.language for corpus in corpora]
    return sorted(cuts, key=lambda cut: order.index(cut.language))


def _readers(params: Params) -> Iterator[tuple[_Source, _Reader]]:
    """Who reads texts with which checkpoint's tokenizer."""
    for name, teacher in params.teachers.items():
        languages = params.taught_on(name), params.scored_by(name)
        if isinstance(teacher, TransformerTeacher) and teacher.checkpoint is not None:
            yield (_Source(teacher.checkpoint, teacher.revision),
                   _Reader(name, params.training_of(name).max_length, *languages))
        elif isinstance(teacher, ProbeTeacher):
            yield (_Source(teacher.checkpoint, teacher.revision, teacher.prefix),
                   _Reader(name, teacher.max_length, *languages))
    student = params.student
    checkpoint, revision = student.checkpoint or student.tokenizer, student.revision
    if student.teacher is not None:
        teacher = params.teachers[student.teacher]
        assert isinstance(teacher, TransformerTeacher)
        checkpoint, revision = teacher.checkpoint, teacher.revision
    if checkpoint is not None and params.onboarding is None:
        yield (_Source(checkpoint, revision),
               _Reader(STUDENT, student.max_length, params.languages))


def _cuts(tokenizer: "PreTrainedTokenizerBase", source: _Source, corpus: Corpus,
          readers: Sequence[_Reader]) -> Iterator[Cut]:
    """For each `max_length` of the readers."""
    lengths, share = _read(tokenizer, corpus, source.prefix)
    for max_length in dict.fromkeys(reader.max_length for reader in readers):
        own = [reader for reader in readers if reader.max_length == max_length]
        yield Cut(corpus.language, source.checkpoint, tuple(reader.name for reader in own),
                  max_length, len(lengths), int((lengths > max_length).sum()),
                  int(np.percentile(lengths, 99)), int(lengths.max()), share,
                  any(corpus.language in reader.taught for reader in own))


def _read(tokenizer: "PreTrainedTokenizerBase", corpus: Corpus,
          prefix: str) -> tuple[NDArray[np.int64], float]:
    """Tokens of every uncut row, prefix and special tokens included, *Shape:* (N,), and `unknown`.
    """
    lengths, found, counted = [], 0, 0
    for split, own in corpus.own().splits.items():
        read = tokens.tokenise(tokenizer, tokens.prefixed(corpus[split], prefix), None)
        lengths.append(read.lengths)
        end = int(read.starts[len(own)])
        ids = np.concatenate([np.empty(0, np.int32), *read.ids])
        found += unknown.count(tokenizer, ids[:end])
        special = tokenizer.num_special_tokens_to_add("pair" in own.column_names)
        counted += end - special * len(own)
    return np.concatenate(lengths), found / max(1, counted)


def warnings(cuts: Sequence[Cut], limits: Validation) -> list[str]:
    """What should be known before training.

    Raises:
        CheckpointError: too much of a language is unknown to a tokenizer.
    """
    found = [f"{cut.language}: {cut.longer} of {cut.rows} rows ({cut.share:.1%}) are longer than "
             f"{cut.max_length} tokens, the max_length of {', '.join(cut.readers)}, and are cut "
             "there; raise it to read them whole" for cut in cuts
             if cut.share > limits.warn_truncated]
    for cut in cuts:
        readers = ", ".join(cut.readers)
        found += unknown.judge(
            cut.language, cut.unknown, limits, f"the tokenizer of {cut.checkpoint} ({readers})",
            f"give {readers} a checkpoint whose tokenizer knows the characters of {cut.language}",
            refuse=cut.taught)
    return found
