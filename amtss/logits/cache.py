"""The cache of one teacher's raw logits on one language: a safetensors file keyed by example.

Tensors, per split: `{split}.keys` (int64, (N,)) and `{split}.logits` (float32, (N, C)). The header
names their origin; a file that is truncated, altered or stale is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amtss import records
from amtss.config.schema import Params
from amtss.errors import CacheError
from amtss.files import altered, fingerprint, replacing
from amtss.paths import Layout

FORMAT = "amtss-logits/1"


@dataclass(frozen=True)
class Origin:
    """What logits were computed from; they are stale when any of it has changed."""

    teacher: str
    """Fingerprint of the teacher's weights, tokenizer and labels."""
    data: str
    """Fingerprint of the language's corpus."""
    labels: tuple[str, ...]
    """Labels of the C columns, in order."""
    settings: str
    """How the teacher was run: maximal length, precision, device."""


@dataclass(frozen=True)
class Logits:
    """Rows of one split."""

    keys: NDArray[np.int64]
    """Of the examples, in the order of `values`. *Shape:* (N,)"""
    values: NDArray[np.float32]
    """*Shape:* (N, C)"""

    def at(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """The logits of the examples with these keys. *Shape:* (len(keys), C)

        Raises:
            CacheError: an example has no logits.
        """
        if np.array_equal(keys, self.keys):  # nearly always; a search is slow
            return self.values
        order = np.argsort(self.keys, kind="stable")
        places = np.searchsorted(self.keys, keys, sorter=order)
        rows = order[np.minimum(places, len(order) - 1)] if len(order) else places
        missing = len(keys) if not len(order) else int((self.keys[rows] != keys).sum())
        if missing:
            raise CacheError(f"expected logits for all {len(keys)} examples, found none for "
                             f"{missing}; run `dvc repro -f` for the score stage")
        return self.values[rows]


def write(path: Path, origin: Origin, splits: Mapping[str, Logits]) -> None:
    """Write a cache file atomically."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {}
    for split, logits in splits.items():
        tensors[f"{split}.keys"] = np.ascontiguousarray(logits.keys, dtype=np.int64)
        tensors[f"{split}.logits"] = np.ascontiguousarray(logits.values, dtype=np.float32)
    header = {"format": FORMAT, "teacher": origin.teacher, "data": origin.data,
              "labels": json.dumps(origin.labels, ensure_ascii=False),
              "settings": origin.settings, "checksum": _checksum(tensors)}
    with replacing(path) as temporary:
        # One entry, because safetensors writes several in any order: equal logits give equal bytes.
        save_file(tensors, temporary, metadata={"amtss": json.dumps(header, ensure_ascii=False)})


def read(path: Path, expected: Origin, teacher: str) -> dict[str, Logits]:
    """All splits of a cache file, after checking that it is whole and fresh.

    Args:
        expected: what the logits must have been computed from.
        teacher: the teacher's name, for an error's message.

    Raises:
        CacheError: the file is missing or stale.
        AmtssError: it is truncated or altered.
    """
    from safetensors import SafetensorError, safe_open

    command = f"dvc repro -f score@{teacher}"
    fix = f"run `{command}`"
    if not path.is_file():
        raise CacheError(f"{path}: expected logits of teacher {teacher}, found no file; {fix}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("amtss", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise altered(path, command, "a whole logits cache",
                      f"a truncated or altered one ({error})") from error
    if header.get("format") != FORMAT:
        raise CacheError(f"{path}: expected format {FORMAT}, found {header.get('format')}; {fix}")
    if header.get("checksum") != _checksum(tensors):
        raise altered(path, command)
    for key, value in [("teacher", expected.teacher), ("data", expected.data),
                       ("labels", json.dumps(expected.labels, ensure_ascii=False)),
                       ("settings", expected.settings)]:
        if header.get(key) != value:
            raise CacheError(f"{path}: expected logits of {key} {value}, found a stale cache of "
                             f"{header.get(key)}; {fix}")
    splits = [name.removesuffix(".keys") for name in tensors if name.endswith(".keys")]
    return {split: Logits(tensors[f"{split}.keys"], tensors[f"{split}.logits"])
            for split in splits}


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    return fingerprint(*[part for name, array in sorted(tensors.items()) for part in (
        name, str(array.dtype), array.shape, np.ascontiguousarray(array).data)])


def origin_of(params: Params, layout: Layout, name: str, language: str) -> Origin:
    """What teacher `name`'s logits on `language` must have been computed from."""
    about = records.teacher(layout, name)
    data = records.corpus(layout, language)
    settings = " ".join(f"{key}={value}" for key, value in params.scored_with(name).items())
    return Origin(about["fingerprint"], data["fingerprint"], tuple(about["labels"]), settings)
