"""What the tokenizers of checkpoints make of the texts: how many they cut at `max_length`, the
longer text of a pair first, and how many of the tokens are unknown.

A tokenizer that is trained here does not exist yet in the gate; see vocabulary.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from amtss.config.schema import Params, ProbeTeacher, TransformerTeacher, Validation
from amtss.data.corpus import Corpus
from amtss.tokenization import encoding, lengths, unknown
from amtss.tokenization.lengths import Lengths
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


class _Texts(NamedTuple):
    lengths: Lengths
    unknown: float


class _Reader(NamedTuple):
    name: str
    max_length: int | None
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
        read = {corpus.language: _read(tokenizer, corpus, source.prefix) for corpus in corpora
                if any(corpus.language in {*reader.taught, *reader.scored} for reader in readers)}
        settled = [reader if reader.max_length else reader._replace(max_length=lengths.usual(
            [read[code].lengths for code in reader.taught if code in read],
            tokenizer.model_max_length)) for reader in readers]
        for code, texts in read.items():
            cuts += _cuts(source, code, texts, [reader for reader in settled
                                                if code in {*reader.taught, *reader.scored}])
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


def _cuts(source: _Source, language: str, texts: _Texts,
          readers: Sequence[_Reader]) -> Iterator[Cut]:
    """For each `max_length` of the readers."""
    rows = np.concatenate([*texts.lengths.values()])
    for max_length in dict.fromkeys(reader.max_length or 0 for reader in readers):
        own = [reader for reader in readers if reader.max_length == max_length]
        yield Cut(language, source.checkpoint, tuple(reader.name for reader in own),
                  max_length, len(rows), int((rows > max_length).sum()),
                  int(np.percentile(rows, 99)), int(rows.max()), texts.unknown,
                  any(language in reader.taught for reader in own))


def _read(tokenizer: "PreTrainedTokenizerBase", corpus: Corpus, prefix: str) -> _Texts:
    """Read every row uncut, with its prefix and special tokens; mixed texts do not count."""
    measured, found, counted = {}, 0, 0
    for split, table in corpus.own().splits.items():
        read = encoding.tokenise(tokenizer, encoding.prefixed(table, prefix), None)
        measured[split] = read.lengths
        ids = np.concatenate([np.empty(0, np.int32), *read.ids])
        found += unknown.count(tokenizer, ids)
        special = tokenizer.num_special_tokens_to_add("pair" in table.column_names)
        counted += len(ids) - special * len(table)
    return _Texts(measured, found / max(1, counted))


def warnings(cuts: Sequence[Cut], limits: Validation) -> list[str]:
    """What should be known before training.

    Raises:
        CheckpointError: too much of a language is unknown to a tokenizer.
    """
    found = [lengths.warning(cut.language, cut.longer, cut.rows, cut.max_length,
                             ", ".join(cut.readers))
             for cut in cuts if cut.share > limits.warn_truncated]
    for cut in cuts:
        readers = ", ".join(cut.readers)
        found += unknown.judge(
            cut.language, cut.unknown, limits, f"the tokenizer of {cut.checkpoint} ({readers})",
            f"give {readers} a checkpoint whose tokenizer knows the characters of {cut.language}",
            refuse=cut.taught)
    return found
