import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amtss.data.mixing import mix
from amtss.data.sources import Tables
from amtss.lookalikes import plain

TEXTS = ["where is my parcel now", "my card was refused again", "hello there dear robot",
         "please send the invoice today"]


def tables(texts: list[str], pairs: list[str] | None = None, logs: list[str] | None = None,
           test: list[str] | None = None) -> Tables:
    """Splits with these texts; the columns of `logs` are those of a split without labels."""
    def table(rows: list[str], label: str | None) -> pa.Table:
        columns = {"id": [str(i) for i in range(len(rows))], "text": rows}
        if pairs is not None:
            columns["pair"] = [pairs[i % len(pairs)] for i in range(len(rows))]
        return pa.table(columns | {"label": [label] * len(rows)})

    splits = {"train": table(texts, "a"), "validation": table(["valid text"], "a"),
              "test": table(test or ["some test"], "a")}
    return splits | ({"unlabelled": table(logs, None)} if logs else {})


def texts_of(splits: Tables) -> list[str]:
    return splits["unlabelled"]["text"].to_pylist() if "unlabelled" in splits else []


def test_enough_texts_stay_as_they_are() -> None:
    splits = tables(TEXTS, logs=["a log"])
    assert mix(splits, 5, "en", 0) is splits


def test_few_texts_are_filled_up_behind_the_logs() -> None:
    mixed = mix(tables(TEXTS, logs=["a log", "b log"]), 100, "en", 0)
    assert len(mixed["train"]) + len(mixed["unlabelled"]) == 100
    assert texts_of(mixed)[:2] == ["a log", "b log"]
    assert set(mixed["unlabelled"]["label"].to_pylist()) == {None}
    assert mixed["unlabelled"]["id"].to_pylist()[2:4] == ["mixed-00000", "mixed-00001"]


def test_three_texts_in_four_are_of_the_data_s_words() -> None:
    words = {word for text in TEXTS for word in text.split()}
    mixed = texts_of(mix(tables(TEXTS), 400, "en", 0))
    known = [set(text.split()) <= words for text in mixed]
    assert 0.6 < sum(known) / len(known) < 0.95
    lengths = [len(text.split()) for text in mixed]
    assert min(lengths) < 4 < max(lengths)


def test_mistyped_words_differ_by_one_character() -> None:
    mixed = texts_of(mix(tables(["international"]), 200, "en", 0))
    typed = [text for text in mixed if " " not in text]
    assert any(len(text) == 12 for text in typed)
    assert any(len(text) == 14 for text in typed)
    assert any(sorted(text) == sorted("international") for text in typed)


def test_the_same_seed_gives_the_same_texts_and_a_language_its_own() -> None:
    first, again, other, french = (texts_of(mix(tables(TEXTS), 60, code, seed)) for code, seed in
                                   (("en", 0), ("en", 0), ("en", 1), ("fr", 0)))
    assert first == again
    assert len({tuple(first), tuple(other), tuple(french)}) == 3


def test_languages_without_blanks_are_mixed_by_characters() -> None:
    mixed = texts_of(mix(tables(["今天天气怎么样", "播放周杰伦的歌", "明天叫我起床"]), 60, "zh", 0))
    assert not any(" " in text for text in mixed)
    assert any(set(text) & set("天气") and set(text) & set("播放") for text in mixed)


def test_a_pair_takes_another_one_s_second_text_whole() -> None:
    pairs = ["a man sleeps here", "the dog is awake"]
    mixed = mix(tables(TEXTS[:2], pairs=pairs), 200, "en", 0)["unlabelled"]
    rows = set(zip(mixed["text"].to_pylist(), mixed["pair"].to_pylist(), strict=True))
    assert {(TEXTS[0], pairs[1]), (TEXTS[1], pairs[0])} <= rows


@pytest.mark.parametrize("texts", [["word"], ["a", "b"], ["a b", "a b"], ["", "a b c"]])
def test_very_few_words_end_with_fewer_texts(texts: list[str]) -> None:
    mixed = mix(tables(texts), 5000, "en", 0)
    assert len(mixed["unlabelled"]) < 5000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="aAb c\n\u200b", max_size=12), min_size=1, max_size=6))
def test_no_text_is_empty_comes_twice_or_stands_in_a_split(texts: list[str]) -> None:
    splits = tables(texts, test=["a b", "ab"])
    mixed = texts_of(mix(splits, 50, "en", 0))
    taken = {plain(text) for table in splits.values() for text in table["text"].to_pylist()}
    forms = [plain(text) for text in mixed]
    assert all(forms)
    assert len(set(forms)) == len(forms)
    assert not {*forms} & taken
