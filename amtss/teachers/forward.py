"""Run a model over many texts, in batches of similar length, with a progress bar."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from amtss.config.schema import Scoring
from amtss.models import hardware
from amtss.progress import track
from amtss.tokenization import tokens
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase


def outputs(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: Tokens,
            scoring: Scoring, title: str) -> Iterator[tuple[NDArray[np.int64], "BatchEncoding",
                                                            Any]]:
    """For each batch: its rows, its encoding, and what the model makes of it."""
    batches = list(tokens.batches(texts.lengths, scoring.batch_size))
    precision = hardware.resolve(scoring.precision)
    for rows in track(batches, title):
        encoded: Any = [texts[row] for row in rows.tolist()]
        batch = tokenizer.pad(encoded, return_tensors="pt").to(model.device)
        with torch.inference_mode(), hardware.autocast(precision):
            output = model(**batch)
        yield rows, batch, output


def set_padding(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Decoders' tokenizers have no padding token; their models must know which token it is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
