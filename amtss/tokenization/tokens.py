"""Texts as token ids: made once, kept as memory-mapped Arrow files, cut into batches.

Shapes: N texts, B of a batch, S tokens of the longest of them.
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
from amtss.files import contents, fingerprint, read_json, replacing, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = "amtss-tokens/1"
CHUNK = 10_000
"""Texts encoded at once: what a tokenizer answers takes a hundred times the memory of the ids."""
TYPES = {"input_ids": np.int32, "token_type_ids": np.int8}
"""Columns of a file of tokens; the second one where the tokenizer tells a pair's texts apart."""
POOL = 64
"""Batches whose examples are sorted by length together."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, end to end, in the parts in which they lie in files."""

    ids: tuple[NDArray[np.int32], ...]
    """Of a part's texts, each text whole. *Shape:* (sum of lengths,) each"""
    starts: NDArray[np.int64]
    """Where each text begins, counted through all parts, and the end of the last. *Shape:* (N + 1,)
    """
    types: tuple[NDArray[np.int8], ...] = ()
    """Token types, as `ids`, where the tokenizer has them."""

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
        """A row's slice of `parts`; nothing else of a file is read."""
        start, end = int(self.starts[row]), int(self.starts[row + 1])
        part = bisect_right(self.bounds, start, hi=len(parts)) - 1
        first = self.bounds[part]
        return parts[part][start - first:end - first]


def joined(several: Sequence[Tokens]) -> Tokens:
    """All texts of `several`, one after another; nothing is copied but where texts begin."""
    lengths = np.concatenate([each.lengths for each in several])
    return Tokens(tuple(part for each in several for part in each.ids),
                  np.concatenate([[0], np.cumsum(lengths)]),
                  tuple(part for each in several for part in each.types))


def tokenise(tokenizer: "PreTrainedTokenizerBase", texts: pa.Table,
             max_length: int | None) -> Tokens:
    """Token ids, in memory, of a table's `text`, or of `text` and `pair`; cut at `max_length`, the
    longest of a pair first, or whole.
    """
    return _laid(list(_encoded(tokenizer, texts, max_length)))


def _encoded(tokenizer: "PreTrainedTokenizerBase", texts: pa.Table,
             max_length: int | None) -> Iterator[pa.RecordBatch]:
    schema = _schema(tokenizer)
    for chunk in texts.to_batches(max_chunksize=CHUNK):
        pairs = chunk["pair"].to_pylist() if "pair" in chunk.schema.names else None
        made = tokenizer(chunk["text"].to_pylist(), pairs, truncation=max_length is not None,
                         max_length=max_length, return_attention_mask=False, verbose=False)
        starts = np.cumsum([0, *map(len, made["input_ids"])])
        columns = [np.fromiter(chain.from_iterable(made[name]), dtype, starts[-1])
                   for name, dtype in TYPES.items() if name in schema.names]
        yield pa.record_batch([pa.LargeListArray.from_arrays(starts, each) for each in columns],
                              schema)


def _schema(tokenizer: "PreTrainedTokenizerBase") -> pa.Schema:
    return pa.schema([(name, pa.large_list(pa.from_numpy_dtype(dtype)))
                      for name, dtype in TYPES.items() if name in tokenizer.model_input_names])


def _laid(batches: Sequence[pa.RecordBatch]) -> Tokens:
    """The arrays that `batches` hold, not copies of them."""
    columns = {name: [each[name] for each in batches if name in each.schema.names]
               for name in TYPES}
    flat = {name: tuple(each.flatten().to_numpy() for each in parts)
            for name, parts in columns.items()}
    lengths = [np.diff(each.offsets.to_numpy()) for each in columns["input_ids"]]
    starts = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
    return Tokens(flat["input_ids"], starts, flat["token_type_ids"])


@dataclass(frozen=True)
class Cache:
    """Tokens of corpora in `folder`, `{language}/{split}.arrow`, by one tokenizer.

    Beside each file is a `.json` that says what it was made from and what it holds: a file that is
    truncated, altered or stale is made again. For one process at a time, or one that goes first.
    """

    folder: Path
    tokenizer: "PreTrainedTokenizerBase"
    max_length: int

    def of(self, corpus: Corpus, split: str) -> Tokens:
        """Tokens of a split, memory-mapped."""
        path = self.folder / corpus.language / f"{split}.arrow"
        origin = {"format": FORMAT, "tokenizer": self._fingerprint, "corpus": corpus.fingerprint,
                  "max_length": self.max_length}
        if not _holds(path, origin):
            schema = _schema(self.tokenizer)
            with replacing(path) as temporary, pa.ipc.new_file(temporary, schema) as file:
                for batch in _encoded(self.tokenizer, corpus[split], self.max_length):
                    file.write_batch(batch)
            write_json(path.with_suffix(".json"), origin | {"file": fingerprint(contents([path]))})
        with pa.ipc.open_file(pa.memory_map(str(path))) as file:
            return _laid([file.get_batch(at) for at in range(file.num_record_batches)])

    @cached_property
    def _fingerprint(self) -> str:
        """Of the tokenizer; what it has been asked to encode does not matter."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
            return fingerprint(self.tokenizer.model_input_names, self.tokenizer.truncation_side,
                               backend.to_str())
        with tempfile.TemporaryDirectory() as folder:  # one that is written in Python
            self.tokenizer.save_pretrained(folder)
            return fingerprint(contents(sorted(Path(folder).iterdir())))


def _holds(path: Path, origin: dict[str, Any]) -> bool:
    """Whether `path` is whole and of `origin`."""
    try:
        about = read_json(path.with_suffix(".json"), "")
        return bool(about == origin | {"file": fingerprint(contents([path]))})
    except (AmtssError, OSError):
        return False


def batches(lengths: NDArray[np.int64], batch_size: int,
            draw: np.random.Generator | None = None) -> Iterator[NDArray[np.int64]]:
    """Indices of examples, `batch_size` at a time, of like length; each example once.

    With `draw` examples and batches come in random order, without it by length alone.
    """
    if draw is None:
        order = np.argsort(lengths, kind="stable")
        yield from (order[at:at + batch_size] for at in range(0, len(order), batch_size))
        return
    order = draw.permutation(len(lengths))
    pool = POOL * batch_size
    cut = [order[at:at + pool] for at in range(0, len(order), pool)]
    made = []
    for each in cut:
        by_length = each[np.argsort(lengths[each], kind="stable")]
        made += [by_length[at:at + batch_size] for at in range(0, len(by_length), batch_size)]
    for index in draw.permutation(len(made)):
        yield made[index]
