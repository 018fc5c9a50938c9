"""Run one teacher, once, over the languages it scores: raw logits per example (Equation 3)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss import checkpoint, corpus, hardware, logits_cache, vocabulary
from amtss.bar import track
from amtss.config import Params
from amtss.corpus import Corpus
from amtss.layout import SPLITS, Layout, read_json
from amtss.logits_cache import Logits, Origin

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def origin(params: Params, layout: Layout, name: str, language: str) -> Origin:
    """What teacher `name`'s logits on `language` must have been made from."""
    about = read_json(layout.teacher(name) / "teacher.json", f"dvc repro teach@{name}")
    data = read_json(layout.corpus(language) / "corpus.json", f"dvc repro data@{language}")
    settings = (f"max_length={params.training_of(name).max_length} "
                f"precision={params.scoring.precision}")
    return Origin(about["fingerprint"], data["fingerprint"], tuple(about["labels"]), settings)


def score(params: Params, layout: Layout, name: str) -> None:
    """Write teacher `name`'s logits cache, one file per language it scores.

    Raises:
        CheckpointError: the teacher's folder cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification

    folder = layout.teacher(name)
    columns = read_json(folder / "teacher.json", f"dvc repro teach@{name}")["columns"]
    model = checkpoint.load(AutoModelForSequenceClassification, str(folder),
                            f"run `dvc repro -f teach@{name}`")
    hardware.place(model)
    model.eval()
    tokenizer = vocabulary.load(str(folder))
    for language in params.scored_by(name):
        each = corpus.load(layout, language)
        splits = {split: Logits(each[split]["key"].to_numpy(),
                                _logits(params, name, model, tokenizer, each, split)[:, columns])
                  for split in SPLITS if split in each.splits}
        logits_cache.write(layout.logits(name, language), origin(params, layout, name, language),
                           splits)


def _logits(params: Params, name: str, model: "PreTrainedModel",
            tokenizer: "PreTrainedTokenizerBase", each: Corpus, split: str) -> NDArray[np.float32]:
    """*Shape:* (N, the checkpoint's classes)"""
    import torch

    classes = int(model.config.num_labels or 0)
    if not len(each[split]):
        return np.empty((0, classes), dtype=np.float32)
    encoded = corpus.encode(tokenizer, *each.texts(split), params.training_of(name).max_length)
    lengths = np.array([len(ids) for ids in encoded["input_ids"]])
    values = np.empty((len(lengths), classes), dtype=np.float32)
    made = list(corpus.batches(lengths, params.scoring.batch_size))
    precision = hardware.resolve(params.scoring.precision)
    for rows in track(made, f"{name} scores {each.language}/{split}"):
        batch: Any = tokenizer.pad({key: [column[row] for row in rows]
                                    for key, column in encoded.items()}, return_tensors="pt")
        with torch.inference_mode(), hardware.autocast(precision):
            values[rows] = model(**batch.to(model.device)).logits.float().cpu().numpy()
    return values
