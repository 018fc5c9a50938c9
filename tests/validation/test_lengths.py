"""Pairs as XLM-R, RoBERTa and CamemBERT read them, each by its own tokenizer, and what is cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import hub
from transformers import (
    CamembertTokenizer,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from amtss.config.schema import Params, ProbeTeacher
from amtss.data import corpus
from amtss.errors import CheckpointError
from amtss.paths import Layout
from amtss.tokenization import tokens
from amtss.tokenization.tokenizer import load_tokenizer
from amtss.validation.lengths import count

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
    found: list[int] = tokens.tokenise(tokenizer, table, length)[0]["input_ids"].tolist()
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
    return hub.XNLI.model_copy(update={"teachers": teachers})


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
    assert {cut.teachers: cut.max_length for cut in cuts} == {
        ("en",): 60, ("fr",): LENGTH, ("en_xlmr",): LENGTH, ("fr_xlmr",): LENGTH,
        ("multilingual",): 50}
    for cut in cuts:
        texts = next(texts for texts in read if texts.language == cut.language)
        tokenizer = load_tokenizer(cut.checkpoint)
        lengths = np.concatenate([tokens.tokenise(tokenizer, table, 1000).lengths
                                  for table in texts.splits.values()])
        assert (cut.rows, cut.longest) == (120, lengths.max())
        assert cut.longer == (lengths > cut.max_length).sum()
        assert cut.share == cut.longer / 120
        assert (lengths <= cut.usual).mean() >= 0.98
    assert any(cut.longer for cut in cuts)


def test_teachers_of_one_kind_are_counted_together(tmp_path: Path) -> None:
    cuts = count(params(), corpora(tmp_path))
    assert {cut.teachers for cut in cuts if cut.language == "en"} == {
        ("en",), ("en_xlmr", "multilingual")}


def test_teachers_from_scratch_are_not_counted(tmp_path: Path) -> None:
    teachers = {name: teacher.model_copy(update={"checkpoint": None})
                for name, teacher in hub.XNLI.teachers.items()}
    assert count(hub.XNLI.model_copy(update={"teachers": teachers}),
                 corpora(tmp_path)) == []


def test_a_probes_prefix_counts(tmp_path: Path) -> None:
    source = str(hub.repositories() / "FacebookAI/xlm-roberta-large")
    read = corpora(tmp_path)
    longest = []
    for prefix in ("", "The student "):
        probe = ProbeTeacher(kind="probe", languages=("en",), scores=("all",), checkpoint=source,
                             prefix=prefix, max_length=LENGTH)
        cuts = count(hub.XNLI.model_copy(update={"teachers": {"probe": probe}}), read)
        assert [(cut.language, cut.teachers, cut.max_length) for cut in cuts] == [
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
