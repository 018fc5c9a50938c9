"""A student in PyTorch, from its folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.errors import CheckpointError
from amtss.files import read_json, verify
from amtss.inference.predictor import Predictor
from amtss.student import recognition
from amtss.tokenization import encoding, tokenizer
from amtss.tokenization.tokens import Tokens


class PytorchPredictor(Predictor):
    """A student, or X-LM-Tiny, on the GPU if there is one. It computes in fp32, so that apart from
    rounding a prediction does not depend on the other texts of its batch.

    One thread at a time: tokenizers of transformers change their settings during a call.
    """

    batch_size = 128

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there is no student in `folder`.
            AmtssError: its files are altered.
        """
        from amtss.models import checkpoint, hardware
        from amtss.student.model import StudentConfig, StudentModel

        if not (folder / "model.safetensors").is_file():
            raise CheckpointError(f"{folder}: expected a student with model.safetensors, found "
                                  "none; run `dvc repro`")
        kind = read_json(folder / "config.json", dict[str, Any], "dvc repro",
                         ours=False).get("model_type")
        if kind != StudentConfig.model_type:
            raise CheckpointError(f"{folder}: expected a student, found a model of type {kind!r}; "
                                  "name a student's folder in --model")
        verify(folder, "dvc repro")
        model = checkpoint.load(StudentModel, str(folder), "run `dvc repro`", ours=True)
        assert isinstance(model, StudentModel)
        self.model = model
        hardware.place(self.model)
        self.model.train(False)
        self.tokenizer = tokenizer.load_tokenizer(str(folder))
        names: dict[Any, str] = model.config.id2label or {}
        self.labels = [names[index] for index in range(len(names))]
        self.languages = model.config.languages
        self.pad = self.tokenizer.pad_token_id
        self.temperatures, self.thresholds = model.config.temperatures, model.config.thresholds
        self.recogniser = recognition.load(folder, len(self.languages), "dvc repro -f distil")

    def tokenise(self, texts: list[str], pairs: list[str] | None) -> Tokens:
        columns = {"text": texts} | ({"pair": pairs} if pairs is not None else {})
        return encoding.tokenise(self.tokenizer, pa.table(columns), self.model.config.max_tokens)

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64], heads: NDArray[np.int64]
               ) -> NDArray[np.float32]:
        import torch

        inputs = (torch.from_numpy(array).to(self.model.device) for array in (ids, mask, heads))
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.model(*inputs).float().cpu().numpy()
        return logits
