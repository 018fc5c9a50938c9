"""What the gate foresees of unknown characters, and what the trained tokenizer then cannot read."""

import pyarrow as pa
import pytest

from amtss.config.schema import Architecture, Distil, Params, Student, TransformerTeacher
from amtss.data.corpus import Corpus
from amtss.tokenization import unknown
from amtss.tokenization.tokenizer import train_tokenizer
from amtss.validation.vocabulary import warnings

CJK = [chr(0x4E00 + i) for i in range(708)]


def of(code: str, *texts: str) -> Corpus:
    ids = [str(i) for i in range(len(texts))]
    return Corpus(code, {"train": pa.table({"id": ids, "text": texts})}, "", None)


def params(teacher: int, student: int) -> Params:
    def sized(vocabulary: int) -> Architecture:
        return Architecture(layers=1, width=32, heads=2, vocabulary=vocabulary)

    multilingual = TransformerTeacher(languages=("all",), architecture=sized(teacher))
    return Params(languages=("en", "zh"), distil=Distil(top_k=1),
                  student=Student(architecture=sized(student)),
                  teachers={"multilingual": multilingual})


ENGLISH = of("en", *["where is the parcel"] * 500)
CHINESE = of("zh", *("".join(CJK[i:i + 12]) for i in range(0, 708, 12)))
"""Every character once."""
KNOWN = 300 - 5 - 1 - len({*"whereistheparcel"})
"""Chinese characters for which 300 pieces have room beside English letters."""


def test_a_vocabulary_smaller_than_the_script() -> None:
    share = (708 - KNOWN) / 708
    assert warnings(params(300, 2000), [ENGLISH, CHINESE]) == [
        f"zh: {share:.1%} of the characters of its training texts, 708 different ones, will be "
        "unknown to the 300 pieces of teacher multilingual; raise "
        "teachers.multilingual.architecture.vocabulary"]
    (warning,) = warnings(params(2000, 300), [ENGLISH, CHINESE])
    assert warning.endswith("of the student; raise student.architecture.vocabulary")


@pytest.mark.parametrize("size", [300, 740])
def test_the_trained_tokenizer_lacks_what_was_foreseen(size: int) -> None:
    tokenizer = train_tokenizer([ENGLISH, CHINESE], size)
    assert unknown.share(tokenizer, ENGLISH) == 0.0
    assert (unknown.share(tokenizer, CHINESE) > 0.01) == bool(
        warnings(params(size, 2000), [ENGLISH, CHINESE]))


def test_rare_emoji_beyond_the_vocabulary_are_ordinary() -> None:
    texts = of("zh", *["".join(CJK[:280])] * 20, *(chr(0x1F600 + i) for i in range(40)))
    assert warnings(params(300, 300), [ENGLISH, texts]) == []
