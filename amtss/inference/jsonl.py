"""Lines of text or JSON in, lines of JSON out: what `amtss predict` reads and writes."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import isinf
from pathlib import Path
from textwrap import shorten
from typing import IO, Any, NamedTuple

from amtss.errors import DataError
from amtss.inference.predictor import Prediction, Predictor
from amtss.processes import warn
from amtss.texts import check_text

BATCH = 128
"""Lines read before they are answered."""


class Question(NamedTuple):
    """A text to classify."""

    text: str
    language: str | None
    """None or `auto` where it is to be recognised."""
    pair: str | None = None
    where: str = "text"
    """Where it was found, for an error's message."""


Refuse = Callable[[DataError], None]
"""What to do with a line that cannot be answered: raise its error, or report it and return."""


def stop(error: DataError) -> None:
    """Refuse a line by ending there.

    Raises:
        DataError: always.
    """
    raise error


def questions(stream: IO[bytes], language: str | None, pair: str | None,
              refuse: Refuse = stop) -> Iterator[Question]:
    """Questions from lines: JSON objects (`text`, `lang`, `pair`), or plain text.

    A line is refused that is not UTF-8, or an object without a text.

    Args:
        language, pair: of lines that name none.
    """
    for number, line in enumerate(stream, start=1):
        try:
            question = _read(line, f"stdin:{number}", language, pair)
        except DataError as error:
            refuse(error)
        else:
            if question is not None:
                yield question


def _read(line: bytes, where: str, language: str | None, pair: str | None) -> Question | None:
    """The question in a line; None if it is blank."""
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(f"{where}: expected UTF-8, found other bytes; convert the input to UTF-8"
                        ) from None
    if text.startswith("{"):
        return question(parse(text, where), where, language, pair)
    return Question(text, language, pair, where) if text else None


def parse(text: str, where: str) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        DataError: there is none.
    """
    try:
        row = json.loads(text)
    except RecursionError:
        raise DataError(f"{where}: expected a JSON object, found too many brackets inside each "
                        "other; correct it") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: expected a JSON object, found: {error}; correct it"
                        ) from None
    except ValueError:
        raise DataError(f"{where}: expected a JSON object, found a number of thousands of digits; "
                        "correct it") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {shorten(text, 80)}; "
                        "correct it")
    return row


def question(row: Mapping[str, Any], where: str, language: str | None, pair: str | None,
             column: str = "text") -> Question:
    """The question in a row.

    Args:
        language, pair: of a row that names none.
        column: the text's name in the row.

    Raises:
        DataError: there is no text in it, or a language or pair that is no text.
    """
    text = row.get(column)
    if not isinstance(text, str):
        keys = f"keys {shorten(', '.join(row), 200) or 'none'}"
        found = keys if column not in row else "null" if text is None else shorten(repr(text), 80)
        raise DataError(f"{where}: expected a `{column}`, found {found}; add it")
    for key in ("lang", "pair"):
        if not isinstance(row.get(key), str | None):
            raise DataError(f"{where}: expected text for `{key}`, found "
                            f"{shorten(repr(row[key]), 200)}; correct it")
    lang, own = row.get("lang"), row.get("pair")  # null is as good as none
    asked = Question(text, language if lang is None else lang, pair if own is None else own, where)
    check_text(f"{where}: {column}", asked.text)
    check_text(f"{where}: pair", asked.pair or "")
    return asked


def answer(load: Callable[[Path], Predictor], folder: Path, questions: Iterable[Question],
           refuse: Refuse = stop, min_accuracy: float | None = None) -> Iterator[str]:
    """A JSON line per question, in order: text, lang, label and the probabilities of all labels.

    Where the language was not given, `lang_probability` says how sure it is. With `min_accuracy`,
    `best` is the most probable label, and `label` is null where that is not sure enough.

    A question is refused whose language the student has no head for, or whose text is none: half
    of a surrogate pair, as the escape of JSON alone, or an argument that is not UTF-8.

    Args:
        load: loads the student in `folder`; called when the first question is there.
        min_accuracy: as in `Predictor.predict`. A language in which no confidence reaches it is
            warned of once.

    Raises:
        CheckpointError: there is no student in `folder`.
        AmtssError: its files are altered.
    """
    predictor: Predictor | None = None
    waiting, warned = iter(questions), set[str]()
    while asked := list(islice(waiting, BATCH)):
        predictor = predictor or load(folder)
        batch = list(answerable(asked, predictor, refuse))
        predictions = predictor.predict([question.text for question in batch],
                                        [question.language for question in batch],
                                        [question.pair for question in batch], min_accuracy)
        for question, prediction in zip(batch, predictions, strict=True):
            if min_accuracy is not None and prediction.language not in warned:
                warned.add(prediction.language)
                _warn(predictor, prediction.language, min_accuracy)
            yield json.dumps(_row(question, prediction, min_accuracy is not None),
                             ensure_ascii=False)


def _row(question: Question, prediction: Prediction, abstaining: bool) -> dict[str, Any]:
    sure = prediction.language_probability
    return {"text": question.text, "lang": prediction.language,
            **({} if sure is None else {"lang_probability": sure}),
            "label": prediction.label, **({"best": prediction.best} if abstaining else {}),
            "probabilities": prediction.probabilities}


def _warn(predictor: Predictor, code: str, min_accuracy: float) -> None:
    """Say that every text of a language will be left without a label, if it is so."""
    if isinf(predictor.least_confidence(code, min_accuracy)):
        warn(f"{code}: no confidence surely reaches an accuracy of {min_accuracy:g} on validation, "
             "so every text has the label null")


def answerable(asked: Iterable[Question], predictor: Predictor, refuse: Refuse
               ) -> Iterator[Question]:
    """The questions that `predictor` can answer; the others are refused."""
    for question in asked:
        try:
            predictor.check([question.text], [question.language], [question.pair or ""])
        except DataError as error:
            refuse(DataError(f"{question.where}: {error}"))
        else:
            yield question


def encodable(line: str, encoding: str) -> str:
    """A JSON line as it is, or with escapes where `encoding` lacks one of its characters."""
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(json.loads(line))
    return line
