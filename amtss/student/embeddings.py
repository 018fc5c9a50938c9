"""An encoder's embeddings of words: read them alone, and make them narrower.

Shapes: V tokens, D the width they have, d the one they get.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from amtss.errors import CheckpointError, first_line
from amtss.files import read_json

NAME = "embeddings.word_embeddings.weight"
"""What they are called in an encoder of BERT's family."""
CHUNK = 16_384
"""Rows of a table that are read, or turned to float64, at once."""


def read(source: str, revision: str | None, rows: NDArray[np.int64]) -> Tensor:
    """`rows` of the table of a hub id or a local folder, in fp32; nothing else is read of its
    weights. *Shape:* (V, D)

    Raises:
        CheckpointError: it has no safetensors weights, or no such table or rows among them.
    """
    try:
        with safe_open(_holding(source, revision or "main"), framework="pt") as file:
            names = [name for name in file.keys() if name.endswith(NAME)]  # noqa: SIM118
            if names:
                return _rows(file.get_slice(names[0]), rows, source)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint with safetensors weights, found: "
                              f"{first_line(error)}; name another one") from error
    raise CheckpointError(f"{source}: expected word embeddings ({NAME}), found none among its "
                          "weights; start from an encoder of BERT's family")


def _rows(table: Any, rows: NDArray[np.int64], source: str) -> Tensor:
    """Part by part: the table of XLM-R large is a gigabyte."""
    tokens, width = table.get_shape()
    check(source, tokens, rows)
    made = torch.empty(len(rows), width)
    for start in range(0, tokens, CHUNK):
        here = np.flatnonzero((rows >= start) & (rows < start + CHUNK))
        made[torch.from_numpy(here)] = table[start:start + CHUNK][
            torch.from_numpy(rows[here] - start)].float()
    return made


def check(source: str, tokens: int, rows: NDArray[np.int64]) -> None:
    """Refuse a table of fewer `tokens` than its tokenizer has.

    Raises:
        CheckpointError: `rows` go beyond its end.
    """
    if tokens <= rows.max():
        raise CheckpointError(f"{source}: expected embeddings for its tokenizer's tokens, "
                              f"{rows.max() + 1} or more, found {tokens}; start from another "
                              "encoder")


def _holding(source: str, revision: str) -> str:
    """The file of the weights that has the table: the only one, or one of several."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
    from transformers.utils.hub import cached_file

    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME, revision=revision,
                        _raise_exceptions_for_missing_entries=False)
    name = SAFE_WEIGHTS_NAME
    if index is not None:
        shards = read_json(Path(index), "dvc repro start")["weight_map"]
        name = next((shards[each] for each in shards if each.endswith(NAME)), name)
    return str(cached_file(source, name, revision=revision))


def reduce(table: Tensor, width: int) -> Tensor:
    """Rows of `table` by their first `width` principal components: of all tables of that width,
    the one from which the rows can be had again with the least squared error. *Shape:* (V, d)
    """
    mean, directions = principal(table, width)
    return torch.cat([((rows.double() - mean) @ directions).float()
                      for rows in table.split(CHUNK)])


def principal(table: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The mean row, and the orthonormal directions in which rows differ most, in that order.

    From the covariance (D, D), as a decomposition of the table itself would take several times
    its memory. A direction's largest component is positive, so that equal tables give equal ones.

    *Shapes:* (D,) and (D, d)
    """
    parts = table.split(CHUNK)
    mean = torch.stack([rows.double().sum(dim=0) for rows in parts]).sum(dim=0) / len(table)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for rows in parts:
        away = rows.double() - mean
        covariance.addmm_(away.T, away)
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :width]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return mean, directions * largest.sign()
