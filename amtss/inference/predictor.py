"""Texts in, labels and probabilities out: what all runtimes of a student share.

Shapes: N texts, B texts of a batch, S tokens, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amtss.errors import CheckpointError, DataError
from amtss.logits.softmax import Array, softmax
from amtss.texts import check_text
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens


@dataclass(frozen=True)
class Prediction:
    """The label of one text."""

    label: str
    """The most probable one."""
    probabilities: dict[str, float]
    """Of every label, rounded to six digits."""

    @property
    def score(self) -> float:
        """Probability of `label`."""
        return self.probabilities[self.label]


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

    def predict(self, texts: Sequence[str], lang: str | Sequence[str],
                pairs: Sequence[str | None] | None = None) -> list[Prediction]:
        """A prediction for each text, in order.

        Args:
            lang: the language of all texts, or one language for each text.
            pairs: for a task on pairs, the second sentence of each text; None where it has none.

        Raises:
            DataError: the student has no head for a language, a text is none, or there are not as
                many languages or pairs as texts.
        """
        if isinstance(texts, str):
            raise DataError("texts: expected a list of texts, found one text; put it into a list")
        second = [pair or "" for pair in pairs or ()]
        self.check(texts, lang, second)
        rows = self.probabilities(list(texts), second if any(second) else None, lang)
        return [Prediction(self.labels[int(row.argmax())],
                           {label: round(float(probability), 6)
                            for label, probability in zip(self.labels, row, strict=True)})
                for row in rows]

    def check(self, texts: Sequence[str], lang: str | Sequence[str],
              pairs: Sequence[str] = ()) -> None:
        """Check that the texts can be classified; arguments as in `predict`.

        Raises:
            DataError: the student has no head for a language, or a text is none.
        """
        self._heads(lang, len(texts))
        for name, column in (("text", texts), ("pair", pairs)):
            for text in column:
                check_text(name, text)

    def probabilities(self, texts: list[str], pairs: list[str] | None,
                      lang: str | Sequence[str]) -> Array:
        """Probability of each label for each text; arguments as in `predict`. *Shape:* (N, C)

        Raises:
            CheckpointError: the model's answers are not numbers.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise DataError(f"pairs: expected one for each of {len(texts)} texts, found "
                            f"{len(pairs)}; pass a list of the same length")
        heads = self._heads(lang, len(texts))
        rows = np.empty((len(texts), len(self.labels)))
        encoded = self.tokenise(texts, pairs)
        for batch in tokens.batches(encoded.lengths, self.batch_size):
            ids, mask = encoded.padded(batch, self.pad)
            rows[batch] = self.logits(ids, mask, heads[batch])
        if not np.isfinite(rows).all():
            raise CheckpointError("model: expected finite logits, found NaN or infinite ones; its "
                                  "weights are damaged, so make it again: `dvc repro -f distil`, "
                                  "then export or register it")
        return softmax(rows)

    @abstractmethod
    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        """Token ids of the texts, truncated as in training."""

    @abstractmethod
    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64], heads: NDArray[np.int64]
               ) -> NDArray[np.float32]:
        """Logits of one padded batch. *Shapes:* (B, S), (B, S), (B,) to (B, C)"""

    def _heads(self, lang: str | Sequence[str], count: int) -> NDArray[np.int64]:
        """Index of the head that reads each of `count` texts. *Shape:* (N,)"""
        if self.languages == ["all"]:
            return np.zeros(count, dtype=np.int64)
        codes = [lang] * count if isinstance(lang, str) else lang
        if len(codes) != count:
            raise DataError(f"lang: expected one language, or one for each of {count} texts, found "
                            f"{len(codes)}; pass a list of the same length")
        for code in dict.fromkeys(codes):
            if code not in self.languages:
                raise DataError(f"lang: expected one of {', '.join(self.languages)}, found "
                                f"{code!r}; name one of them, on the command line by --lang")
        return np.array([self.languages.index(code) for code in codes], dtype=np.int64)
