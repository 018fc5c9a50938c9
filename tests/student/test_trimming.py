import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file
from support.training import KINDS, LANGUAGES, scored, table, write_checkpoint
from transformers import PreTrainedTokenizerBase

from amtss.config.schema import Trimming, Validation
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError, ParamsError
from amtss.student import embeddings, trimming
from amtss.student.growth import grow_tokenizer
from amtss.tokenization.tokenizer import LEFT_OUT, SPECIAL, load_tokenizer, rebuilt, train_tokenizer

pytestmark = pytest.mark.slow
FAMILIES = tuple(kind for kind in KINDS if kind != "roberta")
ALL = [*LANGUAGES, "ko"]
"""Languages of the full tokenizers' texts."""


def of(code: str, *given: str) -> Corpus:
    return Corpus(code, {"train": pa.table({"text": given}) if given else table(code, "train", 60)},
                  "", None)


def every(codes: list[str]) -> list[str]:
    return [text for code in codes for text in table(code, "train", 200)["text"].to_pylist()]


@pytest.fixture(scope="module", params=["own", *FAMILIES])
def full(request: pytest.FixtureRequest,
         tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """A tokenizer of four languages, trained here or in a checkpoint's own form."""
    if request.param == "own":
        return train_tokenizer([of(code) for code in ALL], 400)
    folder = tmp_path_factory.mktemp(request.param) / request.param
    return load_tokenizer(str(write_checkpoint(folder, request.param, texts=every(ALL))))


def pieces(tokenizer: PreTrainedTokenizerBase, text: str, second: str | None = None) -> list[str]:
    names: list[str] = tokenizer.convert_ids_to_tokens(tokenizer(text, second)["input_ids"])
    return names


def spelling(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text as its pieces spell it."""
    return "".join(piece.removeprefix("##") for piece in pieces(tokenizer, text))


WORDS = sorted({word for text in every(ALL) for word in text.split()})
TEXTS = st.lists(st.sampled_from(WORDS) | st.text("enfrupayship0123 é漢?", max_size=8),
                 max_size=8).map(" ".join)


@pytest.fixture(scope="module")
def trimmed(full: PreTrainedTokenizerBase) -> tuple[PreTrainedTokenizerBase, NDArray[np.int64]]:
    return trimming.trim(full, [of("en"), of("fr")], Trimming(coverage=0.9, at_least=0))


class TestExact:
    """Against the full tokenizer, on texts of all its languages, and others."""

    @settings(max_examples=150)
    @given(text=TEXTS)
    def test_a_word_whose_pieces_are_kept_is_split_as_before(
            self, full: PreTrainedTokenizerBase, text: str,
            trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        small, kept = trimmed
        known = set(full.convert_ids_to_tokens(kept.tolist()))
        for word in (text, *text.split()):
            before, after = pieces(full, word), pieces(small, word)
            if known.issuperset(before):
                assert after == before
                ids = [kept[token] for token in small(word)["input_ids"]]
                assert ids == full(word)["input_ids"]
            assert spelling(small, word) == spelling(full, word)
            assert after.count(small.unk_token) == before.count(full.unk_token)

    def test_words_of_a_language_left_out_fall_apart(
            self, full: PreTrainedTokenizerBase,
            trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        small, kept = trimmed
        assert len(small) == len(kept) < len(full)
        texts = every(["ko"])
        lengths = [sum(len(pieces(tokenizer, text)) for text in texts)
                   for tokenizer in (small, full)]
        assert lengths[0] > lengths[1]

    def test_keeps_what_is_around_a_text(
            self, full: PreTrainedTokenizerBase,
            trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        small, _ = trimmed
        assert pieces(small, "a", "a") == pieces(full, "a", "a")
        assert small.special_tokens_map == full.special_tokens_map
        assert small.pad_token_id == full.pad_token_id
        assert small.convert_ids_to_tokens(small.mask_token_id) == full.mask_token
        assert type(small) is type(full)
        assert sorted(small.get_vocab().values()) == list(range(len(small)))

    def test_what_is_written_can_be_read(
            self, full: PreTrainedTokenizerBase, tmp_path: Path,
            trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        small, kept = trimmed
        small.save_pretrained(tmp_path)
        read = load_tokenizer(str(tmp_path))
        assert read.get_vocab() == small.get_vocab()
        assert [pieces(read, text) for text in WORDS] == [pieces(small, text) for text in WORDS]
        assert read.init_kwargs[LEFT_OUT] == len(full) - len(kept)

    def test_again_loses_nothing(
            self, full: PreTrainedTokenizerBase,
            trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        corpora = [of("en"), of("fr")]
        small, _ = trimming.trim(full, corpora, Trimming(coverage=1.0, at_least=0))
        again, kept = trimming.trim(small, corpora, Trimming(coverage=1.0, at_least=0))
        assert again.get_vocab() == small.get_vocab()
        assert kept.tolist() == list(range(len(small)))
        assert again.init_kwargs[LEFT_OUT] == small.init_kwargs[LEFT_OUT]

    def test_grows(self, full: PreTrainedTokenizerBase,
                   trimmed: tuple[PreTrainedTokenizerBase, NDArray[np.int64]]) -> None:
        small, _ = trimmed
        if "##a" in small.get_vocab():
            return  # one that cannot
        grown = grow_tokenizer(small, [of("ru")], [of("en"), of("fr")], 60,
                               Validation())
        assert len(grown) > len(small)
        assert [pieces(grown, text) for text in every(["en", "fr"])[:60]] == [
            pieces(small, text) for text in every(["en", "fr"])[:60]]
        assert grown.init_kwargs[LEFT_OUT] == small.init_kwargs[LEFT_OUT]


def handmade(**scores: float) -> PreTrainedTokenizerBase:
    """A unigram tokenizer of these pieces, where _ is for the space before a word."""
    tokenizer = train_tokenizer([of("en")], 300)
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["model"]["vocab"] = [(piece, 0.0) for piece in SPECIAL] + [
        (piece.replace("_", "▁"), score) for piece, score in scores.items()]
    return rebuilt(tokenizer, state)


class TestUnknown:
    """An unknown character costs the lowest score less ten; x stands in bx alone."""

    FULL = handmade(_=-1.0, a=-12.0, b=-12.0, aab=-2.0, bx=-20.0, bb=-30.0, aaaa=-40.0)

    def test_costs_what_it_did(self) -> None:
        small, _ = trimming.trim(self.FULL, [of("en", "aab")], Trimming(at_least=0))
        assert "bb" not in small.get_vocab()
        # were aaaa left out too, aab and an unknown x would be the better split
        assert pieces(self.FULL, "aabx")[1:-1] == ["▁", "a", "a", "bx"]
        assert pieces(small, "aabx") == pieces(self.FULL, "aabx")

    def test_a_piece_with_a_character_of_its_own_stays(self) -> None:
        small, _ = trimming.trim(self.FULL, [of("en", "aab")], Trimming(at_least=0))
        assert "bx" in small.get_vocab()


class TestKept:
    TEXTS = ("aa bb",) * 8 + ("aa cc",) * 2

    def trim(self, *corpora: Corpus, **changed: Any) -> PreTrainedTokenizerBase:
        full = handmade(_=-3.0, **dict.fromkeys("abcdef", -9.0), _aa=-1.0, _bb=-1.0, _cc=-1.0,
                        _dd=-1.0, _ee=-1.0, _ff=-1.0)
        return trimming.trim(full, corpora or [of("en", *self.TEXTS)],
                             Trimming(**{"coverage": 1.0, "at_least": 0} | changed))[0]

    def kept(self, *corpora: Corpus, **changed: Any) -> set[str]:
        return {piece for piece in self.trim(*corpora, **changed).get_vocab()
                if len(piece) > 2 and piece[0] == "▁"}

    def test_all_that_is_used(self) -> None:
        assert self.kept() >= {"▁aa", "▁bb", "▁cc"}
        assert not self.kept() & {"▁dd", "▁ee"}

    def test_the_commonest(self) -> None:
        assert self.kept(coverage=0.9) & {"▁aa", "▁bb", "▁cc"} == {"▁aa", "▁bb"}
        assert self.kept(coverage=0.5) & {"▁aa", "▁bb", "▁cc"} == {"▁aa"}

    def test_those_that_stand_often_enough(self) -> None:
        assert "▁cc" in self.kept(min_count=2)
        assert "▁cc" not in self.kept(min_count=3)

    def test_the_first_others_of_the_same_characters_up_to_a_number(self) -> None:
        given = of("en", "aa bb", "cc d e")
        size, used = len(self.trim(given)), {"▁aa", "▁bb", "▁cc"}
        assert self.kept(given, at_least=size) == used
        assert self.kept(given, at_least=size + 1) == used | {"▁dd"}
        assert self.kept(given, at_least=99) == used | {"▁dd", "▁ee"}

    def test_others_that_are_spelt_like_a_language_s_before_others(self) -> None:
        full = handmade(_=-3.0, **dict.fromkeys("abcd", -9.0), _abab=-1.0, _cdcd=-1.0, abb=-2.0,
                        dacb=-2.0, _aba=-2.0)
        given = [of("en", "abab", "a b"), of("fr", "cdcd", "c d")]
        size = len(trimming.trim(full, given, Trimming(at_least=0))[0])
        small, _ = trimming.trim(full, given, Trimming(at_least=size + 2))
        assert set(small.get_vocab()) >= {"▁aba", "abb"}
        assert "dacb" not in small.get_vocab()

    def test_a_small_language_s_count_as_much(self) -> None:
        corpora = of("en", *["aa bb"] * 500), of("fr", "dd ee")
        assert self.kept(*corpora, coverage=0.9) >= {"▁aa", "▁bb", "▁dd", "▁ee"}

    def test_of_unlabelled_texts_and_both_of_a_pair(self) -> None:
        splits = {"train": pa.table({"text": ["aa"], "pair": ["bb"]}),
                  "unlabelled": pa.table({"text": ["cc"], "pair": ["dd"]}),
                  "validation": pa.table({"text": ["ee"], "pair": ["ee"]})}
        assert self.kept(Corpus("en", splits, "", None)) & {"▁aa", "▁bb", "▁cc", "▁dd", "▁ee"} == {
            "▁aa", "▁bb", "▁cc", "▁dd"}


class TestCharacters:
    FULL = handmade(**dict.fromkeys(["_", "a", "é", "ж", "漢", "字", "ע", "7", "?", "é漢"], -9.0),
                    _aa=-1.0)

    def kept(self, characters: str, *texts: str) -> set[str]:
        settings = Trimming.model_validate({"at_least": 0, "characters": characters})
        small, _ = trimming.trim(self.FULL, [of("en", *texts)], settings)
        return set(small.get_vocab()) - set(SPECIAL)

    def test_all(self) -> None:
        assert self.kept("all", "aa 7") == {*"▁aéж漢字ע7?", "▁aa"}

    def test_of_the_texts_scripts(self) -> None:
        assert self.kept("scripts", "aa 7") == {*"▁aé7?", "▁aa"}
        assert self.kept("scripts", "aa", "ж") == {*"▁aéж7?", "▁aa"}
        assert self.kept("scripts", "字") == {*"▁漢字7?"} | self.kept("scripts", "7")

    def test_the_lowest_score_stays(self) -> None:
        # what an unknown character costs depends on it
        full = handmade(_=-3.0, a=-9.0, 漢=-9.0, 字=-50.0)
        settings = Trimming(at_least=0, characters="scripts")
        small, _ = trimming.trim(full, [of("en", "a")], settings)
        assert set(small.get_vocab()) - set(SPECIAL) == {"▁", "a", "字"}

    def test_of_pieces_inside_words(self, tmp_path: Path) -> None:
        full = load_tokenizer(str(write_checkpoint(tmp_path / "bert", "bert", texts=every(ALL))))
        settings = Trimming(at_least=0, characters="scripts")
        small, _ = trimming.trim(full, [of("en", "pay now")], settings)
        inside = {piece for piece in small.get_vocab() if piece.startswith("##")}
        assert "##a" in inside
        assert all(piece.isascii() for piece in inside)


def test_is_deterministic(tmp_path: Path) -> None:
    full = train_tokenizer([of(code) for code in ALL], 400)
    for name in ("one", "two"):
        trimming.trim(full, [of("en")], Trimming(at_least=0))[0].save_pretrained(tmp_path / name)
    one, two = ({path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                 for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def test_byte_pairs_are_refused(tmp_path: Path) -> None:
    full = load_tokenizer(str(write_checkpoint(tmp_path / "roberta", "roberta")))
    with pytest.raises(CheckpointError, match=r"^student: expected a Unigram or WordPiece "
                       r"tokenizer to trim, found BPE; set student\.vocabulary: full in params"):
        trimming.trim(full, [of("en")], Trimming(at_least=0))


@pytest.mark.parametrize("settings", [{"start": "pca"}, {"start": "layers"}],
                         ids=["pca", "layers"])
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_rows_of_the_kept_tokens_come_along(tmp_path: Path, kind: str,
                                            settings: dict[str, Any]) -> None:
    source = write_checkpoint(tmp_path / "big", kind, texts=every(ALL))
    project = scored(tmp_path / "project", student={
        "checkpoint": str(source), "vocabulary": "trimmed",
        "trimming": {"coverage": 0.9, "at_least": 0},
        "architecture": {"layers": 2}} | settings)
    project.start()
    full, own = (load_tokenizer(str(folder)) for folder in (source, project.layout.tokenizer))
    assert len(own) < len(full)
    rows = full.convert_tokens_to_ids(own.convert_ids_to_tokens(list(range(len(own)))))
    table = load_file(project.layout.start / "model.safetensors")[embeddings.NAME]
    expected = embeddings.read(str(source), None, np.array(rows))
    if settings["start"] == "pca":
        expected = embeddings.reduce(expected, 32)
        expected[own.pad_token_id] = 0
    assert table.equal(expected)
    history = project.distil(max_epochs=4, learning_rate=3.0e-3)  # at 0.01 some machines' diverge
    assert max(row["average"] for row in history) > 40  # 33.3 by chance


def test_coverage_is_a_share(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"student\.trimming\.coverage"):
        scored(tmp_path, student={"trimming": {"coverage": 99.9}})
