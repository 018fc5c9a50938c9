"""Texts as token ids: encoded once, cached as memory-mapped Arrow files, cut into batches.

Shapes: N texts, B texts of a batch, S tokens of the longest of them.
"""

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.data.corpus import Corpus
from amtss.errors import AmtssError
from amtss.files import CHECKSUM, contents, fingerprint, read_json, replacing, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = "amtss-tokens/1"
CHUNK = 10_000
"""Texts encoded at once: a tokenizer's result takes a hundred times the memory of the ids."""
TYPES = {"input_ids": np.int32, "token_type_ids": np.int8}
"""Columns of a file of tokens; the second only where a tokenizer marks a pair's texts."""
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
        return np.diff(self.starts)

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
        lengths = self.starts[rows + 1] - self.starts[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, pad, dtype=np.int64)
        ids[mask] = np.concatenate([self._of(self.ids, row) for row in rows.tolist()])
        return ids, mask.astype(np.int64)

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


def tokenise(tokenizer: "PreTrainedTokenizerBase", texts: pa.Table,
             max_length: int | None) -> Tokens:
    """Token ids, in memory, of a table's column `text`, or of `text` and `pair`.

    Args:
        max_length: tokens at which texts are cut, the longer text of a pair first; None: not cut.
    """
    return _as_tokens(list(_encode(tokenizer, texts, max_length)))


def prefixed(texts: pa.Table, prefix: str) -> pa.Table:
    """The columns `text` and `pair` with `prefix` before each text."""
    return pa.table({name: pa.array([prefix + text for text in texts[name].to_pylist()],
                                    pa.string())
                     for name in ("text", "pair") if name in texts.column_names})


def _encode(tokenizer: "PreTrainedTokenizerBase", texts: pa.Table,
            max_length: int | None) -> Iterator[pa.RecordBatch]:
    schema = _schema(tokenizer)
    for chunk in texts.to_batches(max_chunksize=CHUNK):
        pairs = chunk["pair"].to_pylist() if "pair" in chunk.schema.names else None
        encoded = tokenizer(chunk["text"].to_pylist(), pairs, truncation=max_length is not None,
                            max_length=max_length, return_attention_mask=False, verbose=False)
        starts = np.cumsum([0, *map(len, encoded["input_ids"])])
        columns = [np.fromiter(chain.from_iterable(encoded[name]), dtype, starts[-1])
                   for name, dtype in TYPES.items() if name in schema.names]
        yield pa.record_batch([pa.LargeListArray.from_arrays(starts, column)
                               for column in columns], schema)


def _schema(tokenizer: "PreTrainedTokenizerBase") -> pa.Schema:
    return pa.schema([(name, pa.large_list(pa.from_numpy_dtype(dtype)))
                      for name, dtype in TYPES.items() if name in tokenizer.model_input_names])


def _as_tokens(batches: Sequence[pa.RecordBatch]) -> Tokens:
    """Tokens that share the memory of `batches`."""
    columns = {name: [batch[name] for batch in batches if name in batch.schema.names]
               for name in TYPES}
    flat = {name: tuple(part.flatten().to_numpy() for part in parts)
            for name, parts in columns.items()}
    lengths = [np.diff(part.offsets.to_numpy()) for part in columns["input_ids"]]
    starts = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
    return Tokens(flat["input_ids"], starts, flat["token_type_ids"])


@dataclass(frozen=True)
class Cache:
    """Files with one tokenizer's tokens of corpora: `{language}/{split}.arrow` in `folder`.

    Beside each file is a `.json` with its origin and its hash: a file that is truncated, altered or
    stale is written again. Only one process at a time may write.
    """

    folder: Path
    tokenizer: "PreTrainedTokenizerBase"
    max_length: int

    def of(self, corpus: Corpus, split: str) -> Tokens:
        """Tokens of a split, memory-mapped."""
        path = self.folder / corpus.language / f"{split}.arrow"
        origin = {"format": FORMAT, "tokenizer": self._fingerprint, "corpus": corpus.fingerprint,
                  "max_length": self.max_length}
        if not _is_fresh(path, origin):
            schema = _schema(self.tokenizer)
            with replacing(path) as temporary, pa.ipc.new_file(temporary, schema) as file:
                for batch in _encode(self.tokenizer, corpus[split], self.max_length):
                    file.write_batch(batch)
            write_json(path.with_suffix(".json"), origin | {"file": fingerprint(contents([path]))})
        with pa.ipc.open_file(pa.memory_map(str(path))) as file:
            return _as_tokens([file.get_batch(index)
                               for index in range(file.num_record_batches)])

    @cached_property
    def _fingerprint(self) -> str:
        """Hash of the tokenizer, without the truncation and padding that encoding has set."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
            return fingerprint(self.tokenizer.model_input_names, self.tokenizer.truncation_side,
                               backend.to_str())
        with tempfile.TemporaryDirectory() as folder:  # a tokenizer that is written in Python
            self.tokenizer.save_pretrained(folder)
            return fingerprint(contents(sorted(Path(folder).iterdir())))


def _is_fresh(path: Path, origin: dict[str, Any]) -> bool:
    """Whether the file is whole and has this origin."""
    try:
        about = read_json(path.with_suffix(".json"), dict[str, Any], "dvc repro")
        about.pop(CHECKSUM)
        return bool(about == origin | {"file": fingerprint(contents([path]))})
    except (AmtssError, OSError):
        return False


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
