"""Texts in, label probabilities out, with a student's folder alone."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.errors import CheckpointError, DataError
from amtss.files import read_json
from amtss.logits.softmax import Array, softmax
from amtss.tokenization import tokenizer, tokens

BATCH = 128


class Question(NamedTuple):
    """A text to classify."""

    text: str
    language: str
    pair: str | None = None


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

    def probabilities(self, texts: list[str], pairs: list[str] | None,
                      language: str | Sequence[str]) -> Array:
        """Probabilities of each label. *Shape:* (N, C)"""


class Predictor:
    """A student, or X-LM-Tiny, loaded from its folder; fp32, so that answers do not depend on
    what else is in the batch by more than rounding."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there is no student in `folder`.
        """
        from amtss.models import checkpoint, hardware
        from amtss.student.model import StudentConfig, StudentModel

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
        self.tokenizer = tokenizer.load_tokenizer(str(folder))

    @property
    def labels(self) -> list[str]:
        """Class names, in order."""
        names: dict[Any, str] = self.model.config.id2label or {}
        return [names[index] for index in range(len(names))]

    @property
    def languages(self) -> list[str]:
        """Languages with a head of their own; `["all"]` for X-LM-Tiny."""
        return self.model.config.languages

    def probabilities(self, texts: list[str], pairs: list[str] | None,
                      language: str | Sequence[str]) -> Array:
        """Probabilities of each label. *Shape:* (N, C)

        Args:
            language: of all texts, or of each.

        Raises:
            DataError: the student has no head for `language`.
        """
        import torch

        heads = heads_of(language, len(texts), self.languages)
        made = np.empty((len(texts), len(self.labels)))
        table = pa.table({"text": texts} | ({"pair": pairs} if pairs is not None else {}))
        encoded = tokens.tokenise(self.tokenizer, table, self.model.config.max_tokens)
        for at in tokens.batches(encoded.lengths, BATCH):
            ids, mask = encoded.padded(at, self.tokenizer.pad_token_id)
            with torch.inference_mode():
                logits = self.model(*(torch.from_numpy(array).to(self.model.device) for array in
                                      (ids, mask, heads[at])))
            made[at] = softmax(logits.float().cpu().numpy())
        return made


def heads_of(language: str | Sequence[str], texts: int, heads: list[str]) -> NDArray[np.int64]:
    """Index of the head that reads each text; X-LM-Tiny's only one reads all. *Shape:* (N,)

    Raises:
        DataError: there is none.
    """
    if heads == ["all"]:
        return np.zeros(texts, dtype=np.int64)
    named = [language] * texts if isinstance(language, str) else language
    for each in dict.fromkeys(named):
        if each not in heads:
            raise DataError(f"--lang: expected one of {', '.join(heads)}, found {each!r}; "
                            "name one of them")
    return np.array([heads.index(each) for each in named], dtype=np.int64)


def answers(predictor: Asked, questions: Sequence[Question]) -> list[Answer]:
    """An answer per question, in order; texts of pairs may stand among others.

    Raises:
        DataError: the student has no head for a language.
    """
    labels, pairs = predictor.labels, [each.pair or "" for each in questions]
    made = predictor.probabilities([each.text for each in questions], pairs if any(pairs) else None,
                                   [each.language for each in questions])
    return [Answer(labels[int(row.argmax())],
                   {label: round(float(each), 6)
                    for label, each in zip(labels, row, strict=True)}) for row in made]


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
        for question, found in zip(batch, answers(predictor, batch), strict=True):
            yield json.dumps({"text": question.text, "lang": question.language,
                              **found._asdict()}, ensure_ascii=False)
