"""An exported student in onnxruntime: texts in, label probabilities out, without torch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amtss.errors import CheckpointError, first_line
from amtss.files import read_json, read_text
from amtss.inference.predictor import heads_of
from amtss.logits.softmax import Array, softmax
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

COMMAND = "amtss export --format onnx"
BATCH = 8
"""Texts computed at once: a thread is no faster with more, and where lengths differ more is padded.
"""
KEYS = ("labels", "languages", "pad_token_id")
"""Of config.json, what an answer takes."""


class OnnxPredictor:
    """What `amtss export --format onnx` has written, as a `predicting.Predictor`; many threads may
    ask at once. It computes on one thread, or as many as OMP_NUM_THREADS says.

    Answers of an int8 export depend a little on what else is in the batch: what is quantised
    together shares a range.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there is no export in `folder`, or it is not whole.
        """
        if not (folder / "model.onnx").is_file():
            raise CheckpointError(f"{folder}: expected an export with model.onnx, found none; run "
                                  f"`{COMMAND}`")
        about = read_json(folder / "config.json", COMMAND)
        if not isinstance(about, dict) or not {*KEYS} <= {*about}:
            raise _not_whole(folder / "config.json", f"no {', '.join(KEYS)}")
        self.labels: list[str] = about["labels"]
        """Class names, in order."""
        self.languages: list[str] = about["languages"]
        """Languages with a head of their own; `["all"]` for X-LM-Tiny."""
        self.pad: int = about["pad_token_id"]
        self.tokenizer = _tokenizer(folder / "tokenizer.json")
        self.session = _session(folder / "model.onnx")

    def probabilities(self, texts: list[str], pairs: list[str] | None,
                      language: str | Sequence[str]) -> Array:
        """Probabilities of each label. *Shape:* (N, C)

        Args:
            language: of all texts, or of each.

        Raises:
            DataError: the student has no head for `language`.
        """
        heads = heads_of(language, len(texts), self.languages)
        made = np.empty((len(texts), len(self.labels)))
        encoded = self.tokenise(texts, pairs)
        for at in tokens.batches(encoded.lengths, BATCH):
            ids, mask = encoded.padded(at, self.pad)
            logits, = self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask,
                                                    "language": heads[at]})
            made[at] = softmax(logits)
        return made

    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        """As `tokens.tokenise`; the tokenizer cuts texts by itself, as its file says."""
        asked = texts if pairs is None else list(zip(texts, pairs, strict=True))
        ids = tuple(np.asarray(each.ids, dtype=np.int32)
                    for each in self.tokenizer.encode_batch_fast(asked))
        return Tokens(ids, np.cumsum([0, *map(len, ids)], dtype=np.int64))


def _session(path: Path) -> "InferenceSession":
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as known

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (known.Fail, known.InvalidArgument, known.InvalidGraph, known.InvalidProtobuf) as error:
        raise _not_whole(path, first_line(error)) from error


def _tokenizer(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    text = read_text(path, COMMAND)
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # it raises nothing more precise
        raise _not_whole(path, first_line(error)) from error
    tokenizer.no_padding()  # texts are padded by batches of like length
    return tokenizer


def _not_whole(path: Path, found: str) -> CheckpointError:
    return CheckpointError(f"{path}: expected what an export writes, found: "
                           f"{found}; run `{COMMAND}`")
