"""What the student makes of texts: its answers, and how it reads them. Shapes: N texts."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.drift.logs import Texts
from amtss.files import replacing
from amtss.inference.pytorch_predictor import PytorchPredictor
from amtss.tokenization import encoding, unknown


@dataclass(frozen=True)
class Answers:
    """Of the texts of one language. *Shapes:* (N,) each"""

    label: NDArray[np.int64]
    """Index of the most probable label."""
    confidence: NDArray[np.float64]
    """Probability of that label."""
    length: NDArray[np.int64]
    """Tokens of the whole text, special ones included."""
    unknown: NDArray[np.bool_]
    """Whether the tokenizer lacks a piece of the text."""
    cut: NDArray[np.bool_]
    """Whether the text is longer than the student reads."""

    def __len__(self) -> int:
        return len(self.label)


def answer(student: PytorchPredictor, language: str, texts: Texts) -> Answers:
    """Classify the texts.

    Raises:
        CheckpointError: the model's answers are not numbers.
    """
    probabilities = student.probabilities(texts.texts, texts.pairs, language)
    columns = {"text": texts.texts} | ({"pair": texts.pairs} if texts.pairs else {})
    whole = encoding.tokenise(student.tokenizer, pa.table(columns), None)
    lacking = [unknown.count(student.tokenizer, whole[row]["input_ids"]) > 0
               for row in range(len(whole))]
    return Answers(probabilities.argmax(axis=1), probabilities.max(axis=1), whole.lengths,
                   np.array(lacking, dtype=bool), whole.lengths > student.model.config.max_tokens)


def save(path: Path, answers: Answers, origin: str) -> None:
    """Write answers to a safetensors file.

    Args:
        origin: fingerprint of what they depend on.
    """
    from safetensors.numpy import save_file

    arrays = {field.name: np.ascontiguousarray(getattr(answers, field.name))
              for field in fields(Answers)}
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"origin": origin})


def load(path: Path, origin: str) -> Answers | None:
    """Answers that `save` has written; None where there are none of this origin."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("origin") != origin:
                return None
            arrays: dict[str, Any] = {field.name: file.get_tensor(field.name)
                                      for field in fields(Answers)}
    except (SafetensorError, OSError):
        return None
    return Answers(**arrays)
