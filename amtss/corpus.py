"""One language's texts on disk (memory-mapped Arrow), as token ids, and in batches.

Shapes: N examples of a split, B of a batch, S tokens of the longest text in it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss.errors import DataError
from amtss.layout import Layout, read_json, replacing, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

POOL = 64
"""Batches whose examples are sorted by length together."""
UNLABELLED = -1
"""The label index of an example without one."""


@dataclass(frozen=True)
class Corpus:
    """One language's splits: tables with `key` (int64), `id`, `text`, `label`, maybe `pair`."""

    language: str
    splits: dict[str, pa.Table]
    fingerprint: str
    labels: tuple[str, ...] | None
    """The label list where params or the source fix one; the gate settles it for all."""

    def __getitem__(self, split: str) -> pa.Table:
        return self.splits[split]

    def texts(self, split: str) -> tuple[list[str], list[str] | None]:
        """First texts and, where they come in pairs, second ones."""
        table = self.splits[split]
        pairs = table["pair"].to_pylist() if "pair" in table.column_names else None
        return table["text"].to_pylist(), pairs

    def label_ids(self, split: str, labels: Sequence[str]) -> NDArray[np.int64]:
        """Index of each example's label in `labels`, `UNLABELLED` for none. *Shape:* (N,)"""
        index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
        index[None] = UNLABELLED
        return np.array([index[name] for name in self.splits[split]["label"].to_pylist()],
                        dtype=np.int64)


def write(layout: Layout, language: str, tables: dict[str, pa.Table],
          labels: tuple[str, ...] | None) -> None:
    """Write a language's folder: `{split}.arrow` and `corpus.json` with its fingerprint."""
    digest = hashlib.sha256()
    with replacing(layout.corpus(language)) as folder:
        folder.mkdir()
        for split, table in tables.items():
            keyed = table.add_column(0, "key", pa.array(_keys(table)))
            # One chunk and no metadata, so that equal rows are equal bytes.
            keyed = keyed.combine_chunks().replace_schema_metadata(None)
            with pa.ipc.new_file(folder / f"{split}.arrow", keyed.schema) as writer:
                writer.write_table(keyed)
            digest.update(split.encode() + (folder / f"{split}.arrow").read_bytes())
        digest.update(repr(labels).encode())
        write_json(folder / "corpus.json", {
            "language": language, "fingerprint": digest.hexdigest()[:16], "labels": labels,
            "rows": {split: len(table) for split, table in tables.items()}})


def load(layout: Layout, language: str) -> Corpus:
    """A language's corpus, memory-mapped.

    Raises:
        DataError: a split's file is missing or not what was written.
    """
    folder = layout.corpus(language)
    command = f"dvc repro data@{language}"
    about = read_json(folder / "corpus.json", command)
    splits = {}
    for split, rows in about["rows"].items():
        path = folder / f"{split}.arrow"
        splits[split] = _mapped(path, command)
        if len(splits[split]) != rows:
            raise DataError(f"{path}: expected {rows} rows, found {len(splits[split])}; "
                            f"run `{command}`")
    labels = tuple(about["labels"]) if about["labels"] else None
    return Corpus(language, splits, about["fingerprint"], labels)


def test_fingerprint(layout: Layout, language: str) -> str:
    """Of a language's test rows: figures are comparable where it is the same."""
    path = layout.corpus(language) / "test.arrow"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise DataError(f"{path}: expected a file, found: {error.strerror}; run "
                        f"`dvc repro data@{language}`") from error


def _mapped(path: Path, command: str) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: expected a whole Arrow file, found: "
                        f"{str(error).splitlines()[0]}; run `{command}`") from error


def _keys(table: pa.Table) -> NDArray[np.int64]:
    """A 64-bit name per example: its text, pair and how many equal ones stand before it.

    Rows may move, a file may be cut or shuffled: the key stays with the example. *Shape:* (N,)
    """
    seen: Counter[str] = Counter()
    keys = []
    seconds = table["pair"] if "pair" in table.column_names else [None] * len(table)
    for first, second in zip(table["text"], seconds, strict=True):
        name = f"{first}\0{second}"
        seen[name] += 1
        digest = hashlib.blake2b(f"{name}\0{seen[name]}".encode(), digest_size=8).digest()
        keys.append(int.from_bytes(digest, "little", signed=True))
    return np.array(keys, dtype=np.int64)


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, laid end to end."""

    ids: NDArray[np.int32]
    """*Shape:* (sum of lengths,)"""
    starts: NDArray[np.int64]
    """Where each text begins, and the end of the last. *Shape:* (N + 1,)"""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """*Shape:* (N,)"""
        return np.diff(self.starts)

    def padded(self, rows: NDArray[np.int64], pad: int) -> tuple[NDArray[np.int64],
                                                                NDArray[np.int64]]:
        """Input ids and attention mask of `rows`. *Shape:* (B, S) each"""
        lengths = self.lengths[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, pad, dtype=np.int64)
        ids[mask] = np.concatenate([self.ids[self.starts[r]:self.starts[r + 1]] for r in rows])
        return ids, mask.astype(np.int64)


def tokenise(tokenizer: "PreTrainedTokenizerBase", texts: list[str], pairs: list[str] | None,
             max_length: int) -> Tokens:
    """Token ids of texts or pairs of them; longest first truncation."""
    encoded = encode(tokenizer, texts, pairs, max_length)["input_ids"] if texts else []
    ids = [np.asarray(row, dtype=np.int32) for row in encoded]
    starts = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return Tokens(np.concatenate(ids) if ids else np.empty(0, np.int32), starts)


def encode(tokenizer: "PreTrainedTokenizerBase", texts: list[str], pairs: list[str] | None,
           max_length: int) -> dict[str, Any]:
    """The tokenizer's own encoding of single texts or pairs, unpadded."""
    return dict(tokenizer(texts, pairs, truncation=True, max_length=max_length))


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
