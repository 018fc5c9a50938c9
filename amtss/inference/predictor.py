"""Texts in, labels and probabilities out: what all runtimes of a student share.

Shapes: N texts, B texts of a batch, S tokens, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amtss.errors import CheckpointError, DataError
from amtss.logits.calibration import Thresholds, threshold
from amtss.logits.softmax import Array, softmax
from amtss.student.recognition import Recogniser
from amtss.texts import check_text
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

ALL = "all"
"""Name of X-LM-Tiny's one head."""
AUTO = "auto"
"""What may stand for a text's language where it is not known."""
Languages = str | None | Sequence[str | None]
"""The language of all texts, or of each; None or `AUTO` where it is to be recognised."""


@dataclass(frozen=True)
class Prediction:
    """The label of one text."""

    label: str | None
    """The most probable one; None if it is not sure enough for the accuracy that was asked for."""
    probabilities: dict[str, float]
    """Of every label, rounded to six digits. Calibrated on validation: of the answers of about 0.8,
    about 80% are right."""
    best: str
    """The most probable label, whether it is sure enough or not."""
    language: str
    """Whose head has read the text."""
    language_probability: float | None = None
    """How sure it is of the language; None where the language was given."""

    @property
    def score(self) -> float:
        """Probability of `best`."""
        return self.probabilities[self.best]


