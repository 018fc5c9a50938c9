"""Pairs as XLM-R, RoBERTa and CamemBERT read them, each by its own tokenizer, and what is cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support import hub
from support.training import write_checkpoint
from transformers import (
    CamembertTokenizer,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from amtss.config.schema import (
    Distil,
    Params,
    ProbeTeacher,
    Student,
    Teaching,
    TeachingOverrides,
    TransformerTeacher,
    Validation,
)
from amtss.data import corpus
from amtss.errors import CheckpointError
from amtss.paths import Layout
from amtss.tokenization import encoding
from amtss.tokenization.tokenizer import load_tokenizer
from amtss.validation.lengths import STUDENT, count, warnings

CLASSES = {"FacebookAI/xlm-roberta-large": XLMRobertaTokenizer,
           "FacebookAI/roberta-large": RobertaTokenizer,
           "almanach/camembert-large": CamembertTokenizer}
LENGTH = 40


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    found = load_tokenizer(str(hub.repositories() / request.param))
    assert type(found) is CLASSES[request.param]
    return found


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def encoded(tokenizer: PreTrainedTokenizerBase, first: str, second: str, length: int) -> list[int]:
    table = pa.table({"text": [first], "pair": [second]})
    found: list[int] = encoding.tokenise(tokenizer, table, length)[0]["input_ids"].tolist()
    return found


def test_a_pair_is_the_tokenizers_own(tokenizer: PreTrainedTokenizerBase) -> None:
    first, second = "L'étudiant lit", "The student"
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert encoded(tokenizer, first, second, 100) == [
        begin, *pieces(tokenizer, first), end, end, *pieces(tokenizer, second), end]


@pytest.mark.parametrize(("first", "second"), [
    ("library " * 30, "The student"), ("The student", "library " * 30),
    ("library " * 30, "student " * 30)], ids=["premise", "hypothesis", "both"])
def test_the_longest_of_a_pair_is_cut_first(tokenizer: PreTrainedTokenizerBase, first: str,
                                            second: str) -> None:
    ids = encoded(tokenizer, first, second, LENGTH)
    assert len(ids) == LENGTH
    whole, end = (pieces(tokenizer, first), pieces(tokenizer, second)), tokenizer.sep_token_id
    at = ids.index(end)
    kept = ids[1:at], ids[at + 2:-1]
    assert all(text[:len(part)] == part for part, text in zip(kept, whole, strict=True))
    half = (LENGTH - 4) // 2  # what is shorter than half of the room stays whole
    for part, text in zip(kept, whole, strict=True):
        assert len(part) >= min(len(text), half)


def params(**max_length: int) -> Params:
    """The preset with other lengths and local checkpoints."""
    teachers = {name: teacher.model_copy(update={
        "checkpoint": str(hub.repositories() / str(teacher.checkpoint)),
        "training": teacher.training.model_copy(
            update={"max_length": max_length.get(name, LENGTH)})})
        for name, teacher in hub.XNLI.teachers.items()}
    return hub.XNLI.model_copy(update={"teachers": teachers, "student": Student()})


def corpora(root: Path) -> list[corpus.Corpus]:
    layout = Layout(root)
    for code in ("en", "fr"):
        tables = {split: hub.pairs(code, split, rows).rename_columns(["text", "pair", "label"])
                  for split, rows in hub.ROWS.items()}
        corpus.write(layout, code, tables, hub.LABELS)
    return [corpus.load(layout, code) for code in ("en", "fr")]


def test_every_tokenizer_counts_what_it_cuts(tmp_path: Path) -> None:
    read = corpora(tmp_path)
    cuts = count(params(en=60, multilingual=50), read)
    assert [cut.language for cut in cuts] == ["en"] * 3 + ["fr"] * 3
    assert {cut.readers: cut.max_length for cut in cuts} == {
        ("en",): 60, ("fr",): LENGTH, ("en_xlmr",): LENGTH, ("fr_xlmr",): LENGTH,
        ("multilingual",): 50}
    for cut in cuts:
        texts = next(texts for texts in read if texts.language == cut.language)
        tokenizer = load_tokenizer(cut.checkpoint)
        lengths = np.concatenate([encoding.tokenise(tokenizer, table, 1000).lengths
                                  for table in texts.splits.values()])
        assert (cut.rows, cut.longest) == (120, lengths.max())
        assert cut.longer == (lengths > cut.max_length).sum()
        assert cut.share == cut.longer / 120
        assert (lengths <= cut.usual).mean() >= 0.98
    assert any(cut.longer for cut in cuts)


def test_without_a_length_next_to_no_training_text_is_cut(tmp_path: Path) -> None:
    teachers = {name: teacher.model_copy(update={"training": TeachingOverrides()})
                for name, teacher in params().teachers.items()}
    read = corpora(tmp_path)
    cuts = count(params().model_copy(update={
        "teachers": teachers, "teaching": Teaching()}), read)
    assert len(cuts) > 3
    for cut in cuts:
        texts = next(texts for texts in read if texts.language == cut.language)
        lengths = encoding.tokenise(load_tokenizer(cut.checkpoint), texts["train"], None).lengths
        assert (lengths > cut.max_length).mean() <= 0.005
        assert cut.max_length % 8 == 0
        assert cut.max_length - lengths.max() < 32  # the language of the longest texts decides


def test_teachers_of_one_kind_are_counted_together(tmp_path: Path) -> None:
    cuts = count(params(), corpora(tmp_path))
    assert {cut.readers for cut in cuts if cut.language == "en"} == {
        ("en",), ("en_xlmr", "multilingual")}


def test_teachers_from_scratch_are_not_counted(tmp_path: Path) -> None:
    teachers = {name: teacher.model_copy(update={"checkpoint": None})
                for name, teacher in hub.XNLI.teachers.items()}
    assert count(params().model_copy(update={"teachers": teachers}), corpora(tmp_path)) == []


def test_a_probes_prefix_counts(tmp_path: Path) -> None:
    source = str(hub.repositories() / "FacebookAI/xlm-roberta-large")
    read = corpora(tmp_path)
    longest = []
    for prefix in ("", "The student "):
        probe = ProbeTeacher(kind="probe", languages=("en",), scores=("all",), checkpoint=source,
                             prefix=prefix, max_length=LENGTH)
        cuts = count(params().model_copy(update={"teachers": {"probe": probe}}), read)
        assert [(cut.language, cut.readers, cut.max_length) for cut in cuts] == [
            (code, ("probe",), LENGTH) for code in ("en", "fr")]
        longest.append([cut.longest for cut in cuts])
    more = len(pieces(load_tokenizer(source), "The student "))
    assert more > 0
    assert longest[1] == [tokens + 2 * more for tokens in longest[0]]  # before either text


def test_no_tokenizer(tmp_path: Path) -> None:
    settings, missing = params(), {"checkpoint": "nobody/nothing"}
    settings.teachers["fr"] = settings.teachers["fr"].model_copy(update=missing)
    with pytest.raises(CheckpointError, match="nobody/nothing: expected a folder or a copy"):
        count(settings, corpora(tmp_path))


class TestUnknown:
    """BERT's word pieces of Latin texts, which know no Greek letter."""

    @pytest.fixture
    def bert(self, tmp_path: Path) -> str:
        return str(write_checkpoint(tmp_path / "bert", "bert", texts=["abc cab bca ab bc"] * 9))

    def corpora(self, *texts: str) -> list[corpus.Corpus]:
        ids = [f"{i}" for i in range(len(texts))]
        splits = {"train": pa.table({"id": ids, "text": texts}), "unlabelled": pa.table(
            {"id": ["log", "mixed-0"], "text": ["ab", "αβγ " * 50]})}
        return [corpus.Corpus("el", splits, "", None)]

    def params(self, bert: str, **teacher: Any) -> Params:
        own = TransformerTeacher(checkpoint=bert, **{"languages": ("el",)} | teacher)
        return Params(languages=("el", "en"), student=Student(), distil=Distil(top_k=1),
                      teachers={
            "own": own, "multilingual": TransformerTeacher(languages=("all",))})

    def test_is_the_share_of_the_source_s_tokens(self, bert: str) -> None:
        read = self.corpora("ab αβ bc", "γ", "ab ab")  # seven words with the log, two unknown
        (cut,) = count(self.params(bert), read)
        pieces_of_ab = len(load_tokenizer(bert)("ab bc ab ab ab")["input_ids"]) - 2
        assert cut.unknown == pytest.approx(2 / (2 + pieces_of_ab))
        with pytest.raises(CheckpointError, match=r"^el: expected a tokenizer that reads it, found "
                           r"\d\d\.\d% unknown tokens with the tokenizer of .*bert \(own\); give "
                           r"own a checkpoint whose tokenizer knows the characters of el, or allow "
                           r"them by validation\.max_unknown$"):
            warnings([cut], Validation())
        assert len(warnings([cut], Validation(max_unknown=0.5))) == 1
        assert warnings([cut], Validation(max_unknown=0.5, warn_unknown=0.5)) == []

    def test_rare_emoji_are_ordinary(self, bert: str) -> None:
        (cut,) = count(self.params(bert), self.corpora(*["ab bc ab bc ab bc"] * 30, "ab 🙂"))
        assert 0 < cut.unknown < 0.01
        assert warnings([cut], Validation()) == []

    def test_a_teacher_that_only_scores_is_warned_of(self, bert: str) -> None:
        params = self.params(bert, languages=("en",), scores=("el",))
        (cut,) = count(params, self.corpora("αβ", "ab"))
        (warning,) = warnings([cut], Validation())
        assert "of its tokens are unknown to the tokenizer of" in warning

    def test_the_student_s_own_checkpoint_counts(self, bert: str) -> None:
        params = self.params(bert)
        student = Student(tokenizer=bert)
        (cut,) = count(params.model_copy(update={"student": student}), self.corpora("αβ", "ab"))
        assert cut.readers == ("own", STUDENT)
        student = Student(teacher="own", start="pca", max_length=9)
        cuts = count(params.model_copy(update={"student": student}), self.corpora("αβ", "ab"))
        assert [(cut.readers, cut.max_length) for cut in cuts] == [
            (("own",), 16), ((STUDENT,), 9)]


def test_tokens_of_bytes_are_never_unknown(tmp_path: Path) -> None:
    roberta = str(write_checkpoint(tmp_path / "roberta", "roberta", texts=["abc cab"] * 9))
    params = TestUnknown().params(roberta)
    (cut,) = count(params, TestUnknown().corpora("αβγ", "🙂"))
    assert cut.unknown == 0.0
