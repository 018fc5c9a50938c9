"""Texts mixed from the words of training texts, without labels, for the teachers to score.

A student of few rows learns little of what its teachers know: it sees their answers to those rows
alone. Texts that nobody would write are good questions too, as long as their words are the data's
(Tang et al. 2019, "Distilling task-specific knowledge from BERT into simple neural networks").
The training texts of a language without labels are its unlabelled ones.
"""

import random
from collections.abc import Iterator

import pyarrow as pa

from amtss.data.corpus import MIXED
from amtss.data.sources import Tables
from amtss.lookalikes import plain

Row = tuple[list[str], ...]
"""The words of a text, or of both texts of a pair."""

LOST = 0.2
"""Share of a text's words that are left out, replaced by others of train, or mistyped."""

TRIES = 20
"""Draws per text wanted. Very few rows give fewer texts than wanted: none comes twice."""


def mix(tables: Tables, upto: int, language: str, seed: int) -> Tables:
    """`tables` with mixed texts in the unlabelled split, so that it and train have `upto` rows.

    No mixed text is a text of `tables`, or differs from one in case, width or blanks alone. The
    same arguments give the same texts.
    """
    train = tables["train"]
    logs = [tables["unlabelled"]] if "unlabelled" in tables else []
    wanted = upto - len(train) - sum(map(len, logs))
    columns = [name for name in ("text", "pair") if name in train.column_names]
    sources = logs if logs and not len(train) else [train]
    if wanted <= 0 or not (rows := [row for table in sources for row in _rows(table, columns)]):
        return tables
    taken = {tuple(map(plain, texts)) for table in tables.values()
             for texts in _rows(table, columns)}
    blank = " " if sum(" " in row[0].strip() for row in rows) * 2 > len(rows) else ""
    draws = _draws([tuple(text.split() if blank else [*text] for text in row) for row in rows],
                   random.Random(f"{seed}-{language}-mixed"))
    mixed = []
    for _ in range(TRIES * wanted):
        texts = tuple(blank.join(words) for words in next(draws))
        form = tuple(map(plain, texts))
        if all(form) and form not in taken:
            taken.add(form)
            mixed.append(texts)
        if len(mixed) == wanted:
            break
    made = pa.table({"id": [f"{MIXED}{i:05d}" for i in range(len(mixed))],
                     **{name: [texts[i] for texts in mixed] for i, name in enumerate(columns)},
                     "label": pa.nulls(len(mixed), pa.string())}, schema=train.schema)
    return {**tables, "unlabelled": pa.concat_tables([*logs, made], promote_options="permissive")}


def _rows(table: pa.Table, columns: list[str]) -> Iterator[tuple[str, ...]]:
    """The texts of each row that has them."""
    for row in zip(*(table[name].to_pylist() for name in columns), strict=True):
        if all(text and text.strip() for text in row):
            yield row


def _draws(rows: list[Row], draw: random.Random) -> Iterator[Row]:
    """Without end: two rows spliced; or one with words left out, replaced or mistyped."""
    words = [word for row in rows for text in row for word in text]
    while True:
        row, kind = draw.choice(rows), draw.random()
        if kind < 0.25:
            yield _spliced(row, draw.choice(rows), draw)
        elif kind < 0.5:
            yield tuple([word for word in text if draw.random() >= LOST] for text in row)
        elif kind < 0.75:
            yield tuple([draw.choice(words) if draw.random() < LOST else word for word in text]
                        for text in row)
        else:
            yield tuple([_mistyped(word, draw) if draw.random() < LOST else word for word in text]
                        for text in row)


def _spliced(row: Row, other: Row, draw: random.Random) -> Row:
    """A stretch of one text and one of the other; of pairs, the first's text with the other's."""
    if len(row) == 2:
        return row[0], other[1]
    return ([*_stretch(row[0], 2, draw), *_stretch(other[0], 1, draw)],)


def _stretch(words: list[str], least: int, draw: random.Random) -> list[str]:
    """Successive words, at least `least` where there are as many."""
    size = draw.randint(min(least, len(words)), len(words))
    start = draw.randint(0, len(words) - size)
    return words[start:start + size]


def _mistyped(word: str, draw: random.Random) -> str:
    """`word` with one character left out, doubled, or swapped with the next."""
    at = draw.randrange(len(word))
    left, here, right = word[:at], word[at], word[at + 1:]
    return draw.choice((left + right, left + 2 * here + right,
                        left + right[:1] + here + right[1:]))
