from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training import table, write_checkpoint, write_corpus
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase

from amtss.data import corpus
from amtss.data.corpus import Corpus
from amtss.paths import Layout
from amtss.tokenization import encoding
from amtss.tokenization.encoding import Cache


@pytest.fixture(scope="module", params=["bert", "xlm-roberta", "byt5"])
def tokenizer(request: pytest.FixtureRequest,
              tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """One that tells a pair's texts apart, one that does not, and one that is written in Python."""
    if request.param == "byt5":
        return ByT5Tokenizer()
    return AutoTokenizer.from_pretrained(
        write_checkpoint(tmp_path_factory.mktemp("hub") / request.param, request.param))


def written(root: Path, pairs: bool = True) -> Corpus:
    write_corpus(Layout(root), "en", {"train": 23, "validation": 3, "test": 3}, pairs)
    return corpus.load(Layout(root), "en")


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("length", [8, 64])
def test_are_the_tokenizers_own(tokenizer: PreTrainedTokenizerBase, tmp_path: Path, pairs: bool,
                                length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK", 5)
    read = written(tmp_path, pairs)
    expected = tokenizer(*read.texts("train"), truncation=True, max_length=length,
                         return_attention_mask=False)
    for encoded in (encoding.tokenise(tokenizer, read["train"], length),
                    Cache(tmp_path, tokenizer, length).of(read, "train")):
        assert len(encoded.ids) == 5
        rows = [{key: ids.tolist() for key, ids in encoded[row].items()}
                for row in range(len(encoded))]
        assert rows == [{key: column[row] for key, column in expected.items()}
                        for row in range(23)]


def test_of_nothing(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    assert len(encoding.tokenise(tokenizer, table("en", "test", 0), 8)) == 0
    write_corpus(Layout(tmp_path), "en", {"train": 0})
    read = corpus.load(Layout(tmp_path), "en")
    assert len(Cache(tmp_path, tokenizer, 8).of(read, "train")) == 0


def test_are_made_once_and_mapped(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    read = written(tmp_path)
    path = tmp_path / "tokens" / "en" / "train.arrow"
    first = Cache(tmp_path / "tokens", tokenizer, 8).of(read, "train")
    before = path.stat()
    again = Cache(tmp_path / "tokens", tokenizer, 8).of(read, "train")
    assert path.stat() == before
    np.testing.assert_array_equal(again.starts, first.starts)
    np.testing.assert_array_equal(np.concatenate(again.ids), np.concatenate(first.ids))
    assert not any(ids.flags.owndata or ids.flags.writeable for ids in again.ids)


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:-9]),
    lambda path: path.write_bytes(path.read_bytes() + b"0"),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(bytes([*path.read_bytes()[:700], 7, *path.read_bytes()[701:]])),
    lambda path: path.unlink(),
    lambda path: path.with_suffix(".json").unlink(),
    lambda path: path.with_suffix(".json").write_text("{"),
], ids=["truncated", "longer", "empty", "altered", "gone", "no-json", "bad-json"])
def test_what_is_not_as_written_is_made_again(tokenizer: PreTrainedTokenizerBase, tmp_path: Path,
                                              spoil: Callable[[Path], Any]) -> None:
    read = written(tmp_path)
    cache = Cache(tmp_path / "tokens", tokenizer, 8)
    cache.of(read, "train")
    path = tmp_path / "tokens" / "en" / "train.arrow"
    whole, about = path.read_bytes(), path.with_suffix(".json").read_text()
    spoil(path)
    cache.of(read, "train")
    assert path.read_bytes() == whole
    assert path.with_suffix(".json").read_text() == about


def test_what_is_stale_is_replaced(tmp_path: Path) -> None:
    one, other = (AutoTokenizer.from_pretrained(write_checkpoint(
        tmp_path / name, "bert", texts=texts)) for name, texts in (("1", ["ab"]), ("2", ["cd"])))
    read = written(tmp_path)
    seen = []
    folder = tmp_path / "t"
    for cache, texts in ((Cache(folder, one, 8), read), (Cache(folder, one, 9), read),
                         (Cache(folder, other, 9), read),
                         (Cache(folder, other, 9), written(tmp_path, pairs=False))):
        cached = cache.of(texts, "train")
        expected = encoding.tokenise(cache.tokenizer, texts["train"], cache.max_length)
        np.testing.assert_array_equal(np.concatenate(cached.ids), np.concatenate(expected.ids))
        seen.append((folder / "en" / "train.json").read_text())
    assert len(set(seen)) == 4
    assert sorted(path.name for path in (folder / "en").iterdir()) == [
        "train.arrow", "train.json"]


@pytest.mark.parametrize("tokenizer", ["bert", "xlm-roberta"], indirect=True)
def test_a_saved_tokenizer_finds_what_it_made(tokenizer: PreTrainedTokenizerBase,
                                              tmp_path: Path) -> None:
    read = written(tmp_path)
    Cache(tmp_path / "tokens", tokenizer, 8).of(read, "train")
    path = tmp_path / "tokens" / "en" / "train.arrow"
    before = path.stat()
    tokenizer(["x"], truncation=True, padding=True, max_length=5)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = AutoTokenizer.from_pretrained(tmp_path / "saved")
    Cache(tmp_path / "tokens", saved, 8).of(read, "train")
    assert path.stat() == before
