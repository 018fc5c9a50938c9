"""One language's texts on disk, memory-mapped Arrow. Shapes: N examples of a split."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from amtss import records
from amtss.errors import DataError
from amtss.files import contents, fingerprint, replacing, seal, verify, write_json
from amtss.paths import Layout

UNLABELLED = -1
"""The label index of an example without a label."""
MIXED = "mixed-"
"""What the ids of texts begin with that are mixed from training texts."""


@dataclass(frozen=True)
class Corpus:
    """One language's splits, tables with `key` (int64), `id`, `text`, `label`; `pair` for pairs."""

    language: str
    splits: dict[str, pa.Table]
    fingerprint: str
    labels: tuple[str, ...] | None
    """The label list if params.yaml or the source has one; else the gate collects it."""
    cut: tuple[str, ...] = ()
    """Splits that the source has not; they are cut off train."""

    def __getitem__(self, split: str) -> pa.Table:
        return self.splits[split]

    def texts(self, split: str) -> tuple[list[str], list[str] | None]:
        """The texts and, for pairs, the second texts. *Shape:* (N,) each"""
        table = self.splits[split]
        pairs = table["pair"].to_pylist() if "pair" in table.column_names else None
        return table["text"].to_pylist(), pairs

    def has_labels(self, split: str) -> bool:
        """Whether any row of a split has a label."""
        labels = self.splits[split]["label"]
        return bool(labels.null_count < len(labels))

    @property
    def without_labels(self) -> bool:
        """Whether it has texts to learn from, but no training row with a label."""
        return not len(self.splits.get("train", ())) and bool(self.unlabelled()[0])

    def unlabelled(self) -> tuple[int, int]:
        """Rows of the unlabelled split that the source has, and rows that are mixed."""
        ids = self.splits["unlabelled"]["id"].to_pylist() if "unlabelled" in self.splits else []
        mixed = sum(name.startswith(MIXED) for name in ids)
        return len(ids) - mixed, mixed

    def own(self) -> "Corpus":
        """The same without mixed texts, which are the last rows of the unlabelled split."""
        rows, mixed = self.unlabelled()
        if not mixed:
            return self
        logs = self.splits["unlabelled"].slice(0, rows)
        return replace(self, splits=self.splits | {"unlabelled": logs})

    def label_ids(self, split: str, labels: Sequence[str]) -> NDArray[np.int64]:
        """Index of each example's label in `labels`, `UNLABELLED` for none. *Shape:* (N,)"""
        index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
        index[None] = UNLABELLED
        return np.array([index[name] for name in self.splits[split]["label"].to_pylist()],
                        dtype=np.int64)


def write(layout: Layout, language: str, tables: dict[str, pa.Table],
          labels: tuple[str, ...] | None, cut: Sequence[str] = ()) -> None:
    """Write a language's folder: `{split}.arrow`, and `corpus.json` with the fingerprint.

    Args:
        cut: splits that the source has not; see `cutting`.
    """
    with replacing(layout.corpus(language)) as folder:
        folder.mkdir()
        for split, table in tables.items():
            keyed = table.add_column(0, "key", pa.array(_keys(table)))
            # One chunk and no metadata, so that equal rows give equal bytes.
            keyed = keyed.combine_chunks().replace_schema_metadata(None)
            with pa.ipc.new_file(folder / f"{split}.arrow", keyed.schema) as writer:
                writer.write_table(keyed)
        write_json(folder / "corpus.json", {
            "language": language, "labels": labels,
            "fingerprint": fingerprint(labels, contents(folder / f"{split}.arrow"
                                                        for split in tables)),
            "rows": {split: len(table) for split, table in tables.items()},
            **({"cut": cut} if cut else {})})
        seal(folder)


def load(layout: Layout, language: str) -> Corpus:
    """A language's corpus, memory-mapped.

    Raises:
        AmtssError: a file is missing or altered.
    """
    folder = layout.corpus(language)
    command = f"dvc repro data@{language}"
    about = records.corpus(layout, language)
    verify(folder, command)
    splits = {split: pa.ipc.open_file(pa.memory_map(str(folder / f"{split}.arrow"))).read_all()
              for split in about["rows"]}
    labels = tuple(about["labels"]) if about["labels"] else None
    return Corpus(language, splits, about["fingerprint"], labels, tuple(about.get("cut", ())))


def test_fingerprint(layout: Layout, language: str) -> str:
    """Fingerprint of a language's test rows: results are comparable if it is the same.

    Raises:
        DataError: the file cannot be read.
    """
    path = layout.corpus(language) / "test.arrow"
    try:
        return fingerprint(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: expected a file, found: {error.strerror}; run "
                        f"`dvc repro data@{language}`") from error


def _keys(table: pa.Table) -> NDArray[np.int64]:
    """A 64-bit key per example, a hash of its texts and of the number of equal rows before it.

    The key stays with the example when rows are moved, removed or shuffled. *Shape:* (N,)
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
