"""Training rows scored by models that have not seen them, and the file that keeps their scores.

Shapes: N rows, C classes.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amtss.data.corpus import Corpus
from amtss.errors import AmtssError, CheckpointError, DataError, first_line

NAME = "cross_fitted.safetensors"
"""Log-probabilities of the training rows and the rows' keys, by language."""
Rows = NDArray[np.int64]
Scored = dict[str, NDArray[np.generic]]
"""The file's tensors by their names."""


def parts_of(corpora: Sequence[Corpus], parts: int) -> Rows:
    """The part that each training row belongs to, one corpus after another. *Shape:* (N,)

    A row's id decides, so that rows stay in their part when others come, and a text's translations,
    which have the same id or row number in parallel corpora, share one: no model scores a text of
    which it has seen a translation. Equal texts share the part of the first of them. Of rows with
    one id, the first, the second and so on are told apart.
    """
    first: dict[tuple[str, str], int] = {}
    result = []
    for corpus in corpora:
        (texts, seconds), seen = corpus.texts("train"), Counter[str]()
        for text, second, name in zip(texts, seconds or [""] * len(texts),
                                      corpus["train"]["id"].to_pylist(), strict=True):
            seen[name] += 1
            digest = hashlib.blake2b(f"{name}\0{seen[name]}".encode(), digest_size=8).digest()
            result.append(first.setdefault((text, second), int.from_bytes(digest)) % parts)
    return np.array(result, dtype=np.int64)


def folds(part_of: Rows, parts: int) -> Iterator[tuple[Rows, Rows]]:
    """For each part that has rows: the rows to learn from, and those to score."""
    for part in range(parts):
        held_out = np.flatnonzero(part_of == part)
        if len(held_out):
            yield np.flatnonzero(part_of != part), held_out


def check(where: str, labels: Rows, part_of: Rows, parts: int) -> None:
    """Check that there are rows of two labels, and outside every part as well.

    Args:
        where: what an error's message begins with.
        labels: of the training rows. *Shape:* (N,)
        parts: 0 where there is no cross-fitting.

    Raises:
        DataError: there are too few.
    """
    if len(set(labels)) < 2:
        raise DataError(f"{where}/train: expected rows of two labels or more to teach a "
                        f"linear model on, found {len(set(labels))} in {len(labels)} rows; add "
                        "labelled rows")
    if any(len(set(labels[rows])) < 2 for rows, _ in folds(part_of, parts)):
        raise DataError(f"{where}/train: expected rows of two labels or more outside "
                        f"each of {parts} parts, found fewer in {len(labels)} rows; add labelled "
                        "rows, or set the teacher's cross_fit to 0")


def check_validation(where: str, rows: int) -> None:
    """Check that there are validation rows to choose a linear model by.

    Raises:
        DataError: there are none.
    """
    if not rows:
        raise DataError(f"{where}/validation: expected rows to choose a linear model by, found "
                        "none; correct the source, then run `dvc repro`")


def entry(corpus: Corpus, logits: NDArray[np.float32]) -> Scored:
    """What the file keeps of a language. `logits`: of its training rows. *Shape:* (N, C)"""
    return {f"{corpus.language}.keys": corpus["train"]["key"].to_numpy(),
            f"{corpus.language}.logits": logits}


def kept(folder: Path, corpus: Corpus, command: str) -> NDArray[np.float32] | None:
    """Log-probabilities of a language's training rows, from the file in a teacher's folder; None if
    they were not cross-fitted. *Shape:* (N, C)

    Args:
        command: writes the file again; for the message of an error.

    Raises:
        CheckpointError: the file is missing or truncated.
        AmtssError: they are of other rows.
    """
    from safetensors import SafetensorError, safe_open

    language = corpus.language
    try:
        with safe_open(folder / NAME, framework="numpy") as file:
            if f"{language}.keys" not in file.keys():  # noqa: SIM118 - it is no mapping
                return None
            keys, logits = (file.get_tensor(f"{language}.{name}") for name in ("keys", "logits"))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / NAME}: expected log-probabilities of training rows, "
                              f"found: {first_line(error)}; run `{command}`") from error
    if not np.array_equal(keys, corpus["train"]["key"].to_numpy()):
        raise AmtssError(f"{folder}: expected log-probabilities of the training rows of "
                         f"{language}, found those of other rows; run `{command}`")
    return np.asarray(logits, dtype=np.float32)
