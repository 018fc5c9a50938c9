"""The embedded demonstration data: an e-commerce chatbot's questions in eight languages.

The AE data set of the paper is private, so this one is generated. It keeps what the paper publishes
about AE: the label names and the number of messages per label and language (Appendix A). The
messages are made from `phrases/{language}.yaml`: template x slots x opener x closer x typing noise.
Templates are listed from the most frequent to the rarest and drawn with Zipf-like weights. Some are
under two labels on purpose: real customers are ambiguous too, and students with perfect scores
could not be compared.
"""

from __future__ import annotations

import random
import re
import unicodedata
from functools import cache
from importlib import resources
from typing import NamedTuple

from amtss.config import yaml
from amtss.data.appendix_a import COUNTS, LABELS, LANGUAGES
from amtss.errors import DataError

SPLITS: tuple[str, ...] = ("train", "validation", "test")


class Row(NamedTuple):
    """One message; `id` is unique over all languages and splits."""

    id: str
    text: str
    label: str | None
    """None in chat logs."""


class Phrases(NamedTuple):
    """One language's file: openers, closers, fillers per slot, templates per label."""

    openers: list[str]
    closers: list[str]
    slots: dict[str, list[str]]
    templates: dict[str, list[str]]


def logs(language: str, *, share: float, scale: float = 0.04, seed: int = 0) -> list[Row]:
    """Messages of `language` as they come in a chat, without labels.

    None of them is one of `generate`'s rows for the same scale and seed, retyped or not. The same
    arguments give the same messages in every process.

    Args:
        share: fraction of Appendix A's counts, from 0 to 1.

    Raises:
        DataError: a language that is not in LANGUAGES, or a scale out of range.
    """
    labelled = generate(language, scale=scale, seed=seed)
    taken = {_key(row.text) for rows in labelled.values() for row in rows}
    rng, phrases = random.Random(f"{seed}-{language}-logs"), load_phrases(language)
    texts = [_unused_message(rng, phrases, label, taken)
             for label, full in zip(LABELS, COUNTS[language], strict=True)
             for _ in range(round(full * share))]
    rng.shuffle(texts)
    return [Row(f"{language}-unlabelled-{i:05d}", text, None) for i, text in enumerate(texts)]


def generate(language: str, *, scale: float = 0.04, seed: int = 0) -> dict[str, list[Row]]:
    """Return the rows of `language` by split: about 70 / 12 / 18 % of every label.

    The same arguments give the same rows in every process, whatever other languages there are.

    Args:
        scale: fraction of Appendix A's counts to generate, above 0 and at most 1. A label that has
            a count in the appendix gets at least 3 rows, so that it is in every split.

    Raises:
        DataError: a language that is not in LANGUAGES, or a scale out of range.
    """
    if language not in COUNTS:
        known = ", ".join(LANGUAGES)
        raise DataError(f"expected a demo language, one of {known}; found {language!r}; "
                        f"set `languages` in params.yaml to some of {known}")
    if not 0 < scale <= 1:
        raise DataError(f"expected a demo scale above 0 and at most 1; found {scale!r}; "
                        "0.04 gives about 8,700 rows over all eight languages")
    phrases = load_phrases(language)
    # A string seed goes through SHA-512, so it does not depend on PYTHONHASHSEED.
    rng = random.Random(f"{seed}-{language}")
    taken: set[str] = set()
    drawn: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for label, full in zip(LABELS, COUNTS[language], strict=True):
        size = max(3, round(full * scale)) if full else 0
        pairs = [(_unused_message(rng, phrases, label, taken), label) for _ in range(size)]
        validation, test = (max(1, round(size * share)) for share in (0.12, 0.18))
        drawn["validation"] += pairs[:validation]
        drawn["test"] += pairs[validation : validation + test]
        drawn["train"] += pairs[validation + test :]
    for pairs in drawn.values():
        rng.shuffle(pairs)
    return {split: [Row(f"{language}-{split}-{i:05d}", *pair) for i, pair in enumerate(pairs)]
            for split, pairs in drawn.items()}


@cache
def load_phrases(language: str) -> Phrases:
    """Read `phrases/{language}.yaml`; `language` must be one of LANGUAGES."""
    source = resources.files("amtss.data") / "phrases" / f"{language}.yaml"
    return Phrases(**yaml.load(source.read_text("utf-8"), str(source)))


def _unused_message(rng: random.Random, phrases: Phrases, label: str, taken: set[str]) -> str:
    """Draw messages until one is not in `taken`, and add it there.

    Messages that differ only in case or punctuation count as equal: a test message must not be a
    training message typed differently.
    """
    attempts = 0
    while True:  # this ends, because every 10 attempts add a typo
        typos = rng.choices((0, 1, 2, 3), (50, 30, 14, 6))[0] + attempts // 10
        text = _retyped(rng, _sentence(rng, phrases, label), typos)
        key = _key(text)
        if key not in taken:
            taken.add(key)
            return text
        attempts += 1


def _key(text: str) -> str:
    """What two messages share that differ in case or punctuation only."""
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def _sentence(rng: random.Random, phrases: Phrases, label: str) -> str:
    """Fill a template, and add an opener and a closer with a probability of 35% each."""
    templates = phrases.templates[label]
    template = rng.choices(templates, [1 / (rank + 2) for rank in range(len(templates))])[0]
    decks: dict[str, list[str]] = {}  # drawn without replacement: no "black instead of black"

    def filler(slot: re.Match[str]) -> str:
        fillers = phrases.slots[slot[1]]
        return decks.setdefault(slot[1], rng.sample(fillers, len(fillers))).pop()

    text = re.sub(r"\{(\w+)\}", filler, template)
    text = re.sub("#", lambda _: str(rng.randrange(10)), text)
    if rng.random() < 0.35:
        text = f"{rng.choice(phrases.openers)} {text}"
    if rng.random() < 0.35:
        text = f"{text} {rng.choice(phrases.closers)}"
    return text


def _retyped(rng: random.Random, text: str, typos: int) -> str:
    """`text` as customers type it: with careless case and punctuation, and with `typos` slips."""
    style = rng.random()
    if style < 0.45:
        text = text[0].upper() + text[1:]
    elif style < 0.65:
        text = text.lower()
    elif style < 0.68:
        text = text.upper()
    if rng.random() < 0.35:
        text = re.sub(r"\s*[,.!?:،؟]+(?=\s|$)", "", text)  # the point in 12.50 stays
    for _ in range(typos):
        text = _slip(rng, text)
    return text


def _slip(rng: random.Random, text: str) -> str:
    """Swap, drop, double or simplify one letter inside a word; digits stay as they are."""
    places = [i for i in range(len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    here, after = text[i], text[i + 1]
    slip = rng.choice((after + here, after, here + here + after, _simplified(here) + after))
    return text[:i] + slip + text[i + 2 :]


def _simplified(letter: str) -> str:
    """`letter` without its accent (é, й, ż, أ) or its final consonant (한 to 하)."""
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFD", letter)[:-1])
    # Without an accent nothing is left. An open Korean syllable leaves a lone jamo: keep its vowel.
    return letter if not bare or "\u1100" <= bare <= "\u11ff" else bare
