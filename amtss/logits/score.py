"""Run one teacher, once, on the languages it scores: raw logits of each example (Equation 3)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amtss.config.schema import Params
from amtss.data import corpus
from amtss.files import read_json
from amtss.logits import cache as logits_cache
from amtss.logits.cache import Logits, origin_of
from amtss.models import checkpoint, hardware
from amtss.paths import SPLITS, Layout
from amtss.progress import track
from amtss.tokenization import tokens
from amtss.tokenization.tokenizer import load_tokenizer
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@hardware.fitting("lower scoring.batch_size")
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
    tokenizer = load_tokenizer(str(folder))
    cache = tokens.Cache(layout.tokens(name), tokenizer, params.training_of(name).max_length)
    for language in params.scored_by(name):
        texts, splits = corpus.load(layout, language), {}
        for split in (split for split in SPLITS if split in texts.splits):
            values = _logits(params, model, tokenizer, cache.of(texts, split),
                             f"{name} scores {language}/{split}")
            splits[split] = Logits(texts[split]["key"].to_numpy(), values[:, columns])
        logits_cache.write(layout.logits(name, language), origin_of(params, layout, name, language),
                           splits)


def _logits(params: Params, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase",
            texts: Tokens, title: str) -> NDArray[np.float32]:
    """Logits of `texts`, in the order of the checkpoint's classes. *Shape:* (N, its classes)"""
    import torch

    values = np.empty((len(texts), int(model.config.num_labels or 0)), dtype=np.float32)
    batches = list(tokens.batches(texts.lengths, params.scoring.batch_size))
    precision = hardware.resolve(params.scoring.precision)
    for rows in track(batches, title):
        encoded: Any = [texts[row] for row in rows.tolist()]
        batch = tokenizer.pad(encoded, return_tensors="pt")
        with torch.inference_mode(), hardware.autocast(precision):
            values[rows] = model(**batch.to(model.device)).logits.float().cpu().numpy()
    return values