class Predictor(ABC):
    """A student, or X-LM-Tiny, loaded by PyTorch or by onnxruntime; see `amtss.load_student`."""

    labels: list[str]
    """Class names, in the order of the columns of `probabilities`."""
    languages: list[str]
    """Languages with a head of their own. `["all"]` for X-LM-Tiny, whose one head reads all texts.
    """
    pad: int
    """Id of the padding token."""
    batch_size: int
    """Texts computed at once."""
    temperatures: Mapping[str, float]
    """By head; 1 where there is none, as in students that were made before there were any."""
    thresholds: Mapping[str, Thresholds]
    """By head; none in such students."""
    recogniser: Recogniser | None
    """Of `languages`, in their order; None in such students, and where there is one language."""

    @property
    def recognises(self) -> bool:
        """Whether it can say which of its languages a text is in."""
        return self.recogniser is not None or len(self.languages) == 1

    def predict(self, texts: Sequence[str], lang: Languages = None,
                pairs: Sequence[str | None] | None = None,
                min_accuracy: float | None = None) -> list[Prediction]:
        """A prediction for each text, in order.

        Args:
            lang: the language of all texts, or one language for each text. None, or `auto`, for the
                one of `languages` that the text is most probably in.
            pairs: for a task on pairs, the second sentence of each text; None where it has none.
            min_accuracy: a share, such as 0.95. Texts whose answers are less sure than what
                reached this accuracy on validation have the label None.

        Raises:
            DataError: the student has no head for a language, or cannot recognise languages or
                abstain; a text is none, or there are not as many languages or pairs as texts.
        """
        if isinstance(texts, str):
            raise DataError("texts: expected a list of texts, found one text; put it into a list")
        second = [pair or "" for pair in pairs or ()]
        self.check(texts, lang, second)
        encoded = self._encoded(list(texts), second if any(second) else None)
        codes, sure = self._recognised(lang, encoded)
        rows = self._probabilities(encoded, codes)
        least = {code: 0.0 if min_accuracy is None else self.least_confidence(code, min_accuracy)
                 for code in dict.fromkeys(codes)}
        return [self._prediction(row, code, probability, least[code])
                for row, code, probability in zip(rows, codes, sure, strict=True)]

    def _prediction(self, row: Array, code: str, sure: float | None, least: float) -> Prediction:
        best = self.labels[int(row.argmax())]
        return Prediction(best if row.max() >= least else None,
                          {label: round(float(probability), 6)
                           for label, probability in zip(self.labels, row, strict=True)},
                          best, code, sure)

    def least_confidence(self, code: str, min_accuracy: float) -> float:
        """The probability from which answers in a language are so accurate; infinite if none are.

        Raises:
            DataError: `min_accuracy` is no share, or the student was made without thresholds.
        """
        if not 0.0 <= min_accuracy <= 1.0:
            raise DataError(f"min_accuracy: expected a share from 0 to 1, found {min_accuracy}; "
                            "write 0.95 for 95%")
        known = self.thresholds.get(self.languages[self._head(code)])
        if known is None:
            raise DataError("min_accuracy: expected a student with thresholds, found one that was "
                            "made without them; run `dvc repro -f distil`, or leave it out")
        return threshold(known, min_accuracy)

    def check(self, texts: Sequence[str], lang: Languages = None,
              pairs: Sequence[str] = ()) -> None:
        """Check that the texts can be classified; arguments as in `predict`.

        Raises:
            DataError: the student has no head for a language, or cannot recognise it; or a text is
                none.
        """
        self._given(lang, len(texts))
        for name, column in (("text", texts), ("pair", pairs)):
            for text in column:
                check_text(name, text)

    def probabilities(self, texts: list[str], pairs: list[str] | None,
                      lang: Languages = None) -> Array:
        """Probability of each label for each text; arguments as in `predict`. *Shape:* (N, C)

        Raises:
            CheckpointError: the model's answers are not numbers.
        """
        encoded = self._encoded(texts, pairs)
        return self._probabilities(encoded, self._recognised(lang, encoded)[0])

    def recognise(self, texts: list[str], pairs: list[str] | None = None) -> list[str]:
        """The language that each text is most probably in.

        Raises:
            DataError: the student cannot recognise languages.
        """
        return self._recognised(None, self._encoded(texts, pairs))[0]

    def _encoded(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        if pairs is not None and len(pairs) != len(texts):
            raise DataError(f"pairs: expected one for each of {len(texts)} texts, found "
                            f"{len(pairs)}; pass a list of the same length")
        return self.tokenise(texts, pairs)

    def _probabilities(self, encoded: Tokens, codes: Sequence[str]) -> Array:
        """Calibrated probabilities by the heads of `codes`. *Shape:* (N, C)"""
        heads = np.array([self._head(code) for code in codes], dtype=np.int64)
        rows = np.empty((len(encoded), len(self.labels)))
        for batch in tokens.batches(encoded.lengths, self.batch_size):
            ids, mask = encoded.padded(batch, self.pad)
            rows[batch] = self.logits(ids, mask, heads[batch])
        if not np.isfinite(rows).all():
            raise CheckpointError("model: expected finite logits, found NaN or infinite ones; its "
                                  "weights are damaged, so make it again: `dvc repro -f distil`, "
                                  "then export or register it")
        temperatures = np.array([self.temperatures.get(code, 1.0) for code in self.languages])
        return softmax(rows / temperatures[heads][:, None])

    @abstractmethod
    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        """Token ids of the texts, truncated as in training."""

    @abstractmethod
    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64], heads: NDArray[np.int64]
               ) -> NDArray[np.float32]:
        """Logits of one padded batch. *Shapes:* (B, S), (B, S), (B,) to (B, C)"""

    def _head(self, code: str) -> int:
        return 0 if self.languages == [ALL] else self.languages.index(code)

    def _given(self, lang: Languages, count: int) -> list[str | None]:
        """The language of each of `count` texts, as far as it is given."""
        codes = [lang] * count if isinstance(lang, str | None) else list(lang)
        if len(codes) != count:
            raise DataError(f"lang: expected one language, or one for each of {count} texts, found "
                            f"{len(codes)}; pass a list of the same length")
        given = [None if code in (None, "", AUTO) else code for code in codes]
        if self.languages == [ALL]:
            return [code or ALL for code in given]
        for code in dict.fromkeys(given):
            if code is None and not self.recognises:
                raise DataError(f"lang: expected one of {', '.join(self.languages)}, found none, "
                                "and this student was made before students recognised languages; "
                                "name one, on the command line by --lang, or run `dvc repro -f "
                                "distil`")
            if code is not None and code not in self.languages:
                raise DataError(f"lang: expected one of {', '.join(self.languages)}, found "
                                f"{code!r}; name one of them, on the command line by --lang")
        return given

    def _recognised(self, lang: Languages, encoded: Tokens
                    ) -> tuple[list[str], list[float | None]]:
        """The language of each text, and how sure it is where it was not given."""
        given = self._given(lang, len(encoded))
        if None not in given:
            return [code for code in given if code is not None], [None] * len(given)
        rows = (np.ones((len(encoded), 1)) if self.recogniser is None
                else softmax(self.recogniser.logits(encoded)))
        codes = [code or self.languages[best] for code, best
                 in zip(given, rows.argmax(axis=1).tolist(), strict=True)]
        return codes, [None if code else round(sure, 6) for code, sure
                       in zip(given, rows.max(axis=1).tolist(), strict=True)]
