import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training import table, write_checkpoint
from transformers import PreTrainedTokenizerBase

from amtss.config.schema import Trimming, Validation
from amtss.data.corpus import Corpus
from amtss.errors import CheckpointError
from amtss.student import trimming
from amtss.student.growth import Source, grow_tokenizer
from amtss.tokenization import tokenizer as tokenization


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def of(code: str, *texts: str) -> Corpus:
    """A corpus of `texts`, or of the tests' language `code`."""
    given = pa.table({"text": texts}) if texts else table(code, "train", 100)
    return Corpus(code, {"train": given}, "", None)


def grow(known: PreTrainedTokenizerBase, new: list[Corpus], old: list[Corpus],
         size: int) -> PreTrainedTokenizerBase:
    return grow_tokenizer(known, new, old, size, Validation())


def read(corpus: Corpus) -> list[str]:
    return list(tokenization.training_texts([corpus]))


def ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    rows: list[list[int]] = tokenizer(texts)["input_ids"]
    return rows


def tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[str]]:
    return [tokenizer.convert_ids_to_tokens(row) for row in ids(tokenizer, texts)]


def unknown(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> int:
    return sum(row.count(tokenizer.unk_token_id) for row in ids(tokenizer, texts))


ENGLISH = ("where is the parcel", "the parcel has come", "pay the parcel", "where to pay") * 5
KOREAN = ("소포가 어디에 있나요", "카드가 거절되었어요", "소포가 왔어요", "안녕 로봇") * 5
POLISH = ("gdzie jest parcela", "parcela przyszła", "zapłacić parcelę", "dzień dobry") * 5


@pytest.fixture(scope="module")
def xlm_r(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("xlm-r") / "xlm-r", "xlm-roberta")


class TestGrowTokenizer:
    @pytest.mark.parametrize("new", [of("ko", *KOREAN), of("pl", *POLISH)],
                             ids=lambda new: new.language)
    def test_old_texts_are_read_as_before_and_new_ones_whole(self, new: Corpus) -> None:
        old = of("en", *ENGLISH)
        known = tokenization.train_tokenizer([old], 60)
        assert unknown(known, read(new)) > 0
        grown = grow(known, [new], [old], 300)
        assert ids(grown, read(old)) == ids(known, read(old))
        assert unknown(grown, read(new)) == 0
        assert grown.convert_ids_to_tokens(range(len(known))) == \
            known.convert_ids_to_tokens(range(len(known)))

    def test_appending_all_pieces_would_change_old_texts(self) -> None:
        old, new = of("en", *ENGLISH), of("pl", *POLISH)
        known = tokenization.train_tokenizer([old], 60)
        naive = grow(known, [new], [], 300)
        assert ids(naive, read(old)) != ids(known, read(old))
        assert len(grow(known, [new], [old], 300)) < len(naive)

    @settings(max_examples=40)
    @given(st.data())
    def test_old_texts_are_read_as_before_whatever_they_are(self, data: st.DataObject) -> None:
        # the old ones have characters, x and y, that the tokenizer does not know
        def texts(letters: str) -> st.SearchStrategy[list[str]]:
            word = st.text(letters, min_size=1, max_size=6)
            return st.lists(st.lists(word, min_size=1, max_size=5).map(" ".join), min_size=8,
                            max_size=30)

        known = tokenization.train_tokenizer([of("en", "abc", *data.draw(texts("abc")))], 40)
        old = of("fr", *data.draw(texts("abcxy")))
        new = of("pl", *data.draw(texts("abcde")), *KOREAN)
        grown = grow(known, [new], [old], data.draw(st.sampled_from([60, 200])))
        assert ids(grown, read(old)) == ids(known, read(old))

    def test_an_old_text_in_the_new_script_takes_nothing_away(self) -> None:
        old, logs, new = of("en", *ENGLISH), of("fr", *ENGLISH, *KOREAN), of("ko", *KOREAN)
        known = tokenization.train_tokenizer([old], 60)
        grown = grow(known, [new], [old, logs], 300)
        assert unknown(grown, read(new)) == 0
        assert ids(grown, read(old)) == ids(known, read(old))

    @pytest.mark.parametrize("code", ["ko", "pl"])
    def test_pieces_of_the_tokenizer_it_was_trimmed_from(self, code: str) -> None:
        old, new = of("en"), of(code)
        source = tokenization.train_tokenizer([old, new], 400)
        known, _ = trimming.trim(source, [old], Trimming(at_least=0, characters="scripts"))
        grown = grow_tokenizer(known, [new], [old], 300, Validation(), Source("", source, 1))
        assert set(grown.get_vocab()) < set(source.get_vocab())
        assert ids(grown, read(old)) == ids(known, read(old))
        assert tokens(grown, read(new)) == tokens(source, read(new))
        assert any(len(piece) > 1 for piece in set(grown.get_vocab()) - set(known.get_vocab()))
        for size, count in ((300, 1000), (len(set("".join(read(new)))), 1)):
            spelt = grow_tokenizer(known, [new], [old], size, Validation(),
                                   Source("", source, count))
            assert len(known) <= len(spelt) <= len(known) + size
            assert unknown(spelt, read(new)) == 0
            if count > 1:
                assert all(len(piece) == 1
                           for piece in set(spelt.get_vocab()) - set(known.get_vocab()))

    @pytest.mark.parametrize("size", [20, 30, 300])
    def test_has_at_most_so_many_pieces_more(self, size: int) -> None:
        old, new = of("en", *ENGLISH), of("pl", *POLISH)
        known = tokenization.train_tokenizer([old], 60)
        assert len(known) < len(grow(known, [new], [old], size)) <= len(known) + size

    def test_a_script_with_more_characters_than_that(self) -> None:
        # 100 that stand 90 times, 80 that stand once
        many = [chr(0xAC00 + 3 * i) for i in range(180)]
        texts = [" ".join(many[i:i + 10]) for i in range(0, 100, 10)] * 90 + [" ".join(many[100:])]
        known = tokenization.train_tokenizer([of("en", *ENGLISH)], 60)
        grown = grow(known, [of("ko", *texts)], [], 220)
        assert unknown(grown, texts) == 0
        grown = grow(known, [of("ko", *texts)], [], 150)
        assert len(grown) == len(known) + 150
        assert unknown(grown, texts[:10]) == 0
        assert unknown(grown, texts[-1:]) > 0
        with pytest.raises(CheckpointError, match=r"^ko: expected a tokenizer that reads it, found "
                           r"\d+\.\d% unknown tokens with the registered student's tokenizer and "
                           r"\d+ new pieces; raise continuation\.vocabulary, or allow them by "
                           r"validation\.max_unknown$"):
            grow(known, [of("ko", *texts)], [], 50)
        assert len(tokenization.train_tokenizer([of("ko", *texts)], 150)) == 150

    def test_is_deterministic(self, tmp_path: Path) -> None:
        known = tokenization.train_tokenizer([of("en")], 300)
        for name in ("one", "two"):
            grow(known, [of("ko"), of("pl")], [of("en")], 300).save_pretrained(
                tmp_path / name)
        assert digests(tmp_path / "one") == digests(tmp_path / "two")

    def test_again_adds_nothing(self) -> None:
        known = tokenization.train_tokenizer([of("en")], 300)
        once = grow(known, [of("ko")], [of("en")], 300)
        twice = grow(once, [of("ko")], [of("en")], 300)
        assert twice.get_vocab() == once.get_vocab()

    def test_keeps_special_tokens_and_the_length(self, tmp_path: Path) -> None:
        known = tokenization.train_tokenizer([of("en")], 300)
        known.model_max_length = 48
        grow(known, [of("ko")], [of("en")], 300).save_pretrained(tmp_path)
        grown = tokenization.load_tokenizer(str(tmp_path))
        assert grown.special_tokens_map == known.special_tokens_map
        assert grown.all_special_ids == known.all_special_ids
        assert grown.model_max_length == 48
        assert set(grown("a", "b")) == {"input_ids", "attention_mask"}
        assert grown("enpay1", "enship2") == known("enpay1", "enship2")
        assert grown.decode(known("enpay1")["input_ids"]) == \
            known.decode(known("enpay1")["input_ids"])

    def test_tokens_that_were_added_keep_their_ids(self, tmp_path: Path) -> None:
        known = tokenization.train_tokenizer([of("en")], 300)
        known.add_tokens(["[url]", "[order]"])
        known.save_pretrained(tmp_path / "known")
        known = tokenization.load_tokenizer(str(tmp_path / "known"))
        old = of("en", *read(of("en")), "enpay1 [order] [url]")
        grow(known, [of("ko")], [old], 300).save_pretrained(tmp_path / "grown")
        grown = tokenization.load_tokenizer(str(tmp_path / "grown"))
        assert ids(grown, read(old)) == ids(known, read(old))
        assert unknown(grown, read(of("ko"))) == 0
        assert max(grown.get_vocab().values()) + 1 == len(grown) == len(grown.get_vocab())

    def test_a_tokenizer_that_cuts_texts_is_compared_to_their_ends(self, tmp_path: Path) -> None:
        old, new = of("en", *(f"a a a a {text}" for text in ENGLISH)), of("pl", *POLISH)
        tokenization.train_tokenizer([old], 60).save_pretrained(tmp_path)
        state = json.loads((tmp_path / "tokenizer.json").read_text())
        state["truncation"] = {"direction": "Right", "max_length": 4, "stride": 0,
                               "strategy": "LongestFirst"}
        (tmp_path / "tokenizer.json").write_text(json.dumps(state))
        known = tokenization.load_tokenizer(str(tmp_path))
        grown = grow(known, [new], [old], 300)
        assert ids(grown, read(old)) == ids(known, read(old))

    def test_unlabelled_texts_count_and_pairs_do(self) -> None:
        known = tokenization.train_tokenizer([of("en")], 300)
        splits = {"train": pa.table({"text": ["enpay1"], "pair": ["안녕"]}),
                  "unlabelled": pa.table({"id": ["log"], "text": ["소포"], "pair": ["카드"]})}
        grown = grow(known, [Corpus("ko", splits, "", None)], [of("en")], 300)
        assert unknown(grown, ["안녕", "소포", "카드"]) == 0

    def test_xlm_r_s_own_form(self, xlm_r: Path, tmp_path: Path) -> None:
        known = tokenization.load_tokenizer(str(xlm_r))
        old, new = read(of("en")) + read(of("fr")), read(of("ko"))
        grown = grow(known, [of("ko")], [of("en"), of("fr")], 100)
        grown.save_pretrained(tmp_path)
        again = tokenization.load_tokenizer(str(tmp_path))
        assert type(again) is type(grown) is type(known)
        assert len(known) < len(again) <= len(known) + 100
        for texts in (old, new):
            assert ids(again, texts) == ids(grown, texts)
        assert ids(again, old) == ids(known, old)
        assert unknown(known, new) > unknown(again, new) == 0
        assert again(old[0], old[1]) == known(old[0], old[1])
        assert again.special_tokens_map == known.special_tokens_map
        assert again.mask_token_id == known.mask_token_id

    @pytest.mark.parametrize("kind", ["bert", "roberta"])
    def test_one_that_cannot_grow_and_need_not(self, tmp_path: Path, kind: str) -> None:
        write_checkpoint(tmp_path / kind, kind)
        known = tokenization.load_tokenizer(str(tmp_path / kind))
        assert grow(known, [of("fr")], [of("en")], 100) is known

    def test_one_that_cannot_grow_but_must(self, tmp_path: Path) -> None:
        write_checkpoint(tmp_path / "bert", "bert")
        known = tokenization.load_tokenizer(str(tmp_path / "bert"))
        with pytest.raises(CheckpointError, match=r"^ko: expected a tokenizer that reads it, found "
                           r"100\.0% unknown tokens with the registered student's WordPiece, "
                           r"which cannot grow; distil a student with another student\.tokenizer "
                           r"and register it, or allow them by validation\.max_unknown$"):
            grow(known, [of("fr"), of("ko")], [of("en")], 100)
