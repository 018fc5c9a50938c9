"""Training rows scored by models that have not seen them, and the file that keeps their scores.

A row's key decides which part it belongs to, so that a row stays in its part when others come.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.data.corpus import Corpus
from amtss.errors import AmtssError, CheckpointError, DataError, first_line

NAME = "cross_fitted.safetensors"
"""Log-probabilities of the training rows and the rows' keys, by language."""
Scored = dict[str, NDArray[np.generic]]


def parts(keys: NDArray[np.int64], count: int) -> Iterator[tuple[NDArray[np.int64],
                                                                 NDArray[np.int64]]]:
    """For each part that has rows: the rows to learn from, and those to score."""
    part_of = keys % count
    for part in range(count):
        held_out = np.flatnonzero(part_of == part)
        if len(held_out):
            yield np.flatnonzero(part_of != part), held_out


def check(where: str, keys: NDArray[np.int64], gold: NDArray[np.int64], count: int) -> None:
    """Check that all rows, and the rows without each part, have two labels or more.

    Args:
        where: what an error's message begins with.
        gold: labels of the rows.

    Raises:
        DataError: there are fewer.
    """
    learnt = [gold[rows] for rows, _ in parts(keys, count)] if count else [gold]
    fewest = min((len(set(labels.tolist())) for labels in learnt), default=0)
    if fewest < 2:
        raise DataError(f"{where}/train: expected rows of two labels or more to teach a "
                        f"linear model on, found {fewest} in a part of {len(gold)} rows; add "
                        "labelled rows, or set the teacher's cross_fit to 0")


def entry(corpus: Corpus, logits: NDArray[np.float32]) -> Scored:
    """What the file keeps of a language. `logits`: of its training rows. *Shape:* (N, C)"""
    return {f"{corpus.language}.keys": corpus["train"]["key"].to_numpy(),
            f"{corpus.language}.logits": logits}


def read(folder: Path, command: str) -> Scored:
    """The file in a teacher's folder.

    Args:
        command: writes it again; for the message of an error.

    Raises:
        CheckpointError: it is missing or truncated.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        scored: Scored = load_file(folder / NAME)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / NAME}: expected log-probabilities of training rows, "
                              f"found: {first_line(error)}; run `{command}`") from error
    return scored


def of(scored: Scored, corpus: Corpus, split: str, folder: Path,
       command: str) -> NDArray[np.float32] | None:
    """Log-probabilities of a split's rows; None if no rows of it were cross-fitted. *Shape:* (N, C)

    Args:
        folder, command: for the message of an error.

    Raises:
        AmtssError: they are of other rows.
    """
    keys = f"{corpus.language}.keys"
    if split != "train" or keys not in scored:
        return None
    if not np.array_equal(scored[keys], corpus["train"]["key"].to_numpy()):
        raise AmtssError(f"{folder}: expected log-probabilities of the training rows of "
                         f"{corpus.language}, found those of other rows; run `{command}`")
    return np.asarray(scored[f"{corpus.language}.logits"], dtype=np.float32)
