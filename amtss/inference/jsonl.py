"""Lines of text or JSON in, lines of JSON out: what `amtss predict` reads and writes."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from amtss.errors import DataError
from amtss.inference.predictor import Predictor

BATCH = 128
"""Lines read before they are answered."""


class Question(NamedTuple):
    """A text to classify."""

    text: str
    language: str
    pair: str | None = None


def questions(stream: IO[bytes], language: str, pair: str | None) -> Iterator[Question]:
    """Questions from lines: JSON objects (`text`, `lang`, `pair`), or plain text.

    Args:
        language, pair: of lines that name none.

    Raises:
        DataError: a line is not UTF-8, or an object without a text.
    """
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise DataError(f"stdin:{number}: expected UTF-8, found other bytes; convert the "
                            "input to UTF-8") from None
        if text.startswith("{"):
            yield _question(text, f"stdin:{number}", language, pair)
        elif text:
            yield Question(text, language, pair)


def _question(text: str, where: str, language: str, pair: str | None) -> Question:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: expected a JSON object, found: {error}; correct that line"
                        ) from None
    if not isinstance(row.get("text"), str):
        raise DataError(f"{where}: expected a `text`, found keys {', '.join(row) or 'none'}; add "
                        "it to that line")
    for key in ("lang", "pair"):
        if not isinstance(row.get(key), str | None):
            raise DataError(f"{where}: expected text for `{key}`, found {row[key]!r}; correct that "
                            "line")
    lang, own = row.get("lang"), row.get("pair")  # null is as good as none
    return Question(row["text"], language if lang is None else lang, pair if own is None else own)


def answer(load: Callable[[Path], Predictor], folder: Path, questions: Iterable[Question]
           ) -> Iterator[str]:
    """A JSON line per question, in order: text, lang, label and the probabilities of all labels.

    Args:
        load: loads the student in `folder`; called when the first question is there.

    Raises:
        CheckpointError: there is no student in `folder`.
        DataError: the student has no head for a language.
    """
    predictor: Predictor | None = None
    waiting = iter(questions)
    while batch := list(islice(waiting, BATCH)):
        predictor = predictor or load(folder)
        texts, languages, pairs = zip(*batch, strict=True)
        for question, prediction in zip(batch, predictor.predict(texts, languages, pairs),
                                        strict=True):
            yield json.dumps({"text": question.text, "lang": question.language,
                              "label": prediction.label,
                              "probabilities": prediction.probabilities}, ensure_ascii=False)
