from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amtss.errors import AmtssError, CacheError
from amtss.logits import cache as logits_cache
from amtss.logits.cache import Logits, Origin

ORIGIN = Origin("teacher1", "data1", ("non", "été"), "max_length=8")
PATH = "en/fr.safetensors"


def logits(rows: int, seed: int = 0) -> Logits:
    draw = np.random.default_rng(seed)
    keys = draw.choice(np.iinfo(np.int64).max, rows, replace=False)
    return Logits(keys, draw.normal(size=(rows, 2)).astype(np.float32))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logits") / PATH
    logits_cache.write(path, ORIGIN, {"train": logits(5), "test": logits(0)})
    return path


def test_round_trip(cache: Path) -> None:
    read = logits_cache.read(cache, ORIGIN, "en")
    assert set(read) == {"train", "test"}
    assert np.array_equal(read["train"].keys, logits(5).keys)
    assert np.array_equal(read["train"].values, logits(5).values)
    assert read["test"].values.shape == (0, 2)
    assert read["train"].values.dtype == np.float32


def test_writing_twice_gives_the_same_bytes(cache: Path, tmp_path: Path) -> None:
    logits_cache.write(tmp_path / "a", ORIGIN, {"train": logits(5), "test": logits(0)})
    assert (tmp_path / "a").read_bytes() == cache.read_bytes()


@given(st.integers(1, 50), st.integers(0, 99), st.data())
def test_keys_are_joined_in_any_order(rows: int, seed: int, data: st.DataObject) -> None:
    held = logits(rows, seed)
    chosen = np.array(data.draw(st.lists(st.integers(0, rows - 1))), dtype=np.int64)
    assert np.array_equal(held.at(held.keys[chosen]), held.values[chosen])


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_an_example_without_logits(rows: int) -> None:
    held = logits(rows)
    keys = np.append(held.keys, [-7, np.iinfo(np.int64).max])
    with pytest.raises(CacheError, match=f"for all {rows + 2} examples, found none for 2; run"):
        held.at(keys)
    assert held.at(np.empty(0, np.int64)).shape == (0, 2)


@pytest.mark.parametrize(("changed", "match"), [
    ({"teacher": "teacher2"}, "expected logits of teacher teacher2, found a stale .* teacher1"),
    ({"data": "data2"}, "expected logits of data data2, found a stale cache of data1"),
    ({"labels": ("été", "non")}, "expected logits of labels .*été.*non.*, found a stale"),
    ({"settings": "max_length=9"}, "expected .* max_length=9, found a stale .* max_length=8"),
])
def test_stale(cache: Path, changed: dict[str, Any], match: str) -> None:
    with pytest.raises(CacheError, match=f"{PATH}: {match}.*; run `dvc repro -f score@en`"):
        logits_cache.read(cache, replace(ORIGIN, **changed), "en")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="found no file; run `dvc repro -f score@en`"):
        logits_cache.read(tmp_path / PATH, ORIGIN, "en")


def refused(cache: Path, content: bytes) -> None:
    spoilt = cache.with_name("spoilt")
    spoilt.write_bytes(content)
    with pytest.raises(AmtssError, match=r"^[^\n]*spoilt: [^\n]*run `dvc repro -f score@en`$"):
        logits_cache.read(spoilt, ORIGIN, "en")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.data())
def test_any_flipped_bit_is_seen(cache: Path, data: st.DataObject) -> None:
    content = bytearray(cache.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    refused(cache, bytes(content))


@given(st.data())
def test_any_truncation_is_seen(cache: Path, data: st.DataObject) -> None:
    content = cache.read_bytes()
    refused(cache, content[: data.draw(st.integers(0, len(content) - 1))])


def test_more_bytes_are_seen(cache: Path) -> None:
    refused(cache, cache.read_bytes() + b"\0")


def test_another_safetensors_file(cache: Path) -> None:
    from safetensors.numpy import save

    refused(cache, save({"train.keys": np.zeros(2)}))
