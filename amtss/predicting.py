"""Texts in, label probabilities out, with a student's folder alone."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from amtss import importance, tokens, vocabulary
from amtss.errors import CheckpointError, DataError
from amtss.importance import Array
from amtss.layout import read_json

BATCH = 128


class Answer(NamedTuple):
    """What a student says of a text."""

    label: str
    probabilities: dict[str, float]
    """Of every label, to six digits."""


class Asked(Protocol):
    """A `Predictor`, or `runtime.OnnxPredictor`."""

    @property
    def labels(self) -> list[str]:
        """Class names, in order."""

    def probabilities(self, texts: list[str], pairs: list[str] | None, language: str) -> Array:
        """Probabilities of each label. *Shape:* (N, C)"""


class Predictor:
    """A student, or X-LM-Tiny, loaded from its folder; fp32, so that answers do not depend on
    what else is in the batch by more than rounding."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there is no student in `folder`.
        """
        from amtss import checkpoint, hardware
        from amtss.student import StudentConfig, StudentModel

        if not (folder / "model.safetensors").is_file():
            raise CheckpointError(f"{folder}: expected a student with model.safetensors, found "
                                  "none; run `dvc repro`")
        kind = read_json(folder / "config.json", "dvc repro -f distil").get("model_type")
        if kind != StudentConfig.model_type:
            raise CheckpointError(f"{folder}: expected a student, found a model of type {kind!r}; "
                                  "name a student's folder in --model")
        model = checkpoint.load(StudentModel, str(folder), "run `dvc repro -f distil`")
        assert isinstance(model, StudentModel)
        self.model = model
        hardware.place(self.model)
        self.model.train(False)
        self.tokenizer = vocabulary.load(str(folder))

    @property
    def labels(self) -> list[str]:
        """Class names, in order."""
        names: dict[Any, str] = self.model.config.id2label or {}
        return [names[index] for index in range(len(names))]

    @property
    def languages(self) -> list[str]:
        """Languages with a head of their own; `["all"]` for X-LM-Tiny."""
        return self.model.config.languages

    def probabilities(self, texts: list[str], pairs: list[str] | None, language: str) -> Array:
        """Probabilities of each label. *Shape:* (N, C)

        Raises:
            DataError: the student has no head for `language`.
        """
        import torch

        head = head_of(language, self.languages)
        made = np.empty((len(texts), len(self.labels)))
        table = pa.table({"text": texts} | ({"pair": pairs} if pairs is not None else {}))
        encoded = tokens.tokenise(self.tokenizer, table, self.model.config.max_tokens)
        for at in tokens.batches(encoded.lengths, BATCH):
            ids, mask = encoded.padded(at, self.tokenizer.pad_token_id)
            with torch.inference_mode():
                logits = self.model(*(torch.from_numpy(array).to(self.model.device) for array in
                                      (ids, mask, np.full(len(at), head))))
            made[at] = importance.softmax(logits.float().cpu().numpy())
        return made


def head_of(language: str, heads: list[str]) -> int:
    """Index of the head that reads `language`; X-LM-Tiny's only one reads all.

    Raises:
        DataError: there is none.
    """
    if heads == ["all"]:
        return 0
    if language not in heads:
        raise DataError(f"--lang: expected one of {', '.join(heads)}, found {language!r}; "
                        "name one of them")
    return heads.index(language)


def answers(predictor: Asked, texts: list[str], pairs: list[str | None], language: str
            ) -> list[Answer]:
    """An answer per text, in order; texts of pairs may stand among others.

    Raises:
        DataError: the student has no head for `language`.
    """
    labels = predictor.labels
    made = predictor.probabilities(texts, [pair or "" for pair in pairs] if any(pairs) else None,
                                   language)
    return [Answer(labels[int(row.argmax())],
                   {label: round(float(each), 6)
                    for label, each in zip(labels, row, strict=True)}) for row in made]


class Question(NamedTuple):
    """A text to classify."""

    text: str
    language: str
    pair: str | None = None


def questions(stream: IO[bytes], language: str, pair: str | None) -> Iterator[Question]:
    """Questions from lines: JSON objects (`text`, `lang`, `pair`) or plain text.

    Raises:
        DataError: a line is not UTF-8, or an object without a text.
    """
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise DataError(f"stdin:{number}: expected UTF-8, found other bytes; convert the "
                            "input to UTF-8") from None
        if not text.startswith("{"):
            if text:
                yield Question(text, language, pair)
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"stdin:{number}: expected a JSON object, found: {error}; mend that "
                            "line") from None
        if not isinstance(row.get("text"), str):
            raise DataError(f"stdin:{number}: expected a `text`, found keys "
                            f"{', '.join(row) or 'none'}; add it to that line")
        for key in ("lang", "pair"):
            if not isinstance(row.get(key, ""), str):
                raise DataError(f"stdin:{number}: expected text for `{key}`, found {row[key]!r}; "
                                "mend that line")
        yield Question(row["text"], row.get("lang", language), row.get("pair", pair))


def answer(folder: Path, asked: Iterable[Question],
           load: Callable[[Path], Asked] = Predictor) -> Iterator[str]:
    """A JSON line per question, in order: text, lang, label, and all probabilities.

    Args:
        load: what runs the student in `folder`.

    Raises:
        CheckpointError, DataError: no student there; a language that it has no head for.
    """
    predictor: Asked | None = None
    asked = iter(asked)
    while batch := list(islice(asked, BATCH)):
        predictor = predictor or load(folder)
        for language, group in groupby(batch, key=lambda question: question.language):
            together = list(group)
            made = answers(predictor, [question.text for question in together],
                           [question.pair for question in together], language)
            for question, found in zip(together, made, strict=True):
                yield json.dumps({"text": question.text, "lang": language, **found._asdict()},
                                 ensure_ascii=False)
