"""An exported student in onnxruntime, without torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.errors import CheckpointError, first_line
from amtss.files import read_json, verify
from amtss.inference import fast_tokenizer
from amtss.inference.predictor import Predictor
from amtss.student import recognition
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

COMMAND = "amtss export --format onnx"


class OnnxPredictor(Predictor):
    """What `amtss export` has written in one of its ONNX formats. Many threads may call it at once.
    It computes on one thread, or on as many as OMP_NUM_THREADS says.

    Predictions of an int8 or int4 export depend a little on the other texts of the batch, because
    activations that are quantised together share a range.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there is no export in `folder`, or onnxruntime cannot read it.
            AmtssError: its files are missing or altered.
        """
        if not (folder / "model.onnx").is_file():
            raise CheckpointError(f"{folder}: expected an export with model.onnx, found none; run "
                                  f"`{COMMAND}`")
        verify(folder, COMMAND)
        # The seal is enough; a version from before there were checksums has none in this file.
        config = read_json(folder / "config.json", records.Export, COMMAND, ours=False)
        self.labels = config["labels"]
        self.languages = config["languages"]
        self.pad = config["pad_token_id"]
        self.batch_size = config.get("batch_size", 8)
        self.temperatures = config.get("temperatures", {})
        self.thresholds = config.get("thresholds", {})
        self.recogniser = recognition.load(folder, len(self.languages), COMMAND)
        self.tokenizer = fast_tokenizer.load(folder, COMMAND)
        self.session = _session(folder / "model.onnx")

    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        # The tokenizer truncates by itself: its file says where.
        return fast_tokenizer.encode(self.tokenizer, texts, pairs)

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64], heads: NDArray[np.int64]
               ) -> NDArray[np.float32]:
        logits: NDArray[np.float32]
        logits, = self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask,
                                                "language": heads})
        return logits


def _session(path: Path) -> "InferenceSession":
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidArgument, errors.InvalidGraph,
            errors.InvalidProtobuf) as error:
        raise _damaged(path, first_line(error)) from error


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(f"{path}: expected what an export writes, found: "
                           f"{found}; run `{COMMAND}`")
