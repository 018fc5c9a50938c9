"""An encoder's word embeddings: read them without the other weights, and reduce their width (PCA).

Shapes: V tokens, D the encoder's width, d the reduced width.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional
from typing_extensions import TypedDict

from amtss.errors import CheckpointError, first_line
from amtss.files import read_json

NAME = "embeddings.word_embeddings.weight"
"""Name of the table in an encoder of BERT's family."""
CHUNK = 16_384
"""Rows of a table that are read, or converted to float64, at once."""


class Shards(TypedDict):
    """model.safetensors.index.json of a checkpoint whose weights are in several files."""

    weight_map: dict[str, str]


def read(source: str, revision: str | None, rows: NDArray[np.int64]) -> Tensor:
    """`rows` of the embedding table of a hub id or a local folder, in fp32. Its other weights are
    not read. *Shape:* (V, D)

    Raises:
        CheckpointError: it has no safetensors weights, no such table, too few rows, or NaN in them.
    """
    try:
        with safe_open(_weights_file(source, revision or "main"), framework="pt") as file:
            names = [name for name in file.keys() if name.endswith(NAME)]  # noqa: SIM118
            if names:
                return _rows(file.get_slice(names[0]), rows, source)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source}: expected a checkpoint with safetensors weights, found: "
                              f"{first_line(error)}; choose another checkpoint") from error
    raise CheckpointError(f"{source}: expected word embeddings ({NAME}), found none among its "
                          "weights; start from an encoder of BERT's family")


def _rows(table: Any, rows: NDArray[np.int64], source: str) -> Tensor:
    """Reads `CHUNK` rows at a time: the table of XLM-R large is a gigabyte."""
    tokens, width = table.get_shape()
    check(source, tokens, rows)
    embeddings = torch.empty(len(rows), width)
    for start in range(0, tokens, CHUNK):
        places = np.flatnonzero((rows >= start) & (rows < start + CHUNK))
        embeddings[torch.from_numpy(places)] = table[start:start + CHUNK][
            torch.from_numpy(rows[places] - start)].float()
    if not embeddings.isfinite().all():
        raise CheckpointError(f"{source}: expected finite weights, found NaN or infinite ones in "
                              f"{NAME}; choose another checkpoint")
    return embeddings


def check(source: str, tokens: int, rows: NDArray[np.int64]) -> None:
    """Check that a table of `tokens` rows has all `rows`.

    Raises:
        CheckpointError: its tokenizer has more tokens than the table has rows.
    """
    if tokens <= rows.max():
        raise CheckpointError(f"{source}: expected embeddings for its tokenizer's tokens, "
                              f"{rows.max() + 1} or more, found {tokens}; start from another "
                              "encoder")


def _weights_file(source: str, revision: str) -> str:
    """The weights file that holds the table: the only one, or one of several shards."""
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
    from transformers.utils.hub import cached_file

    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME, revision=revision,
                        _raise_exceptions_for_missing_entries=False)
    name = SAFE_WEIGHTS_NAME
    if index is not None:
        shards = read_json(Path(index), Shards, "dvc repro start",
                           ours=False)["weight_map"]
        name = next((shards[key] for key in shards if key.endswith(NAME)), name)
    return str(cached_file(source, name, revision=revision))


def reduce(table: Tensor, width: int) -> Tensor:
    """`table` reduced to its first `width` principal components: of all tables of that width, the
    one that reconstructs the rows with the least squared error. *Shape:* (V, d)
    """
    mean, directions = principal(table, width)
    return torch.cat([((rows.double() - mean) @ directions).float()
                      for rows in table.split(CHUNK)])


def principal(table: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The mean row, and the orthonormal directions of the largest variance, largest first.

    Computed from the covariance (D, D), because a decomposition of the table itself would take
    several times its memory. Each direction's largest component is positive, so that equal tables
    give equal directions.

    Returns: *Shapes:* (D,) and (D, d)
    """
    parts = table.split(CHUNK)
    mean = torch.stack([rows.double().sum(dim=0) for rows in parts]).sum(dim=0) / len(table)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for rows in parts:
        centred = rows.double() - mean
        covariance.addmm_(centred.T, centred)
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :width]
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return mean, directions * largest.sign()


def carry(rows: Tensor, source: Tensor, student: Tensor) -> Tensor:
    """`rows` of a pretrained table, as a student that started from it would have them by now.

    What training and a reduced width have made of `source` is described by one affine map, that of
    the least squared error; `rows` go the same way.

    Args:
        rows: of the pretrained table. *Shape:* (N, D)
        source: rows of the pretrained table whose tokens the student has. *Shape:* (V, D)
        student: the student's rows of these tokens. *Shape:* (V, d)

    Returns: *Shape:* (N, d)
    """
    squares = torch.zeros(source.shape[1] + 1, source.shape[1] + 1, dtype=torch.float64)
    products = torch.zeros(source.shape[1] + 1, student.shape[1], dtype=torch.float64)
    for before, after in zip(source.split(CHUNK), student.split(CHUNK), strict=True):
        inputs = functional.pad(before.double(), (0, 1), value=1.0)
        squares.addmm_(inputs.T, inputs)
        products.addmm_(inputs.T, after.double())
    affine: Tensor = torch.linalg.pinv(squares, hermitian=True) @ products
    return (functional.pad(rows.double(), (0, 1), value=1.0) @ affine).float()
