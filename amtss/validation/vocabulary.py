"""Characters that a vocabulary which is trained here will have no room for, before it is trained.

Such a vocabulary holds the most frequent characters of the texts that it is trained on, and other
pieces where there is room left. `teach` and `start` then count the unknown tokens themselves.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from amtss.config.schema import Params, TransformerTeacher
from amtss.data.corpus import Corpus
from amtss.tokenization.tokenizer import SPECIAL, training_texts


class Vocabulary(NamedTuple):
    """One that is trained here."""

    owner: str
    key: str
    """Of its size in params.yaml."""
    size: int
    """In pieces, special tokens included."""
    languages: tuple[str, ...]
    """Those whose texts it is trained on."""


def warnings(params: Params, corpora: Sequence[Corpus]) -> list[str]:
    """A warning for each vocabulary and language of which it lacks too many characters."""
    planned = list(_vocabularies(params))
    if not planned:
        return []
    counts = {corpus.language: _characters(corpus) for corpus in corpora}
    return [warning for vocabulary in planned
            for warning in _lacking(vocabulary, counts, params.validation.warn_unknown)]


def _vocabularies(params: Params) -> Iterator[Vocabulary]:
    student = params.student
    for name, teacher in params.teachers.items():
        if isinstance(teacher, TransformerTeacher) and teacher.from_scratch:
            yield Vocabulary(f"teacher {name}", f"teachers.{name}.architecture.vocabulary",
                             teacher.architecture.vocabulary, params.taught_on(name))
    if not (params.onboarding or student.checkpoint or student.teacher or student.tokenizer):
        yield Vocabulary("the student", "student.architecture.vocabulary",
                         student.architecture.vocabulary, params.languages)


def _lacking(vocabulary: Vocabulary, counts: dict[str, Counter[str]],
             limit: float) -> Iterator[str]:
    together: Counter[str] = Counter()
    for code in vocabulary.languages:
        together.update(counts[code])
    room = vocabulary.size - len(SPECIAL) - 1  # one is the mark of a word's beginning
    known = {character for character, _ in together.most_common(room)}
    for code in vocabulary.languages:
        own = counts[code]
        lacking = sum(times for character, times in own.items() if character not in known)
        if lacking > limit * own.total():
            yield (f"{code}: {lacking / own.total():.1%} of the characters of its training texts, "
                   f"{len(own):,} different ones, will be unknown to the {vocabulary.size:,} "
                   f"pieces of {vocabulary.owner}; raise {vocabulary.key}")


def _characters(corpus: Corpus) -> Counter[str]:
    """How often each character occurs in the training texts of a language's source, as
    `train_tokenizer` normalises them, without blanks."""
    counts: Counter[str] = Counter()
    for text in training_texts([corpus.own()]):
        counts.update(unicodedata.normalize("NFKC", text).lower())
    return Counter({character: times for character, times in counts.items()
                    if not character.isspace()})
