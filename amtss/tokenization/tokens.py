"""Texts as token ids, and their batches. No pyarrow: serving starts faster and smaller without it.

Shapes: N texts, B texts of a batch, S tokens of the longest of them.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

POOL = 64
"""Batches whose examples are sorted by length together."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, one after another, in parts as they are stored in files."""

    ids: tuple[NDArray[np.int32], ...]
    """Of each part's texts; no text is in two parts. *Shape:* (sum of lengths,) each"""
    starts: NDArray[np.int64]
    """Where each text begins, counted over all parts, and the end of the last. *Shape:* (N + 1,)"""
    types: tuple[NDArray[np.int8], ...] = ()
    """Token types, like `ids`, where the tokenizer has them."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """*Shape:* (N,)"""
        return self.starts[1:] - self.starts[:-1]

    @cached_property
    def bounds(self) -> list[int]:
        """Where each part begins, and the end of the last."""
        return [0, *accumulate(map(len, self.ids))]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> dict[str, NDArray[Any]]:
        """A text's encoding, as the tokenizer gives it, without the attention mask."""
        columns = {"input_ids": self.ids} | ({"token_type_ids": self.types} if self.types else {})
        return {name: self._of(parts, row) for name, parts in columns.items()}

    def padded(self, rows: NDArray[np.int64], pad: int) -> tuple[NDArray[np.int64],
                                                                 NDArray[np.int64]]:
        """Input ids and attention mask of `rows`. *Shape:* (B, S) each"""
        texts = [self._of(self.ids, row) for row in rows.tolist()]
        ids = np.full((len(texts), max(map(len, texts))), pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for at, text in enumerate(texts):
            ids[at, :len(text)] = text
            mask[at, :len(text)] = 1
        return ids, mask

    def _of(self, parts: Sequence[NDArray[Any]], row: int) -> NDArray[Any]:
        """A row's slice of `parts`; the rest of the file is not read."""
        start, end = int(self.starts[row]), int(self.starts[row + 1])
        part = bisect_right(self.bounds, start, hi=len(parts)) - 1
        first = self.bounds[part]
        return parts[part][start - first:end - first]


def joined(sets: Sequence[Tokens]) -> Tokens:
    """All texts of several sets, one set after another; token ids are not copied."""
    lengths = np.concatenate([texts.lengths for texts in sets])
    return Tokens(tuple(part for texts in sets for part in texts.ids),
                  np.concatenate([[0], np.cumsum(lengths)]),
                  tuple(part for texts in sets for part in texts.types))


def batches(lengths: NDArray[np.int64], batch_size: int,
            draw: np.random.Generator | None = None) -> Iterator[NDArray[np.int64]]:
    """Indices of examples of similar length, `batch_size` at a time; each example once.

    Args:
        lengths: tokens of each example. *Shape:* (N,)
        draw: puts examples and batches in random order; None: by length alone.
    """
    if draw is None:
        order = np.argsort(lengths, kind="stable")
        yield from _slices(order, batch_size)
        return
    order = draw.permutation(len(lengths))
    in_order: list[NDArray[np.int64]] = []
    for pool in _slices(order, POOL * batch_size):
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        in_order += _slices(by_length, batch_size)
    for index in draw.permutation(len(in_order)):
        yield in_order[index]


def _slices(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (rows[start:start + size] for start in range(0, len(rows), size))
