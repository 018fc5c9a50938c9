"""Tables of texts as token ids: encoded once, cached as memory-mapped Arrow files."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from amtss.data.corpus import Corpus
from amtss.errors import AmtssError
from amtss.files import CHECKSUM, contents, fingerprint, read_json, replacing, write_json
from amtss.tokenization.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = "amtss-tokens/1"
CHUNK = 10_000
"""Texts encoded at once: a tokenizer's result takes a hundred times the memory of the ids."""
TYPES = {"input_ids": np.int32, "token_type_ids": np.int8}
"""Columns of a file of tokens; the second only where a tokenizer marks a pair's texts."""


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
