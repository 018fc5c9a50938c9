"""A model in its own process that answers texts and measures the time, for `serving.py`."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from measuring import Batch


@dataclass(frozen=True)
class Size:
    """Size of an encoder with random weights."""

    layers: int
    width: int
    heads: int
    vocabulary: int


@dataclass(frozen=True)
class Side:
    """A model to measure."""

    name: str
    kind: str
    """`teacher`, `pytorch` or `onnx`."""
    folder: Path
    """Holds the model, or with random weights its tokenizer alone."""
    size: Size | None = None
    """Of a teacher with random weights; None if the folder has weights."""

    @property
    def bytes(self) -> int:
        """Size of its weights on disk; of random weights the size that they would have."""
        if self.size is not None:
            d = self.size.width
            return 4 * (self.size.vocabulary * d + 12 * self.size.layers * d * d)
        return sum(path.stat().st_size for suffix in ("safetensors", "onnx")
                   for path in self.folder.glob(f"*.{suffix}"))


@dataclass(frozen=True)
class Model:
    """A loaded side. `answer` includes tokenising; `prepare` and `compute` do it in two steps."""

    answer: Callable[[Batch], object]
    prepare: Callable[[Batch], Any]
    compute: Callable[[Any], object]


def work(side: Side, threads: int, cores: Sequence[int], pipe: Connection) -> None:
    """Load the side, then answer what comes through the pipe.

    To (batches, whether to include tokenising): wall-clock and CPU seconds of each batch. To None:
    memory in bytes, resident and proportional (shared pages divided by their users), then end.
    """
    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import psutil

    model = {"teacher": _teacher, "pytorch": _pytorch, "onnx": _onnx}[side.kind](side)
    pipe.send("ready")
    while (request := pipe.recv()) is not None:
        batches, as_texts = request
        run, inputs = ((model.answer, batches) if as_texts
                       else (model.compute, [model.prepare(batch) for batch in batches]))
        seconds = []
        for item in inputs:
            began, busy = time.perf_counter(), time.process_time()
            run(item)
            seconds.append((time.perf_counter() - began, time.process_time() - busy))
        pipe.send(seconds)
    memory = psutil.Process().memory_full_info()
    pipe.send((memory.rss, memory.pss))


def _teacher(side: Side) -> Model:
    """A sequence classifier of transformers, as `amtss score` runs it."""
    import torch
    from transformers import AutoModelForSequenceClassification, XLMRobertaConfig

    from amtss.models import checkpoint, classifier, hardware  # noqa: F401, registers mean-pooled ones
    from amtss.tokenization.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(str(side.folder))
    if side.size is not None:
        model = AutoModelForSequenceClassification.from_config(XLMRobertaConfig(
            vocab_size=side.size.vocabulary, hidden_size=side.size.width,
            num_hidden_layers=side.size.layers, num_attention_heads=side.size.heads,
            intermediate_size=4 * side.size.width, max_position_embeddings=514,
            type_vocab_size=1), attn_implementation=hardware.attention())
    else:
        model = checkpoint.load(AutoModelForSequenceClassification, str(side.folder), "")
    hardware.place(model)
    model.train(False)

    def prepare(batch: Batch) -> Any:
        return tokenizer(batch[1], truncation=True, max_length=48, padding=True,
                         return_tensors="pt")

    def compute(tokens: Any) -> Any:
        with torch.inference_mode():
            return model(**tokens).logits.softmax(-1).numpy()

    return Model(lambda batch: compute(prepare(batch)), prepare, compute)


def _pytorch(side: Side) -> Model:
    """The student as `amtss predict` runs it."""
    import numpy as np
    import pyarrow as pa
    import torch

    from amtss.inference.pytorch_predictor import PytorchPredictor
    from amtss.tokenization import encoding

    predictor = PytorchPredictor(side.folder)
    limit, pad = predictor.model.config.max_tokens, predictor.tokenizer.pad_token_id

    def prepare(batch: Batch) -> Any:
        encoded = encoding.tokenise(predictor.tokenizer, pa.table({"text": batch[1]}), limit)
        every = np.arange(len(batch[1]))
        head = predictor.languages.index(batch[0])
        return (*encoded.padded(every, pad), np.full(len(every), head))

    def compute(arrays: Any) -> Any:
        with torch.inference_mode():
            return predictor.model(*map(torch.from_numpy, arrays)).numpy()

    return Model(lambda batch: predictor.probabilities(batch[1], None, batch[0]), prepare, compute)


def _onnx(side: Side) -> Model:
    """The student as `amtss predict --runtime onnx` runs it."""
    import numpy as np

    from amtss.inference.onnx_predictor import OnnxPredictor

    predictor = OnnxPredictor(side.folder)

    def prepare(batch: Batch) -> Any:
        every = np.arange(len(batch[1]))
        ids, mask = predictor.tokenise(batch[1], None).padded(every, predictor.pad)
        return {"input_ids": ids, "attention_mask": mask,
                "language": np.full(len(every), predictor.languages.index(batch[0]))}

    return Model(lambda batch: predictor.probabilities(batch[1], None, batch[0]), prepare,
                 lambda arrays: predictor.session.run(["logits"], arrays))
